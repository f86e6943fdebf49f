"""The bench: scores that repeat, exports that are the models that were scored, and parents that must not change."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from merging.benchmarks import Questions, Sample
from merging.errors import MergingError, ParentError, RecipeError, TensorError
from merging.evaluation import Stage
from merging.genomes import parameter_space
from merging.indexes import parent_facts
from merging.recipes import (
    DTYPES,
    WHOLE_MODEL,
    Companions,
    Dtype,
    Parent,
    Recipe,
    Source,
    passthrough_recipe,
    uniform_average,
)
from merging.workbench import Workbench
from tests.merging.models import config, edit_json, parent, write_parent

REPRODUCE = """
import json, sys
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from merging.engines.transformers import TransformersEngine
for folder in sys.argv[2:]:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    engine = TransformersEngine(model, AutoTokenizer.from_pretrained(folder))
    print(json.dumps([completion.text for completion in engine.complete(json.loads(sys.argv[1]), 12)]))
"""


def benchmark(n: int = 5) -> Questions:
    samples = {
        split: tuple(Sample(f"{split} {i}", f"{split} {'long ' * (i % 3)}{i}?", str(i)) for i in range(n))
        for split in ("search", "validation", "final")
    }
    return Questions("b", "B", "last_number", False, 12, "{question}", (), samples)  # type: ignore[arg-type]


def recipe(relatives: dict[str, Parent], method: str = "dare_ties", dtype: Dtype = "float32", seed: int = 0) -> Recipe:
    space = parameter_space(
        method=method,
        parents=(relatives["one"], relatives["two"]),
        base=relatives["base"],
        n_layers=3,
        groups="block",
        settings=(),
        seed=seed,
        dtype=dtype,
    )
    return space.decode(tuple((i * 37 % 100) / 100 for i in range(space.n_genes)))


def texts(bench: Workbench, chosen: Recipe) -> list[str]:
    return [outcome.completion for outcome in bench.evaluate(chosen, benchmark(), "search").outcomes]


def test_a_score_does_not_depend_on_what_was_scored_before(relatives: dict[str, Parent]) -> None:
    fresh = texts(Workbench("cpu"), recipe(relatives))
    used = Workbench("cpu")
    others = [texts(used, passthrough_recipe(relatives["one"])), texts(used, recipe(relatives, seed=1))]
    assert texts(used, recipe(relatives)) == fresh
    assert fresh not in others


def test_a_score_does_not_depend_on_the_memory_for_parents(relatives: dict[str, Parent]) -> None:
    expected = texts(Workbench("cpu"), recipe(relatives))
    for parent_bytes in (0, 5_000, 30_000):
        assert texts(Workbench("cpu", parent_bytes), recipe(relatives)) == expected


def test_exports_are_the_models_that_were_scored(relatives: dict[str, Parent], tmp_path: Path) -> None:
    """In a fresh process, by the library's own loading: the same completions, letter by letter."""
    bench, scored, folders = Workbench("cpu"), [], []
    for dtype in DTYPES:
        chosen = recipe(relatives, dtype=dtype)
        scored.append(texts(bench, chosen))
        folders.append(str(tmp_path / dtype))
        bench.build(chosen, Path(folders[-1]))
        assert AutoModelForCausalLM.from_pretrained(folders[-1]).dtype == getattr(torch, dtype)
    prompts = json.dumps([benchmark().rendered(sample) for sample in benchmark().take("search")])
    command = [sys.executable, "-c", REPRODUCE, prompts, *folders]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert [json.loads(line) for line in done.stdout.splitlines()[-3:]] == scored


def test_an_export_is_a_folder_that_can_be_a_parent(relatives: dict[str, Parent], tmp_path: Path) -> None:
    bench, chosen = Workbench("cpu"), recipe(relatives, dtype="bfloat16")
    bench.build(chosen, tmp_path / "merged")
    facts = parent_facts(tmp_path / "merged")
    assert (facts.dtype, facts.n_layers) == ("bfloat16", 3)
    assert texts(bench, passthrough_recipe(parent(tmp_path / "merged"))) == texts(bench, chosen)


def test_building_twice_gives_the_same_bytes(relatives: dict[str, Parent], tmp_path: Path) -> None:
    chosen = recipe(relatives)
    files = [Workbench("cpu").build(chosen, tmp_path / name, {"README.md": "# card"}) for name in ("a", "b")]
    assert files[0] == files[1]
    assert {file.name for file in files[0]} == {
        "SHA256SUMS",
        "README.md",
        "config.json",
        "mergekit_config.yml",
        "generation_config.json",
        "model.safetensors",
        "recipe.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }


def test_an_export_tells_names_and_not_where_parents_lie(relatives: dict[str, Parent], tmp_path: Path) -> None:
    Workbench("cpu").build(recipe(relatives), tmp_path / "m")
    told = (tmp_path / "m" / "recipe.json").read_text() + (tmp_path / "m" / "mergekit_config.yml").read_text()
    assert relatives["one"].fingerprint in told and str(Path(relatives["one"].folder).parent) not in told


@pytest.mark.parametrize("name", ["config.json", "../x", "model.safetensors", "", "a/b"])
def test_an_extra_file_takes_no_other_s_place(relatives: dict[str, Parent], tmp_path: Path, name: str) -> None:
    with pytest.raises(MergingError, match="cannot be added to a model folder"):
        Workbench("cpu").build(recipe(relatives), tmp_path / "m", {name: "text"})
    assert os.listdir(tmp_path) == []


def test_stages_are_told_from_first_to_last(relatives: dict[str, Parent], tmp_path: Path) -> None:
    heard: list[tuple[Stage, int, int]] = []
    bench = Workbench("cpu")
    bench.evaluate(recipe(relatives), benchmark(), "search", 3, lambda *told: heard.append(told))
    assert heard[:3] == [("load", 0, 1), ("load", 1, 1), ("merge", 1, 30)]
    assert ("merge", 30, 30) in heard and heard[-1] == ("evaluate", 3, 3)
    asked = [done for stage, done, _ in heard if stage == "evaluate"]
    assert asked == sorted(asked) and len(asked) >= 12, "at every token, so that a batch can be watched and stopped"
    heard.clear()
    bench.build(recipe(relatives), tmp_path / "m", None, lambda *told: heard.append(told))
    assert heard[-1] == ("write", 30, 30)


def test_another_split_of_the_same_recipe_is_not_merged_again(relatives: dict[str, Parent]) -> None:
    heard: list[Stage] = []
    bench = Workbench("cpu")
    bench.evaluate(recipe(relatives), benchmark(), "search")
    bench.evaluate(recipe(relatives), benchmark(), "final", progress=lambda stage, done, total: heard.append(stage))
    assert set(heard) == {"evaluate"}


class Stop(Exception):
    """Raised by a caller who has had enough."""


@pytest.mark.parametrize("when", [("merge", 7), ("evaluate", 0), ("evaluate", 5), ("load", 1)])
def test_work_can_be_stopped_and_the_bench_used_again(relatives: dict[str, Parent], when: tuple[str, int]) -> None:
    def progress(stage: Stage, done: int, total: int) -> None:
        if (stage, done) == when:
            raise Stop

    bench = Workbench("cpu")
    expected = texts(bench, recipe(relatives))
    with pytest.raises(Stop):
        bench.evaluate(recipe(relatives, seed=1), benchmark(), "search", progress=progress)
    assert texts(bench, recipe(relatives)) == expected


def test_parents_that_changed_since_they_were_chosen_are_refused(relatives: dict[str, Parent], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(relatives["one"].folder, tmp_path / "one"))
    chosen = parent(folder)
    save_file(
        {name: tensor + 1 for name, tensor in load_file(folder / "model.safetensors").items()},
        folder / "model.safetensors",
    )
    with pytest.raises(ParentError, match=r"the files of one in .* have changed since it was chosen"):
        Workbench("cpu").evaluate(passthrough_recipe(chosen), benchmark(), "search")


def test_parents_that_do_not_fit_are_refused(relatives: dict[str, Parent], tmp_path: Path) -> None:
    other = parent(write_parent(tmp_path / "other", config(hidden_size=32)))
    with pytest.raises(ParentError, match="hidden_size is 32 in other and 16 in one"):
        Workbench("cpu").evaluate(uniform_average((relatives["one"], other)), benchmark(), "search")


def test_layers_stacked_and_merged_are_scored_as_what_is_built(relatives: dict[str, Parent], tmp_path: Path) -> None:
    """Four layers of three: the layers' order alone would fill a shell without a word, though the configuration says more."""
    bench, both = Workbench("cpu"), uniform_average((relatives["one"], relatives["two"]))
    groups = [replace(WHOLE_MODEL, start=i, stop=i + 1, before=i == 0, after=i == 3) for i in range(4)]
    sources = [replace(group, sources=(Source(0, 2 - i // 2), Source(1, i // 2))) for i, group in enumerate(groups)]
    stack = replace(both, groups=tuple(sources), values=both.values * 4)
    assert_scored_as_built(bench, stack, tmp_path)
    assert texts(bench, both) == texts(Workbench("cpu"), both)


def test_other_tokens_are_scored_as_what_is_built(relatives: dict[str, Parent], tmp_path: Path) -> None:
    bench, other = Workbench("cpu"), write_parent(tmp_path / "other", config(vocab_size=260))
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    new = {"id": 259, "content": "<new>", **flags}
    edit_json(other / "tokenizer.json", lambda value: value["added_tokens"].append(new))
    average = uniform_average((relatives["one"], parent(other)))
    for tokenizer in ("union", "first"):
        assert_scored_as_built(bench, replace(average, companions=Companions(tokenizer)), tmp_path)
    path = replace(passthrough_recipe(relatives["one"]), companions=Companions("union"))
    assert texts(bench, path) == texts(bench, passthrough_recipe(relatives["one"]))


def test_a_chat_template_of_the_recipe_s_own_is_what_prompts_are_rendered_by(relatives: dict[str, Parent]) -> None:
    chosen = replace(
        passthrough_recipe(relatives["one"]), companions=Companions(chat_template="{{ messages[0].content }}!")
    )
    model = Workbench("cpu").model(chosen)
    assert model.as_chats(["hello", "you"]) == ["hello!", "you!"]


def assert_scored_as_built(bench: Workbench, chosen: Recipe, tmp_path: Path) -> None:
    scored, folder = texts(bench, chosen), tmp_path / chosen.digest()
    bench.build(chosen, folder)
    assert scored == texts(Workbench("cpu"), passthrough_recipe(parent(folder)))


def test_the_same_models_are_checked_again_for_another_donor(relatives: dict[str, Parent], tmp_path: Path) -> None:
    bench, tied = Workbench("cpu"), parent(write_parent(tmp_path / "tied", config(tie_word_embeddings=True)))
    chosen = replace(recipe(relatives), base=tied, companions=Companions("first"))
    assert bench.model(chosen)
    with pytest.raises(ParentError, match="no place for an output embedding"):
        bench.model(replace(chosen, companions=Companions("base")))


def test_a_failed_merge_leaves_no_folder_and_a_bench_that_works(relatives: dict[str, Parent], tmp_path: Path) -> None:
    average = uniform_average((relatives["one"], relatives["two"]))
    broken = replace(average, values=(({"weight": 1e38}, {"weight": 1e38}),), settings={"normalize": False})
    bench = Workbench("cpu")
    expected = texts(bench, recipe(relatives))
    with pytest.raises(TensorError, match="is not finite after merging"):
        bench.evaluate(broken, benchmark(), "search")
    with pytest.raises(TensorError, match="is not finite after merging"):
        bench.build(broken, tmp_path / "m")
    assert os.listdir(tmp_path) == [] and texts(bench, recipe(relatives)) == expected


def test_groups_for_another_depth_are_refused(relatives: dict[str, Parent]) -> None:
    deeper = parameter_space(
        method="linear",
        parents=(relatives["one"],),
        base=None,
        n_layers=4,
        groups="2",
        settings=(),
        seed=0,
        dtype="float32",
    )
    with pytest.raises(RecipeError, match="groups for 4 layers"):
        Workbench("cpu").model(deeper.origin)


def test_parents_of_different_dtypes_merge(relatives: dict[str, Parent], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(relatives["two"].folder, tmp_path / "two"))
    halves = {name: tensor.half() for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(halves, folder / "model.safetensors")
    files = Workbench("cpu").build(uniform_average((relatives["one"], parent(folder)), "bfloat16"), tmp_path / "m")
    assert {tensor.dtype for tensor in load_file(tmp_path / "m" / "model.safetensors").values()} == {torch.bfloat16}
    assert files


def test_a_closed_bench_gives_its_parents_back_and_can_be_used_again(relatives: dict[str, Parent]) -> None:
    bench = Workbench("cpu")
    expected = texts(bench, recipe(relatives))
    bench.close()
    assert texts(bench, recipe(relatives)) == expected


def test_what_asked_too_much_asks_half_for_every_candidate_of_its_kind(relatives: dict[str, Parent]) -> None:
    bench, kept = Workbench("cpu"), passthrough_recipe(relatives["one"])
    expected = texts(bench, recipe(relatives))
    bench.ask_less()
    bench.ask_less()  # nothing is in place, so it was not the batch
    assert texts(bench, recipe(relatives)) == expected
    assert [batch_share(bench, chosen) for chosen in (recipe(relatives), recipe(relatives, seed=1))] == [0.5, 0.5]
    bench.ask_less()
    assert batch_share(bench, kept) == 0.25


def test_models_of_another_kind_are_asked_as_much_as_ever(relatives: dict[str, Parent], tmp_path: Path) -> None:
    bench, other = Workbench("cpu"), parent(write_parent(tmp_path / "other", config(tie_word_embeddings=True)))
    batch_share(bench, recipe(relatives))
    bench.ask_less()
    assert batch_share(bench, passthrough_recipe(other)) == 1


def batch_share(bench: Workbench, chosen: Recipe) -> float:
    return bench.model(chosen)._batch_share  # type: ignore[attr-defined,no-any-return]

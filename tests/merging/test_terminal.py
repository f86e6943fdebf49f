"""`python -m merging`: a recipe in a file becomes a folder, or one line says why nothing did."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from merging.__main__ import folder_here, main
from merging.fingerprints import fingerprint
from merging.indexes import SINGLE
from tests.merging.caches import in_the_hub_s_cache
from tests.merging.models import N_TOKENS, set_config, tokenizer, write_parent, write_relative

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def family(tmp_path: Path) -> dict[str, Path]:
    """A base and two fine-tunes that a test may damage."""
    base = write_parent(tmp_path / "base")
    return {"base": base, **{name: write_relative(tmp_path / name, base, i) for i, name in enumerate(("one", "two"))}}


def yaml_of(folders: dict[str, Path], method: str = "task_arithmetic", **more: float) -> Path:
    """A file in mergekit's format beside the folders."""
    models = [{"model": str(folders[name]), "parameters": {"weight": 0.5, **more}} for name in ("one", "two")]
    content = {"merge_method": method, "base_model": str(folders["base"]), "models": models, "dtype": "float32"}
    file = folders["base"].parent / "recipe.yml"
    file.write_text(json.dumps(content))
    return file


def test_yaml_becomes_a_folder_whose_recipe_knows_the_parents_files(family: dict[str, Path], tmp_path: Path) -> None:
    assert main([str(yaml_of(family)), str(tmp_path / "out")]) == 0
    written = json.loads((tmp_path / "out/recipe.json").read_text())
    assert [model["fingerprint"] for model in written["parents"]] == [fingerprint(family[n]) for n in ("one", "two")]
    assert written["base"]["fingerprint"] == fingerprint(family["base"])


IN_A_PROCESS = """
import json, sys
from merging import streaming
from merging.__main__ import main
streaming._may_have_gpu = lambda: False
for recipe, out in json.loads(sys.argv[1]):
    assert main([recipe, out]) == 0
print("torch" in sys.modules)
"""


def test_a_merge_in_one_pass_imports_no_torch(family: dict[str, Path], tmp_path: Path) -> None:
    """mergekit's rules with masks, sums and ranks, and then ours, of a recipe that says nothing of mergekit."""
    merges = []
    for method in ("ties", "dare_ties", "della"):
        merges.append(
            (str(yaml_of(family, method, density=0.5).rename(tmp_path / f"{method}.yml")), f"{tmp_path}/{method}")
        )
    main([*merges[0]])
    recipe = json.loads((tmp_path / "ties/recipe.json").read_text())
    (tmp_path / "own.json").write_text(json.dumps({**recipe, "as_mergekit": None}))
    merges[0] = (str(tmp_path / "own.json"), str(tmp_path / "own"))
    run = [sys.executable, "-c", IN_A_PROCESS, json.dumps(merges)]
    done = subprocess.run(
        run, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.stdout.splitlines()[-1:] == ["False"], done.stderr


def test_the_recipe_of_a_finished_model_builds_it_again(family: dict[str, Path], tmp_path: Path) -> None:
    main([str(yaml_of(family)), str(tmp_path / "out")])
    assert main([str(tmp_path / "out/recipe.json"), str(tmp_path / "again")], folder_here) == 0
    for name in ("recipe.json", SINGLE):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def from_text(text: str, tmp_path: Path) -> dict[str, torch.Tensor]:
    """What `merge` makes of a file in the folder of the models."""
    file = tmp_path / "recipe.yml"
    file.write_text(text.replace("models/", f"{tmp_path}/"))
    assert main([str(file), str(tmp_path / "out"), "--seed", "3"]) == 0
    return load_file(tmp_path / "out" / SINGLE)


def test_filters_and_gradients_reach_their_tensors(family: dict[str, Path], tmp_path: Path) -> None:
    merged = from_text(
        """
        merge_method: task_arithmetic
        base_model: models/base
        models:
          - model: models/one
            parameters: {weight: [{filter: mlp, value: [0, 1]}, {filter: lm_head, value: 2}, {value: 0}]}
        dtype: float32
        """,
        tmp_path,
    )
    base, one = load_file(family["base"] / SINGLE), load_file(family["one"] / SINGLE)
    for name, tensor in merged.items():
        depth = int(name.split(".")[2]) / 2 if ".mlp." in name else 0
        weight = depth if ".mlp." in name else 2 * ("lm_head" in name)
        torch.testing.assert_close(tensor, base[name] + weight * (one[name] - base[name]))


def test_layers_are_stacked(family: dict[str, Path], tmp_path: Path) -> None:
    merged = from_text(
        """
        merge_method: passthrough
        slices:
          - sources: [{model: models/one, layer_range: [0, 3]}]
          - sources: [{model: models/two, layer_range: [1, 3], parameters: {scale: [{filter: o_proj, value: 0}]}}]
        dtype: float32
        """,
        tmp_path,
    )
    one, two = load_file(family["one"] / SINGLE), load_file(family["two"] / SINGLE)
    assert torch.equal(merged["model.embed_tokens.weight"], one["model.embed_tokens.weight"])
    assert torch.equal(merged["lm_head.weight"], two["lm_head.weight"])
    for layer, (there, number) in enumerate([(one, 0), (one, 1), (one, 2), (two, 1), (two, 2)]):
        for name in ("mlp.up_proj", "self_attn.o_proj"):
            expected = there[f"model.layers.{number}.{name}.weight"] * (name != "self_attn.o_proj" or layer < 3)
            assert torch.equal(merged[f"model.layers.{layer}.{name}.weight"], expected)
    models: Any = AutoModelForCausalLM
    assert len(models.from_pretrained(tmp_path / "out").model.layers) == 5
    assert json.loads((tmp_path / "out/config.json").read_text())["num_hidden_layers"] == 5


def test_a_stack_comes_out_as_mergekit_s_file_and_builds_itself_again(family: dict[str, Path], tmp_path: Path) -> None:
    text = "merge_method: passthrough\ndtype: float32\nslices: [{sources: [{model: models/one, layer_range: [1, 3]}]}]"
    merged = from_text(text, tmp_path)
    again = (tmp_path / "out/mergekit_config.yml").read_text().replace(f"{tmp_path}/", "models/")
    (tmp_path / "out").rename(tmp_path / "first")
    assert {name: tensor.tolist() for name, tensor in from_text(again, tmp_path).items()} == {
        name: tensor.tolist() for name, tensor in merged.items()
    }


@pytest.mark.parametrize("source", ["union", "base"])
def test_a_tokenizer_is_chosen(family: dict[str, Path], tmp_path: Path, source: str) -> None:
    """Of a parent that has one token more and an embedding for it."""
    words: Any = tokenizer()
    words.add_special_tokens({"additional_special_tokens": ["<turn>"]})
    words.save_pretrained(family["one"])
    set_config(family["one"], vocab_size=N_TOKENS + 1)
    tensors = load_file(family["one"] / SINGLE)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        tensors[name] = torch.cat([tensors[name], torch.ones(1, tensors[name].shape[1])])
    save_file(tensors, family["one"] / SINGLE)
    merged = from_text(
        f"""
        merge_method: task_arithmetic
        base_model: models/base
        models: [{{model: models/one, parameters: {{weight: 1}}}}]
        dtype: float32
        tokenizer_source: {source}
        chat_template: "{{{{ messages[0].content }}}}<turn>"
        """,
        tmp_path,
    )
    auto: Any = AutoTokenizer
    loaded = auto.from_pretrained(tmp_path / "out")
    assert ("<turn>" in loaded.get_vocab()) == (source == "union")
    assert len(merged["lm_head.weight"]) == N_TOKENS + (source == "union")
    assert source == "base" or torch.equal(merged["lm_head.weight"][-1], torch.ones(16))
    assert loaded.chat_template.endswith("<turn>")


def refused(arguments: list[Path], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that says why, when nothing was left."""
    out = arguments[-1]
    assert main([str(argument) for argument in arguments]) == 1
    assert not out.exists() and not out.with_name(f".{out.name}.partial").exists()
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("progeny: ")
    return last


def test_a_parent_that_changed_since_is_named(
    family: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(yaml_of(family)), str(tmp_path / "out")])
    with (family["two"] / SINGLE).open("r+b") as file:
        file.seek(-3, os.SEEK_END)
        file.write(b"\x11")
    message = refused([tmp_path / "out/recipe.json", tmp_path / "again"], capsys)
    assert f"the files of {family['two']}" in message and "have changed" in message


def test_a_parent_that_is_cut_off_is_named(
    family: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.truncate(family["one"] / SINGLE, os.path.getsize(family["one"] / SINGLE) - 5)
    message = refused([yaml_of(family), tmp_path / "out"], capsys)
    assert SINGLE in message and "cut off" in message


def test_a_damaged_file_of_the_hub_s_cache_is_named_and_nothing_is_built(
    family: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    family["one"] = in_the_hub_s_cache(family["one"], tmp_path / "cache")
    assert main([str(yaml_of(family)), str(tmp_path / "out")]) == 0
    with (family["one"] / SINGLE).open("r+b") as file:
        file.seek(-3, os.SEEK_END)
        file.write(b"\x11")
    message = refused([yaml_of(family), tmp_path / "again"], capsys)
    assert f"{SINGLE} in {family['one']} is damaged: its hash is" in message


def test_a_number_that_is_none_is_named_by_its_tensor(
    family: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "model.layers.1.mlp.up_proj.weight"
    tensors = load_file(family["one"] / SINGLE)
    tensors[name][3, 2] = torch.nan
    save_file(tensors, family["one"] / SINGLE)
    message = refused([yaml_of(family), tmp_path / "out"], capsys)
    assert f"{family['one']} is damaged: 1 numbers of its {name} are not finite" in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"a": 1, "a": 2}', "the key 'a' comes twice"),
        ("[]", "expected an object"),
    ],
)
def test_a_recipe_that_is_no_recipe_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    (tmp_path / "recipe.json").write_text(text)
    assert said in refused([tmp_path / "recipe.json", tmp_path / "out"], capsys)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "recipe.yml").write_bytes(b"merge_method: \xff")
    assert "is no text in UTF-8" in refused([tmp_path / "recipe.yml", tmp_path / "out"], capsys)


def test_a_model_that_is_not_there_is_named(
    family: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = yaml_of({**family, "one": tmp_path / "nowhere"})
    assert f"there is no folder '{tmp_path / 'nowhere'}'" in refused([file, tmp_path / "out"], capsys)


def test_what_stands_in_the_place_is_not_touched(
    family: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(yaml_of(family)), str(family["one"])]) == 1
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_merge_that_is_stopped_leaves_nothing(
    family: dict[str, Path], tmp_path: Path, number: signal.Signals
) -> None:
    """The signal comes while the first tensor is on its way to the disk."""
    code = f"""
import os, signal, sys
from merging.__main__ import main
from merging.tensors import TensorWriter
TensorWriter.add = lambda *given: os.kill(os.getpid(), {number.value})
sys.exit(main(sys.argv[1:]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(yaml_of(family)), str(tmp_path / "out")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 130 and "stopped" in done.stderr.splitlines()[-1]
    assert sorted(os.listdir(tmp_path)) == ["base", "one", "recipe.yml", "two"]


def test_a_merge_that_is_killed_leaves_no_folder_and_the_next_one_names_what_it_left(
    family: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = f"""
import os, sys
from merging.__main__ import main
from merging.tensors import TensorWriter
TensorWriter.add = lambda *given: os.kill(os.getpid(), {signal.SIGKILL.value})
sys.exit(main(sys.argv[1:]))
"""
    arguments = [str(yaml_of(family)), str(tmp_path / "out")]
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL and not (tmp_path / "out").exists()
    assert main([arguments[0], str(tmp_path / "other")]) == 0
    assert f"A merge that was killed left {tmp_path}/.out.partial" in capsys.readouterr().out
    assert main(arguments) == 0 and not (tmp_path / ".out.partial").exists()


def test_a_merge_loads_no_model_library(family: dict[str, Path], tmp_path: Path) -> None:
    code = "import sys; from merging.__main__ import main; early = 'torch' in sys.modules; main(sys.argv[1:])"
    report = "; print(early, {'transformers', 'django', 'cma'} & set(sys.modules))"
    arguments = [str(yaml_of(family)), str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-c", code + report, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False set()"

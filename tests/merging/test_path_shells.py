"""Paths over layers that are in memory once: exact against copies of the layers, cheap, and without a trace in the parents."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, PreTrainedModel

from merging.assembly import Place, assemble
from merging.engines.transformers import TransformersEngine
from merging.errors import ParentError, RecipeError
from merging.families import families
from merging.hops import Hop, LayerPath
from merging.path_shells import PathShell, all_blocks, can_be_followed, needed_blocks
from merging.paths import path_recipe
from merging.plans import plan
from merging.recipes import (
    Companions,
    LayerGroup,
    Parent,
    Recipe,
    Source,
    passthrough_recipe,
    uniform_average,
)
from merging.shelves import ParentShelf
from merging.workbench import Workbench
from tests.merging.contracts.test_families import TOKENS, VARIANTS, loaded, logits, saved
from tests.merging.models import config, edit_json, parent, set_config, write_parent

CPU: Final = torch.device("cpu")
KINDS: Final = ["full_attention", "sliding_attention", "full_attention"]
OTHER_KINDS: Final[Mapping[str, Mapping[str, Any]]] = {"gemma3_text": {"layer_types": KINDS}}
"""What the second parent's layers are where they can differ."""
MIXED: Final = ((0, 0), (0, 1), (1, 1), (1, 2), (0, 1), (0, 0), (1, 0), (0, 2))
"""Repeats, a jump to the other parent and back, and a layer in another place than it was trained in."""
SCALES: Final = (1.0, 0.7, 1.3, 1.0, 0.9, 1.1, 1.0, 0.8)
PROMPTS: Final = ["a", "two words", "the longest of these prompts by far", "b", "middle sized"]

EVERY_FAMILY = pytest.mark.parametrize(
    ("model_type", "changes"), [*((family.model_type, {}) for family in families), *VARIANTS], ids=str
)


pytestmark = pytest.mark.usefixtures("quiet_library", "one_thread")


def two(folder: Path, model_type: str = "llama", changes: Mapping[str, Any] | None = None) -> tuple[Parent, Parent]:
    """Unrelated models that fit."""
    first, second = {**(changes or {})}, {**(changes or {}), **OTHER_KINDS.get(model_type, {})}
    return parent(saved(folder / "a", model_type, first, 1)), parent(saved(folder / "b", model_type, second, 2))


def recipe(parents: Sequence[Parent], hops: Sequence[tuple[int, int]], scales: Sequence[float] = ()) -> Recipe:
    scaled = zip(hops, scales or [1.0] * len(hops), strict=True)
    return path_recipe(parents, LayerPath(tuple(Hop(parent, layer, scale) for (parent, layer), scale in scaled)))


def shell(parents: Sequence[Parent]) -> PathShell:
    """All layers of these."""
    shelf, whole = ParentShelf(CPU, 0), recipe(parents, [(i, 0) for i in range(len(parents))])
    facts = shelf.open(whole)
    blocks = all_blocks(whole, facts)
    jobs = plan(blocks, facts)
    made = PathShell(blocks, jobs, facts, CPU, torch.float32)
    made.load(assemble(blocks, jobs, shelf, Place(made.targets)))
    return made


class Scaled(nn.Module):
    def __init__(self, layer: nn.Module, scale: float) -> None:
        super().__init__()
        self.layer, self.scale = layer, scale

    def forward(self, stream: Tensor, *others: Any, **named: Any) -> Any:
        return self.layer(self.scale * stream, *others, **named)


def naive(parents: Sequence[Parent], hops: Sequence[tuple[int, int]], scales: Sequence[float]) -> PreTrainedModel:
    """The first parent, as the library loads it, with a list of copied layers."""
    models: list[Any] = [loaded(Path(one.folder)) for one in parents]
    name = next(name for name, module in models[0].named_modules() if isinstance(module, nn.ModuleList))
    layers = [copy.deepcopy(models[parent].get_submodule(name)[layer]) for parent, layer in hops]
    for i, layer in enumerate(layers):
        for module in layer.modules():
            if hasattr(module, "layer_idx"):
                module.layer_idx = i
    models[0].set_submodule(name, nn.ModuleList(map(Scaled, layers, scales)))
    kinds = [getattr(models[parent].config, "layer_types", None) for parent, _ in hops]
    models[0].config.num_hidden_layers = len(hops)
    if kinds[0]:
        models[0].config.layer_types = [kinds[i][layer] for i, (_, layer) in enumerate(hops)]
    found: PreTrainedModel = models[0]
    return found


def completed(model: Any, use_cache: bool) -> list[int]:
    found: list[int] = model.generate(TOKENS, max_new_tokens=12, do_sample=False, use_cache=use_cache)[0].tolist()
    return found


@EVERY_FAMILY
def test_a_path_is_what_copied_layers_are(tmp_path: Path, model_type: str, changes: Mapping[str, Any]) -> None:
    """To the bit: the first parent by itself, and any other path; and decoding with its cache changes nothing."""
    parents = two(tmp_path, model_type, changes)
    live, own = shell(parents), loaded(Path(parents[0].folder))
    for _ in range(2):
        live.follow(recipe(parents[:1], [(0, 0), (0, 1), (0, 2)]))
        assert torch.equal(logits(live.model), logits(own))
        live.follow(recipe(parents, MIXED, SCALES))
        assert torch.equal(logits(live.model), logits(naive(parents, MIXED, SCALES)))
    assert completed(live.model, use_cache=True) == completed(live.model, use_cache=False)


@EVERY_FAMILY
def test_a_built_path_is_the_one_that_was_scored(tmp_path: Path, model_type: str, changes: Mapping[str, Any]) -> None:
    """Loaded by the library from the folder alone: to the bit without scales, to the rounding of float32 with them."""
    parents, bench = two(tmp_path, model_type, changes), Workbench("cpu")
    live = shell(parents)
    for name, scales in (("plain", ()), ("scaled", SCALES)):
        chosen = recipe(parents, MIXED, scales)
        bench.build(chosen, tmp_path / name)
        live.follow(chosen)
        found, expected = logits(live.model), logits(loaded(tmp_path / name))
        assert torch.equal(found, expected) if not scales else (found - expected).norm() < 1e-4 * expected.norm()


@pytest.mark.parametrize("model_type", ["llama", "gemma3_text", "gpt2", "gpt_neox", "qwen2_moe"])
def test_a_bench_asks_a_path_as_it_asks_the_model_that_was_built(tmp_path: Path, model_type: str) -> None:
    """With rows that come and go in one batch, and with continuations that share a context."""
    parents, bench = two(tmp_path, model_type), Workbench("cpu")
    chosen = recipe(parents, MIXED)
    bench.build(chosen, tmp_path / "built")
    built = TransformersEngine(loaded(tmp_path / "built"), AutoTokenizer.from_pretrained(tmp_path / "built"))
    pairs = [("the same context", "one"), ("the same context", "another"), ("a context", "a third")]
    for _ in range(2):
        live = bench.model(chosen)
        assert live.complete(PROMPTS, 24) == built.complete(PROMPTS, 24)
        for found, expected in zip(live.likelihoods(pairs), built.likelihoods(pairs), strict=True):
            assert (found.n_tokens, found.greedy) == (expected.n_tokens, expected.greedy)
            assert found.log_probability == pytest.approx(
                expected.log_probability, rel=1e-6
            )  # where tensors lie in memory
        bench.model(recipe(parents, MIXED[:3]))


@pytest.mark.parametrize("model_type", ["llama", "qwen2", "gemma2", "gpt2"])
def test_a_bench_hears_scales_in_everything_it_asks(tmp_path: Path, model_type: str) -> None:
    """However the engine reads the layers."""
    parents = two(tmp_path, model_type)
    live, copied = Workbench("cpu").model(recipe(parents, MIXED, SCALES)), naive(parents, MIXED, SCALES)
    expected = TransformersEngine(copied, AutoTokenizer.from_pretrained(parents[0].folder))
    assert live.complete(PROMPTS, 24) == expected.complete(PROMPTS, 24)
    pairs = [("the same context", "one"), ("the same context", "another"), ("a context", "a third")]
    assert [one.log_probability for one in live.likelihoods(pairs)] == pytest.approx(
        [one.log_probability for one in expected.likelihoods(pairs)],
        rel=1e-5,  # another order of additions
    )


def test_memory_does_not_grow_with_hops(tmp_path: Path) -> None:
    """Two models' layers, one model's embeddings and head: the same storages for every path."""
    parents = two(tmp_path)
    live = shell(parents)
    before = storages(live.model)
    own, whole = loaded(Path(parents[0].folder)), sum(parameter.numel() for parameter in live.model.parameters())
    layers = sum(parameter.numel() for parameter in own.model.layers.parameters())
    assert whole == own.num_parameters() + layers
    n_passed = [live.follow(recipe(parents, MIXED * times)) for times in (1, 30)]
    assert len(live.model.model.layers) == 240 and n_passed[1] - n_passed[0] == 29 * 8 * layers // 3
    assert storages(live.model) <= before


def storages(model: nn.Module) -> set[int]:
    return {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}


def test_following_paths_changes_no_tensor(tmp_path: Path) -> None:
    parents = two(tmp_path)
    live = shell(parents)
    before = [(name, tensor.clone()) for name, tensor in live.targets.items()]
    for times in (1, 2, 3):
        live.follow(recipe(parents, MIXED * times, SCALES * times))
        completed(live.model, use_cache=True)
    assert all(torch.equal(live.targets[name], tensor) for name, tensor in before)


def texts(bench: Workbench, chosen: Recipe) -> list[str]:
    return [completion.text for completion in bench.model(chosen).complete(PROMPTS, 16)]


def test_paths_and_merges_take_turns_and_leave_nothing_behind(tmp_path: Path) -> None:
    parents = two(tmp_path)
    chosen = [
        recipe(parents, MIXED, SCALES),
        uniform_average(parents),
        recipe(parents[::-1], MIXED),
        recipe(parents, MIXED[:3]),
        passthrough_recipe(parents[1]),
    ]
    expected = [texts(Workbench("cpu"), one) for one in chosen]
    assert len({tuple(found) for found in expected}) == len(chosen)
    bench = Workbench("cpu")
    seen = []
    for i in (0, 1, 2, 0, 3, 4, 3, 1, 0):
        assert texts(bench, chosen[i]) == expected[i]
        seen.append(weakref.ref(bench.model(chosen[i])._model))  # type: ignore[attr-defined]
    bench.close()
    gc.collect()
    assert [one() for one in seen] == [None] * len(seen)


def test_another_path_through_the_same_parents_reads_no_file(tmp_path: Path) -> None:
    """Nor one through fewer of them."""
    parents, bench = two(tmp_path), Workbench("cpu")
    heard: list[str] = []
    bench.model(recipe(parents, MIXED), lambda stage, done, total: heard.append(stage))
    assert heard.count("merge") == 57  # 2 x 3 layers of 9 tensors, and 3 beside them
    (Path(parents[1].folder) / "model.safetensors").rename(tmp_path / "away")
    bench.model(recipe(parents, MIXED * 2, SCALES * 2), lambda stage, done, total: heard.append(stage))
    bench.model(recipe(parents[:1], [(0, 0), (0, 2)]), lambda stage, done, total: heard.append(stage))
    bench.model(recipe(parents, MIXED), lambda stage, done, total: heard.append(stage))
    assert heard.count("merge") == 57


def test_where_memory_is_short_a_path_has_its_own_layers_alone(tmp_path: Path) -> None:
    parents = two(tmp_path)
    short, few = recipe(parents, MIXED[:3]), recipe(parents, [(0, 0), (1, 1), (1, 1)])
    bench, heard = Workbench("cpu", parent_bytes=0), list[str]()
    assert texts(bench, short) == texts(Workbench("cpu"), short)
    assert n_layers(bench) == 3
    bench.model(few, lambda stage, done, total: heard.append(stage))
    assert "merge" not in heard and n_layers(bench) == 3, "its layers are there"
    bench.model(recipe(parents, [(0, 2), (1, 0)]))
    assert n_layers(bench) == 2


def n_layers(bench: Workbench) -> int:
    """Layers that have memory."""
    model: Any = bench._seat.shell._shell  # type: ignore[union-attr]
    return len({name.split(".")[2] for name in model.targets if name.startswith("model.layers.")})


def test_parents_that_are_on_the_shelf_make_room_for_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the path's layers take theirs."""
    parents, bench, kept = two(tmp_path), Workbench("cpu"), list[int]()

    def watched(*given: Any) -> PathShell:
        kept.append(bench._shelf._n_bytes)
        return PathShell(*given)

    monkeypatch.setattr("merging.workbench.PathShell", watched)
    bench.model(uniform_average(parents))
    assert bench._shelf._n_bytes > 0
    bench.model(recipe(parents, MIXED))
    assert [*kept, bench._shelf._n_bytes] == [0, 0]


def test_a_stack_with_another_parent_s_head_is_scored(tmp_path: Path) -> None:
    """As mergekit stacks models: the end is the last slice's."""
    a, b = two(tmp_path)
    groups = (
        LayerGroup("layers 0-1", 0, 2, True, False, sources=(Source(0, 0),)),
        LayerGroup("layers 2-3", 2, 4, False, True, sources=(Source(1, 1),)),
    )
    stack = replace(passthrough_recipe(a), parents=(a, b), groups=groups, values=(({"scale": 1.0},),) * 2)
    recipes = (stack, passthrough_recipe(a), uniform_average((a, b)))
    assert [can_be_followed(recipe) for recipe in recipes] == [True, False, False]
    bench = Workbench("cpu")
    found = texts(bench, stack)
    bench.build(stack, tmp_path / "built")
    assert found == texts(bench, passthrough_recipe(parent(tmp_path / "built")))
    assert texts(bench, recipe((a, b), [(0, 0), (0, 1), (1, 1), (1, 2)])) != found, "that has the head of a"


def test_a_path_has_the_tokens_of_its_first_parent(tmp_path: Path) -> None:
    a = parent(write_parent(tmp_path / "a"))
    folder = write_parent(tmp_path / "b", config(vocab_size=260), seed=1)
    edit_json(folder / "tokenizer.json", lambda value: value["added_tokens"].append({"id": 259, "content": "<new>"}))
    chosen = recipe((a, parent(folder)), [(0, 0), (1, 1), (0, 2)])
    bench = Workbench("cpu")
    with pytest.raises(ParentError, match="made from a, which lack 1 tokens"):
        bench.model(replace(chosen, companions=Companions("union")))
    assert texts(bench, replace(chosen, companions=Companions("first")))


def test_a_path_beyond_a_parent_s_layers_is_refused(tmp_path: Path) -> None:
    parents, bench = two(tmp_path), Workbench("cpu")
    expected = texts(bench, recipe(parents, MIXED))
    with pytest.raises(RecipeError, match="layers 3 to 3 of b, which has 3"):
        bench.model(recipe(parents, [(0, 0), (1, 3)]))
    assert texts(bench, recipe(parents, MIXED)) == expected


def test_scales_that_cannot_be_built_are_not_scored(tmp_path: Path) -> None:
    parents, bench = two(tmp_path), Workbench("cpu")
    half = replace(recipe(parents, [(0, 1)] * 16, [1.4] * 16), dtype="float16")
    bench.model(replace(recipe(parents, [(0, 1)] * 16), dtype="float16"))
    assert bench.model(replace(half, scales=(*half.scales[:15], 0.9)))
    with pytest.raises(RecipeError, match="for which float16 has room"):
        bench.model(replace(half, scales=(1.5,) * 16))


def test_a_layer_keeps_how_far_it_looks(tmp_path: Path) -> None:
    """A window goes with its layer, also to a place where the first parent has none."""
    sizes = {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 2}
    a = parent(saved(tmp_path / "a", "qwen2", {**sizes, "layer_types": ["full_attention"] * 3}, 1))
    b = parent(saved(tmp_path / "b", "qwen2", {**sizes, "layer_types": ["sliding_attention"] * 3}, 1))
    live = shell((a, b))
    found = []
    for of_one in (0, 1):
        live.follow(recipe((a, b), [(0, 0), (of_one, 1), (0, 2)]))
        found.append(logits(live.model))
    assert torch.equal(found[0][:, :4], found[1][:, :4]) and not torch.equal(found[0], found[1])


def test_layers_that_compute_with_their_number_are_refused(tmp_path: Path) -> None:
    """A view has another number, and nothing else of it would be another."""
    folder = saved(tmp_path / "a", "gpt2", {})
    set_config(folder, scale_attn_by_inverse_layer_idx=True)
    with pytest.raises(ParentError, match="which divides attention by a layer's number"):
        Workbench("cpu").model(recipe((parent(folder),), [(0, 0), (0, 0)]))


def test_vllm_refuses_a_path_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("merging.workbench.check_usable", lambda device: None)
    bench = Workbench("cpu", parent_bytes=2**20, engine="vllm")
    with pytest.raises(RecipeError, match="vLLM cannot follow a path of layers"):
        bench.model(recipe(two(tmp_path), MIXED))


def test_needed_layers_are_stacked_once_each_in_order(tmp_path: Path) -> None:
    blocks = needed_blocks(recipe(two(tmp_path), [(1, 2), (0, 1), (1, 2), (0, 0), (0, 1), (1, 0)]))
    assert [(group.start, group.stop, group.sources) for group in blocks.groups[1:-1]] == [
        (0, 2, (Source(0, 0),)),
        (2, 3, (Source(1, 0),)),
        (3, 4, (Source(1, 2),)),
    ]


def test_what_fits_as_a_path_is_not_taken_to_fit_as_a_stack(tmp_path: Path) -> None:
    """Ends of a stack come from both models, which tie their embeddings or not; a path's are the first parent's."""
    a = parent(write_parent(tmp_path / "a", config(tie_word_embeddings=True)))
    b = parent(write_parent(tmp_path / "b", seed=1))
    bench, path = Workbench("cpu"), recipe((a, b), [(0, 0), (1, 1)])
    assert texts(bench, path)
    ended_by_b = replace(path.groups[-1], start=1, stop=2, sources=(Source(1, 1),), before=False, after=True)
    stack = replace(path, groups=(path.groups[0], ended_by_b), values=path.values[:2])
    with pytest.raises(ParentError, match="no place for an output embedding"):
        bench.model(stack)

"""What a path exports is what the path does: plain transformers on the folder, against layers copied and hooked by hand."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from merging.__main__ import main
from merging.absorption import Absorption
from merging.errors import RecipeError
from merging.families import families, unlisted
from merging.fingerprints import fingerprint
from merging.hops import Hop, LayerPath
from merging.indexes import SINGLE
from merging.paths import path_recipe
from merging.recipes import Dtype, Parent, Recipe
from tests.merging.contracts.test_families import SHAPES, VARIANTS, described, loaded, logits
from tests.merging.models import tokenizer

DEPTHS: Final = (3, 4)
"""Of the two parents."""
ROUTE: Final = ((0, 0), (0, 1), (1, 1), (1, 2), (1, 2), (0, 1), (1, 3), (1, 0), (0, 2))
"""Repeats, a step back, and layers that A has not as many of."""
EVERY_FAMILY: Final = pytest.mark.parametrize(
    ("model_type", "changes"),
    [
        *((family.model_type, {"tie_word_embeddings": tied}) for family in families for tied in (False, True)),
        *VARIANTS,
        ("stablelm", {"use_parallel_residual": True}),
        ("gpt_neox", {"use_parallel_residual": False}),
        ("granite", {"residual_multiplier": 0.22, "embedding_multiplier": 12.0, "logits_scaling": 8.0}),
        ("qwen2", {"use_sliding_window": True, "max_window_layers": 1, "sliding_window": 4}),
    ],
    ids=str,
)


pytestmark = pytest.mark.usefixtures("quiet_library")


def written(folder: Path, model_type: str, changes: Mapping[str, Any], number: int) -> Any:
    """A parent with all its tensors drawn at random, norms and biases too, in a folder; the model."""
    n_layers, kinds = DEPTHS[number], SHAPES.get(model_type, {}).get("layer_types")
    depth: dict[str, Any] = {"n_layer" if model_type == "gpt2" else "num_hidden_layers": n_layers}
    if kinds and "layer_types" not in changes:
        depth |= {"layer_types": [kinds[(i + number) % len(kinds)] for i in range(n_layers)]}
    model = described(model_type, {**changes, **depth}, seed=number)
    adds_one = families.get(model_type).norms_add_one
    for name, tensor in model.named_parameters():
        if ("norm" in name or "ln_" in name) and name.endswith("weight") and not adds_one:
            tensor.data += 1  # as norms are; 0.3 around 0 would make a branch nothing
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return model


def parents(tmp_path: Path, model_type: str, changes: Mapping[str, Any]) -> tuple[list[Parent], list[Any]]:
    models = [written(tmp_path / name, model_type, changes, i) for i, name in enumerate("ab")]
    folders = [tmp_path / name for name in "ab"]
    return [Parent(folder.name, str(folder), fingerprint(folder)) for folder in folders], models


def scaled_route(seed: int) -> LayerPath:
    scales = torch.empty(len(ROUTE)).uniform_(0.4, 1.5, generator=torch.Generator().manual_seed(seed)).tolist()
    return LayerPath(tuple(Hop(*hop, scale) for hop, scale in zip(ROUTE, scales, strict=True)))


def naive(models: list[Any], path: LayerPath) -> Any:
    """A's model with copies of the path's layers, and a hook before each that multiplies the hidden state."""
    made = copy.deepcopy(models[0])
    name = families.get(made.config.model_type).parts[0].names[0].partition(".{}")[0]
    layers = nn.ModuleList(copy.deepcopy(models[hop.parent].get_submodule(name)[hop.layer]) for hop in path.hops)
    for number, (layer, hop) in enumerate(zip(layers, path.hops, strict=True)):
        for module in layer.modules():
            if hasattr(module, "layer_idx"):
                setattr(module, "layer_idx", number)  # noqa: B010
        layer.register_forward_pre_hook(lambda _, inputs, scale=hop.scale: (inputs[0] * scale, *inputs[1:]))
    made.set_submodule(name, layers)
    made.config.num_hidden_layers = len(layers)
    if getattr(made.config, "layer_types", None):
        made.config.layer_types = [models[hop.parent].config.layer_types[hop.layer] for hop in path.hops]
    return made.eval()


def built(tmp_path: Path, recipe: Recipe) -> Path:
    (tmp_path / "recipe.json").write_text(json.dumps(recipe.to_json()))
    assert main([str(tmp_path / "recipe.json"), str(tmp_path / "built")]) == 0
    return tmp_path / "built"


def error(found: Tensor, expected: Tensor) -> float:
    """The largest difference of two logits, as a share of the largest logit."""
    return float((found - expected).abs().max() / expected.abs().max())


def exported(tmp_path: Path, of: Sequence[Parent], path: LayerPath) -> Tensor:
    return logits(loaded(built(tmp_path, path_recipe(of, path))))


@EVERY_FAMILY
def test_what_is_exported_is_what_the_path_does(tmp_path: Path, model_type: str, changes: Mapping[str, Any]) -> None:
    """Of ten draws of scales the largest error in any family was 6e-5; it is the norms' epsilon."""
    of, models = parents(tmp_path, model_type, changes)
    path = scaled_route(seed=7)
    assert error(exported(tmp_path, of, path), logits(naive(models, path))) < 1e-4


@pytest.mark.parametrize(
    ("model_type", "epsilon"), [("mixtral", "rms_norm_eps"), ("phi3", "rms_norm_eps"), ("stablelm", "layer_norm_eps")]
)
def test_the_norms_epsilon_is_all_that_is_inexact(tmp_path: Path, model_type: str, epsilon: str) -> None:
    """The families with the largest errors have none but rounding (4e-6 at most in five draws) where it is nearly 0."""
    of, models = parents(tmp_path, model_type, {epsilon: 1e-12})
    path = scaled_route(seed=7)
    assert error(exported(tmp_path, of, path), logits(naive(models, path))) < 1e-5


@pytest.mark.parametrize("model_type", ["llama", "gemma2", "gpt2"])
@pytest.mark.parametrize("tied", [False, True])
def test_a_scaled_beginning_is_exact_where_epsilon_is_no_small_thing_beside_embeddings(
    tmp_path: Path, model_type: str, tied: bool
) -> None:
    """Were the first scale divided out of branches too, the error would be 0.01 to 0.5."""
    epsilon = {"gpt2": "layer_norm_epsilon"}.get(model_type, "rms_norm_eps")
    of, models = parents(tmp_path, model_type, {epsilon: 1e-2, "tie_word_embeddings": tied})
    path = LayerPath((Hop(0, 0, 0.4), Hop(0, 1), Hop(1, 1)))
    assert error(exported(tmp_path, of, path), logits(naive(models, path))) < 1e-5


@pytest.mark.parametrize("model_type", families.names())
def test_the_path_of_a_itself_is_a(tmp_path: Path, model_type: str) -> None:
    of, _ = parents(tmp_path, model_type, {})
    path = LayerPath(tuple(Hop(0, layer) for layer in range(DEPTHS[0])))
    folder = built(tmp_path, path_recipe(of, path))
    here, there = load_file(folder / SINGLE), load_file(tmp_path / "a" / SINGLE)
    assert here.keys() == there.keys() and all(torch.equal(here[name], there[name]) for name in here)
    assert torch.equal(logits(loaded(folder)), logits(loaded(tmp_path / "a")))


def test_both_ends_are_a_s_where_the_path_is_in_b(tmp_path: Path) -> None:
    of, models = parents(tmp_path, "llama", {})
    path = LayerPath((Hop(1, 0), Hop(0, 1), Hop(1, 3)))
    assert error(exported(tmp_path, of, path), logits(naive(models, path))) < 1e-6
    here, there = (load_file(tmp_path / name / SINGLE) for name in ("built", "a"))
    outside = ("model.embed_tokens.weight", "model.norm.weight", "lm_head.weight")
    assert all(torch.equal(here[name], there[name]) for name in outside)


def test_a_scaled_tensor_is_rounded_once(tmp_path: Path) -> None:
    """In float32 from what is stored, whatever it is stored in; tensors that no scale concerns keep their bits."""
    of, _ = parents(tmp_path, "llama", {})
    stored = {name: tensor.bfloat16() for name, tensor in load_file(tmp_path / "a" / SINGLE).items()}
    save_file(stored, tmp_path / "a" / SINGLE, metadata={"format": "pt"})
    a = replace(of[0], fingerprint=fingerprint(tmp_path / "a"))
    path = LayerPath((Hop(0, 0, 0.7), Hop(0, 2, 1.1), Hop(0, 2, 0.9)))
    here = load_file(built(tmp_path, path_recipe([a], path, "bfloat16")) / SINGLE)
    for part, factor in (("self_attn.o_proj.weight", 1 / (1.1 * 0.9)), ("mlp.up_proj.weight", 1.0)):
        expected = (stored[f"model.layers.2.{part}"].float() * factor).bfloat16()
        assert torch.equal(here[f"model.layers.2.{part}"], expected)
    assert torch.equal(
        here["model.embed_tokens.weight"], (stored["model.embed_tokens.weight"].float() * 0.7).bfloat16()
    )


def test_kinds_of_layers_go_with_the_layers_of_both_parents(tmp_path: Path) -> None:
    """A has a window from its first layer on, B none; its layers see everything in the result too."""
    window = {"use_sliding_window": True, "sliding_window": 4}
    kinds = (["sliding_attention"] * 3, ["full_attention"] * 4)
    folders = [tmp_path / name for name in "ab"]
    models = [written(folder, "qwen2", {**window, "layer_types": kinds[i]}, i) for i, folder in enumerate(folders)]
    of = [Parent(folder.name, str(folder), fingerprint(folder)) for folder in folders]
    path = LayerPath((Hop(0, 0), Hop(1, 3), Hop(1, 1), Hop(0, 2)))
    folder = built(tmp_path, path_recipe(of, path))
    types = json.loads((folder / "config.json").read_text())["layer_types"]
    assert types == ["sliding_attention", "full_attention", "full_attention", "sliding_attention"]
    assert error(logits(loaded(folder)), logits(naive(models, path))) < 1e-6


@pytest.mark.parametrize(
    ("dtype", "n", "message"),
    [
        (
            "float16",
            8,
            r"the scales up to layer 7 multiply to 0.00164; expected 0.00391 to 256, for which float16 has room",
        ),
        ("bfloat16", 32, r"the scales up to layer 31 multiply to 4.61e-13; expected 1e-12 to 1e[+]12"),
    ],
)
def test_scales_that_a_dtype_has_no_room_for_are_refused(dtype: Dtype, n: int, message: str) -> None:
    """A recipe of them is one, and so is a genome: what is refused is a model that would overflow."""
    parent, family = Parent("a", "/models/a", "sha256:a"), families.get("llama")
    long = LayerPath(tuple(Hop(0, 0, 0.4) for _ in range(n)))
    Absorption(path_recipe([parent], replace(long, hops=long.hops[1:]), dtype), family, False)
    with pytest.raises(RecipeError, match=message):
        Absorption(path_recipe([parent], long, dtype), family, False)


def test_a_family_that_nobody_listed_is_refused_by_name() -> None:
    recipe = path_recipe([Parent("a", "/models/a", "sha256:a")], LayerPath((Hop(0, 0, 0.5),)))
    with pytest.raises(RecipeError, match="of the unlisted family bloom nothing says what its layers write"):
        Absorption(recipe, unlisted("bloom", ["h.0.x"]), False)

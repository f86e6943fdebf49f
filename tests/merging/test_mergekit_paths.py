"""A path in mergekit's file: the same tensors to the bit, or refused by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from merging.__main__ import main
from merging.errors import RecipeError
from merging.families import families
from merging.hops import Hop, LayerPath
from merging.indexes import SINGLE, parent_facts
from merging.mergekit import from_yaml, to_yaml
from merging.mergekit_paths import with_scaled_tensors
from merging.paths import path_recipe
from merging.recipes import Parent
from tests.merging.contracts.test_families import VARIANTS
from tests.merging.models import bits, config, parent, write_parent
from tests.merging.test_absorption import built, parents, scaled_route

ONE, TWO = (Parent(name, f"/models/{name}", f"sha256:{name}") for name in ("one", "two"))
EXPRESSIBLE = [family.model_type for family in families if not family.norms_add_one]


def path(*hops: tuple[int, int] | tuple[int, int, float]) -> LayerPath:
    return LayerPath(tuple(Hop(*hop) for hop in hops))


@pytest.mark.parametrize(
    "found", [path((0, 0), (1, 1), (1, 2), (0, 0)), path((1, 0), (0, 0), (1, 0)), path((1, 3), (1, 3))]
)
def test_a_path_without_scales_comes_back_as_that_path(found: LayerPath) -> None:
    recipe = path_recipe([ONE, TWO], found, "bfloat16")
    text = to_yaml(recipe)
    back = from_yaml(text, {"/models/one": ONE, "/models/two": TWO}.__getitem__)
    assert replace(back, as_mergekit=None) == recipe and back.path == found


def test_scales_are_factors_of_what_layers_write(tmp_path: Path) -> None:
    a, b = (parent(write_parent(tmp_path / name, config(tie_word_embeddings=True))) for name in "ab")
    recipe = path_recipe([a, b], path((0, 0, 0.5), (0, 1), (1, 1, 2.0), (1, 2), (0, 2, 0.25)))
    content: Any = yaml.safe_load(to_yaml(recipe, call=lambda parent: parent.name))

    def written(factor: float) -> list[dict[str, Any]]:
        parts = [{"filter": part, "value": factor} for part in ("self_attn.o_proj", "mlp.down_proj")]
        return [*parts, {"value": 1.0}]

    def one(model: str, start: int, stop: int, scale: object) -> dict[str, Any]:
        return {"sources": [{"model": model, "parameters": {"scale": scale}, "layer_range": [start, stop]}]}

    assert content["merge_method"] == "passthrough" and content["slices"] == [
        one("a", 0, 0, 0.5),
        one("a", 0, 2, 1.0),
        one("b", 1, 3, written(0.5)),
        one("a", 2, 3, written(2.0)),
        one("a", 0, 0, 2.0),
    ]


@pytest.mark.usefixtures("quiet_library")
@pytest.mark.parametrize(
    ("model_type", "changes"),
    [*((name, {}) for name in EXPRESSIBLE), *(one for one in VARIANTS if one[0] in EXPRESSIBLE)],
    ids=str,
)
def test_a_file_of_mergekit_builds_the_tensors_of_the_path(
    tmp_path: Path, model_type: str, changes: dict[str, Any]
) -> None:
    of, _ = parents(tmp_path, model_type, changes)
    recipe = path_recipe(of, scaled_route(seed=3), "bfloat16")
    ours = load_file(built(tmp_path, recipe) / SINGLE)
    (tmp_path / "recipe.yml").write_text(to_yaml(recipe))
    assert main([str(tmp_path / "recipe.yml"), str(tmp_path / "theirs")]) == 0
    theirs = load_file(tmp_path / "theirs" / SINGLE)
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(bits(theirs[name]), bits(ours[name])) for name in ours)
    kept = ("config.json", "tokenizer.json", "tokenizer_config.json")
    here, there = ([(tmp_path / folder / name).read_bytes() for name in kept] for folder in ("built", "theirs"))
    assert here == there


def test_the_file_comes_back_as_the_recipe_that_was_written(tmp_path: Path) -> None:
    of, _ = parents(tmp_path, "qwen2_moe", {})
    recipe = path_recipe(of, scaled_route(seed=3), "bfloat16")
    plain = with_scaled_tensors(recipe, lambda of: parent_facts(of.folder))
    back = from_yaml(to_yaml(recipe), {one.folder: one for one in of}.__getitem__)
    assert back == replace(plain, as_mergekit="float32") and back.path is None


@pytest.mark.parametrize("model_type", ["gemma2", "gemma3_text"])
def test_norms_that_add_one_are_refused_by_name(tmp_path: Path, model_type: str) -> None:
    of, _ = parents(tmp_path, model_type, {})
    with pytest.raises(RecipeError, match=r"norms of Gemma . multiply by one plus their tensor"):
        to_yaml(path_recipe(of, path((0, 0), (1, 1, 0.5))))
    assert "layer_range" in to_yaml(path_recipe(of, path((0, 0), (1, 1))))


def test_folders_that_are_gone_are_a_refusal_that_does_not_say_where_they_were() -> None:
    with pytest.raises(RecipeError, match=r"the names of tensors, and the folder of one cannot be read$"):
        to_yaml(path_recipe([ONE], path((0, 0), (0, 0, 0.5))))


def test_names_that_no_part_tells_apart_are_refused(tmp_path: Path) -> None:
    """None of the families has them; a family that is added may."""
    folder = write_parent(tmp_path / "a")
    facts = parent_facts(folder)
    family = replace(facts.config.family, output_projections=("model.layers.{}.mlp",))
    strange = replace(facts, config=replace(facts.config, family=family))
    with pytest.raises(RecipeError, match=r"no part of model.layers.0.mlp.gate_proj.weight tells it"):
        to_yaml(path_recipe([parent(folder)], path((0, 0), (0, 0, 0.5))), facts_of=lambda _: strange)

"""mergekit 0.1.5 takes what we write and merges it to the same tensors. Runs where PROGENY_MERGEKIT names its Python."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from safetensors.torch import load_file

from merging.__main__ import folder_here, merge
from merging.hops import Hop, LayerPath
from merging.indexes import SINGLE
from merging.mergekit import to_yaml
from merging.mergekit_terms import DIFFERENT
from merging.methods import methods
from merging.paths import path_recipe
from merging.recipes import WHOLE_MODEL, Companions, LayerGroup, Parent, Recipe, Source
from tests.merging.models import bits, edit_json, parent, write_parent, write_relative

PYTHON: Final = os.environ.get("PROGENY_MERGEKIT", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not PYTHON, reason="PROGENY_MERGEKIT names no Python that has mergekit"),
]
RUN: Final = """
import sys, yaml
from mergekit.config import MergeConfiguration
from mergekit.merge import run_merge
from mergekit.options import MergeOptions
for config, out in zip(sys.argv[1::2], sys.argv[2::2]):
    options = MergeOptions(random_seed=7, quiet=True)
    run_merge(MergeConfiguration.model_validate(yaml.safe_load(open(config))), out, options)
"""
EQUAL_MAGNITUDES: Final = ("ties", "breadcrumbs", "breadcrumbs_ties", "della", "della_linear")
"""Which of several equal ones is kept or ranked first, mergekit leaves to its sort. In 16 bits many are equal."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Parent]:
    """A base and three fine-tunes, with the names of classes that mergekit wants."""
    root = tmp_path_factory.mktemp("models")
    base = write_parent(root / "base")
    folders = [base, *(write_relative(root / name, base, i + 1) for i, name in enumerate(("one", "two", "three")))]
    for folder in folders:
        edit_json(folder / "config.json", lambda value: value.update(architectures=["LlamaForCausalLM"]))
    return {folder.name: parent(folder) for folder in folders}


def recipe(models: Mapping[str, Parent], name: str, groups: tuple[LayerGroup, ...]) -> Recipe:
    """A recipe of a method whose groups all differ."""
    method = methods.get(name)
    n = min(method.max_parents or 3, 3)

    def row(parameters: Any, number: int) -> dict[str, float]:
        return {p.name: p.low + (p.high - p.low) * (0.3 + number / 16) for p in parameters}

    return Recipe(
        method=name,
        base=models["base"] if method.base == "needed" else None,
        parents=tuple(models[one] for one in ("one", "two", "three")[:n]),
        groups=groups,
        values=tuple(tuple(row(method.per_parent(), i + k) for k in range(n)) for i in range(len(groups))),
        settings=method.default_settings(),
        seed=7,
        dtype="float32",
        shared=tuple(row(method.per_group(), i) for i in range(len(groups))) if method.per_group() else (),
    )


GROUPS: Final = (
    LayerGroup("embeddings", 0, 0, True, False),
    LayerGroup("layers 0-1 mlp", 0, 2, False, False, "mlp"),
    LayerGroup("layers 0-1 self_attn", 0, 2, False, False, "self_attn"),
    LayerGroup("layers 0-1 rest", 0, 2, False, False),
    LayerGroup("layer 2", 2, 3, False, False),
    LayerGroup("head", 3, 3, False, True),
)


def both(recipes: Mapping[str, Recipe], folder: Path) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """What mergekit makes of our files and what we make of the recipes, by name."""
    arguments = []
    for name, one in recipes.items():
        (folder / f"{name}.yml").write_text(to_yaml(one))
        (folder / f"{name}.json").write_text(json.dumps(one.to_json()))
        merge(folder / f"{name}.json", folder / f"ours_{name}", 7, folder_here)
        arguments += [str(folder / f"{name}.yml"), str(folder / f"theirs_{name}")]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([PYTHON, "-c", RUN, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return {
        name: (load_file(folder / f"theirs_{name}" / SINGLE), load_file(folder / f"ours_{name}" / SINGLE))
        for name in recipes
    }


def assert_close(theirs: dict[str, Any], ours: dict[str, Any], name: str) -> None:
    """To a millionth of a tensor's largest element: sums of float32 in another order."""
    assert set(theirs) == set(ours), name
    for key, tensor in theirs.items():
        assert tensor.shape == ours[key].shape, (name, key)
        difference = (tensor.float() - ours[key].float()).abs().max() / tensor.abs().max().clamp(min=1e-30)
        assert difference <= 1e-6, (name, key, float(difference))


def test_recipes_of_ours_are_the_same_tensors_there(models: Mapping[str, Parent], tmp_path: Path) -> None:
    """Every method that is the same by intent, over groups with filters and embeddings of their own."""
    recipes = {m.name: recipe(models, m.name, GROUPS) for m in methods if m.name not in DIFFERENT}
    for name, (theirs, ours) in both(recipes, tmp_path).items():
        assert_close(theirs, ours, name)


def test_imported_recipes_are_the_same_tensors_there(models: Mapping[str, Parent], tmp_path: Path) -> None:
    """Every method, random numbers included, in float32, where no two magnitudes are equal."""
    recipes = {m.name: replace(recipe(models, m.name, GROUPS), as_mergekit="float32") for m in methods}
    for name, (theirs, ours) in both(recipes, tmp_path).items():
        assert_close(theirs, ours, name)


def test_imported_recipes_are_the_same_bits_there(models: Mapping[str, Parent], tmp_path: Path) -> None:
    """In mergekit's own bfloat16."""
    names = [method.name for method in methods if method.name not in EQUAL_MAGNITUDES]
    recipes = {n: replace(recipe(models, n, GROUPS), as_mergekit="bfloat16", dtype="bfloat16") for n in names}
    for name, (theirs, ours) in both(recipes, tmp_path).items():
        for key, tensor in theirs.items():
            assert torch.equal(bits(tensor.bfloat16()), bits(ours[key])), (name, key)


def test_stacks_are_the_same_layers_there(models: Mapping[str, Parent], tmp_path: Path) -> None:
    one, two = models["one"], models["two"]
    groups = (
        LayerGroup("layers 0-1 mlp", 0, 2, True, False, "mlp", (Source(0, 0),)),
        LayerGroup("layers 0-1 rest", 0, 2, True, False, "", (Source(0, 0),)),
        LayerGroup("layers 2-4", 2, 5, False, False, sources=(Source(1, 0),)),
        LayerGroup("layers 5-6", 5, 7, False, True, sources=(Source(1, 1),)),
    )
    values = tuple(({"scale": scale},) for scale in (0.5, 1.0, 1.0, 2.0))
    stack = Recipe("passthrough", None, (one, two), groups, values, {}, 0, "float32")
    for name, (theirs, ours) in both({"stack": stack}, tmp_path).items():
        assert_close(theirs, ours, name)


def test_paths_are_the_same_bits_there(models: Mapping[str, Parent], tmp_path: Path) -> None:
    """Also where a path begins and ends in the second parent, and with scales, which are factors of tensors there."""
    route = ((1, 1), (0, 0), (0, 1), (1, 2), (1, 2), (1, 0))
    of = [models["one"], models["two"]]
    paths = {
        "plain": LayerPath(tuple(Hop(*hop) for hop in route)),
        "scaled": LayerPath(tuple(Hop(*hop, 0.7 + 0.11 * i) for i, hop in enumerate(route))),
    }
    for name, (theirs, ours) in both(
        {n: path_recipe(of, one, "bfloat16") for n, one in paths.items()}, tmp_path
    ).items():
        assert theirs.keys() == ours.keys()
        assert all(torch.equal(bits(theirs[key]), bits(ours[key])) for key in ours), name


@pytest.mark.parametrize("choice", ["base", "union"])
def test_tokens_have_the_same_rows_there(tmp_path: Path, choice: Any) -> None:
    from tests.merging.test_companions import ALPHABET, numbers, tokenizer, write_model

    made = {
        "base": write_model(tmp_path / "base", 0, tokenizer(ALPHABET, ["<s>", "</s>"]), n_padding=3),
        "one": write_model(tmp_path / "one", 1, tokenizer(ALPHABET, ["<s>", "</s>", "<turn>", "<tool>"])),
        "two": write_model(tmp_path / "two", 2, tokenizer(ALPHABET, ["</s>", "<s>", "<tool>", "<end>"]), n_padding=8),
    }
    for folder in made.values():
        edit_json(folder / "config.json", lambda value: value.update(architectures=["LlamaForCausalLM"]))
    base, one, two = (parent(folder) for folder in made.values())
    values = ({"weight": 0.5}, {"weight": 0.25})
    settings = {"normalize": False, "lambda": 1.0}
    found = Recipe("task_arithmetic", base, (one, two), (WHOLE_MODEL,), (values,), settings, 0, "float32")
    found = replace(found, companions=Companions(choice), as_mergekit="float32")
    theirs, ours = both({"words": found}, tmp_path)["words"]
    there, here = numbers(tmp_path / "theirs_words"), numbers(tmp_path / "ours_words")
    assert set(there) == set(here)
    for key in ("model.embed_tokens.weight", "lm_head.weight"):
        assert theirs[key].shape == ours[key].shape
        for text, number in there.items():
            torch.testing.assert_close(theirs[key][number], ours[key][here[text]], atol=1e-6, rtol=0)

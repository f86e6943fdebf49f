"""The same merges by mergekit 0.1.5, whose numbers `benchmarks/parity.py` wrote to `peer_numbers.json` on one x86-64 processor.

Parents are a base model of 760 numbers and three variants of it; of every merge three tensors are kept.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import torch
import yaml

from merging.draws import Draws
from merging.elements import torch_dtype
from merging.mergekit import from_yaml
from merging.methods import methods
from merging.peer_draws import PeerDraws
from merging.peer_rules import rules
from merging.recipes import Parent, Recipe

NUMBERS: Final[dict[str, Any]] = json.loads(Path(__file__).with_name("peer_numbers.json").read_text())
CASES: Final[dict[str, Any]] = NUMBERS["cases"]
RANDOM: Final = ("dare_linear", "dare_ties", "della", "della_linear")
FIXED: Final = [name for name, case in CASES.items() if case["config"]["merge_method"] not in RANDOM]

# Of the largest entry. Another processor may add up a row in another order: a unit in the last place of float32, or of
# bfloat16 where mergekit rounds a sum to it.
LAST_PLACE: Final = {"float32": 5e-7, "bfloat16": 2**-7}
# mergekit goes straight where directions are closer than a cosine of 0.9995, as vectors of norms are here: theta^2 / 8.
ARC: Final = {"slerp": 1.3e-4}


def unpacked(packed: str, dtype: torch.dtype, names: Sequence[str]) -> dict[str, torch.Tensor]:
    flat = torch.frombuffer(bytearray(base64.b64decode(packed)), dtype=dtype)
    shapes = [NUMBERS["shapes"][name] for name in names]
    parts = flat.split([math.prod(shape) for shape in shapes])
    return {name: part.view(shape) for name, part, shape in zip(names, parts, shapes, strict=True)}


PARENTS: Final = {
    name: unpacked(packed, torch.float32, list(NUMBERS["shapes"])) for name, packed in NUMBERS["parents"].items()
}


def recipe_of(case: str, dtype: str) -> Recipe:
    config = CASES[case]["config"] | {"dtype": dtype}
    return from_yaml(yaml.safe_dump(config), lambda name: Parent(name, f"/models/{name}", name))


def settings_of(recipe: Recipe) -> dict[str, float | bool]:
    return {**recipe.settings, **(recipe.shared[0] if recipe.shared else {})}


def tensors(recipe: Recipe, dtype: str) -> Iterator[tuple[str, torch.Tensor | None, list[torch.Tensor]]]:
    """Every tensor of the model in string order of names: the base's and the parents'."""
    for name in NUMBERS["shapes"]:
        base = None if recipe.base is None else PARENTS[recipe.base.name][name].to(torch_dtype(dtype))
        yield name, base, [PARENTS[parent.name][name].to(torch_dtype(dtype)) for parent in recipe.parents]


def theirs(case: str, dtype: str) -> dict[str, torch.Tensor]:
    stored = "float32" if CASES[case]["config"]["merge_method"] == "arcee_fusion" else dtype
    return unpacked(CASES[case][dtype], torch_dtype(stored), NUMBERS["kept"])


def assert_near(merged: torch.Tensor, expected: torch.Tensor, share: float) -> None:
    assert merged.dtype == expected.dtype
    assert float((merged.double() - expected.double()).abs().max()) <= share * float(expected.double().abs().max())


@pytest.mark.parametrize("dtype", LAST_PLACE)
@pytest.mark.parametrize("case", CASES)
def test_the_peer_s_rules_give_the_tensors_that_it_gave(case: str, dtype: str) -> None:
    """The stream of random numbers runs through all tensors, of which those kept are compared."""
    recipe, draws, expected = recipe_of(case, dtype), PeerDraws(0), theirs(case, dtype)
    for name, base, parents in tensors(recipe, dtype):
        merged = rules[recipe.method](base, parents, recipe.values[0], settings_of(recipe), draws)
        if name in expected:
            assert_near(merged, expected[name], LAST_PLACE[dtype])


@pytest.mark.parametrize("case", FIXED)
def test_our_own_arithmetic_agrees_to_a_millionth(case: str) -> None:
    recipe, expected = recipe_of(case, "float32"), theirs(case, "float32")
    for name, base, parents in tensors(recipe, "float32"):
        merge = methods.get(recipe.method).merge
        merged = merge(base, parents, recipe.values[0], settings_of(recipe), Draws(0, name))
        if name in expected:
            assert_near(merged, expected[name], ARC.get(case, 1e-6))


def test_every_method_of_both_is_compared() -> None:
    assert {case["config"]["merge_method"] for case in CASES.values()} == set(rules) == set(methods.names())

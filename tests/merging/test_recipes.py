"""Recipes: what is refused and how it is said, JSON and back, digests and sentences."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from merging.errors import RecipeError, UnknownNameError
from merging.recipes import WHOLE_MODEL, LayerGroup, Parent, Recipe, Source, passthrough_recipe, uniform_average

BASE, ONE, TWO = (Parent(name, f"/models/{name}", f"sha256:{name}") for name in ("base", "one", "two"))
SETTINGS = {"normalize": False, "lambda": 1.0}


def ties(**changes: Any) -> Recipe:
    values = ({"weight": 1.2, "density": 0.5}, {"weight": 0.8, "density": 0.25})
    return replace(Recipe("ties", BASE, (ONE, TWO), (WHOLE_MODEL,), (values,), SETTINGS, 7, "bfloat16"), **changes)


def groups(*bounds: int) -> tuple[LayerGroup, ...]:
    last = len(bounds) - 2
    return tuple(LayerGroup(f"g{i}", a, b, i == 0, i == last) for i, (a, b) in enumerate(pairwise(bounds)))


def test_json_and_back_is_the_same_recipe() -> None:
    recipe = ties(groups=groups(0, 2, 4), values=ties().values * 2)
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json(), sort_keys=True))) == recipe
    assert json.loads(json.dumps(recipe.to_json())) == recipe.to_json()


def test_the_digest_forgets_folders_and_nothing_else() -> None:
    moved = ties(base=replace(BASE, folder="/elsewhere/base"))
    assert moved.digest() == ties().digest()
    others = [
        ties(seed=8),
        ties(dtype="float32"),
        ties(parents=(TWO, ONE)),
        ties(base=replace(BASE, fingerprint="sha256:other")),
        ties(settings={"normalize": True, "lambda": 1.0}),
        ties(values=(ties().values[0][::-1],)),
        ties(groups=groups(0, 4)),
    ]
    assert len({ties().digest(), *(other.digest() for other in others)}) == len(others) + 1


def test_the_digest_is_frozen() -> None:
    """It names candidates in databases: a change here orphans them all."""
    assert ties().digest() == "sha256:68fe564e3ee47e9075a753acc0ddd286b391ae26824c00e46ab0059cdc873540"


def test_sentences_say_what_is_mixed() -> None:
    assert ties().sentence() == "TIES: one (weight 1.2, density 0.5) and two (weight 0.8, density 0.25) over base."
    assert passthrough_recipe(ONE).sentence() == "Passthrough: one."
    assert uniform_average((ONE, TWO)).sentence() == "Linear: one (weight 1) and two (weight 1)."


def test_a_sentence_over_groups_gives_ranges_and_changed_settings() -> None:
    rows = (({"weight": 0.5}, {"weight": 1.0}), ({"weight": 1.5}, {"weight": 1.0}))
    recipe = Recipe(
        "task_arithmetic", BASE, (ONE, TWO), groups(0, 2, 4), rows, {"normalize": True, "lambda": 0.9}, 0, "float32"
    )
    assert recipe.sentence() == (
        "Task arithmetic in 2 layer groups: one (weight 0.5 to 1.5) and two (weight 1) over base, with normalize, lambda 0.9."
    )


def test_a_sentence_of_a_stack_gives_the_values_of_each_parent_s_own_layers() -> None:
    stacked = (
        LayerGroup("layer 0", 0, 1, True, False, sources=(Source(0, 3),)),
        LayerGroup("layers 1-2", 1, 3, False, True, sources=(Source(1, 0),)),
    )
    rows = (({"scale": 1.5},), ({"scale": 0.5},))
    recipe = Recipe("passthrough", None, (ONE, TWO), stacked, rows, {}, 0, "float32")
    assert recipe.sentence() == (
        "Passthrough in 2 layer groups stacked to 3 layers: one (scale 1.5) and two (scale 0.5)."
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base": None}, "TIES measures task vectors from a base model"),
        ({"parents": ()}, "TIES takes 1 or more parents, found 0"),
        ({"parents": (ONE, ONE)}, "one is named more than once"),
        ({"groups": ()}, "no layer group"),
        ({"groups": groups(1, 4)}, "starts at layer 1; expected 0"),
        (
            {"groups": (LayerGroup("a", 0, 2, True, True), LayerGroup("b", 2, 4, False, True))},
            "expected `before` on groups of the first range",
        ),
        (
            {"groups": (LayerGroup("a", 0, 2, True, False), LayerGroup("b", 3, 4, False, True))},
            "b starts at layer 3; expected 2",
        ),
        ({"groups": (LayerGroup("a", 0, None, True, False), LayerGroup("b", 0, 4, False, True))}, "a has no end"),
        ({"groups": groups(0, 2, 2, 4)}, "covers layers 2 to 2; expected at least one"),
        ({"groups": groups(0, 2, 4)}, "values for 1 layer groups; expected 2"),
        ({"values": (ties().values[0][:1],)}, "has values for 1 parents; expected 2"),
        (
            {"values": (({"weight": 1.0}, {"weight": 1.0}),)},
            "one in layer group model has values for weight; expected density, weight",
        ),
        (
            {"values": (({"weight": 1.0, "density": 0.0},) * 2,)},
            "density of one in layer group model is 0.0; expected a number above 0",
        ),
        ({"values": (({"weight": float("nan"), "density": 1.0},) * 2,)}, "weight of one in layer group model is nan"),
        ({"values": (({"weight": True, "density": 1.0},) * 2,)}, "is True; expected a number"),
        ({"settings": {"lambda": 1.0}}, "TIES has values for lambda; expected lambda, normalize"),
        ({"settings": {"lambda": 1.0, "normalize": 1}}, "normalize of TIES is 1; expected true or false"),
        ({"seed": -1}, "the seed is -1"),
        ({"seed": 2**63}, "the seed is"),
        ({"dtype": "int8"}, "the dtype is 'int8'; expected float32, bfloat16, float16"),
    ],
)
def test_a_recipe_that_cannot_be_built_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        ties(**changes)


def test_weights_beyond_the_search_are_allowed() -> None:
    values = (({"weight": -3.0, "density": 1.0}, {"weight": 40.0, "density": 0.001}),)
    assert ties(values=values).values == values


def test_an_unknown_method_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean ties"):
        ties(method="tis")


def test_a_base_model_that_is_not_used_is_refused() -> None:
    with pytest.raises(RecipeError, match="Linear uses no base model, found base"):
        replace(uniform_average((ONE, TWO)), base=BASE)


@pytest.mark.parametrize(("name", "folder"), [("", "/models/x"), ("x", "models/x")])
def test_a_parent_needs_a_name_and_an_absolute_folder(name: str, folder: str) -> None:
    with pytest.raises(RecipeError):
        Parent(name, folder, "sha256:x")


@pytest.mark.parametrize("field", sorted({*Recipe.__dataclass_fields__} - {"scales"}))
def test_json_without_a_field_is_refused_by_its_name(field: str) -> None:
    value = ties().to_json()
    del value[field]
    with pytest.raises(RecipeError, match=f"the recipe lacks {field}"):
        Recipe.from_json(value)


def test_json_with_an_unknown_field_is_refused_by_its_name() -> None:
    with pytest.raises(RecipeError, match="has unknown colour"):
        Recipe.from_json(ties().to_json() | {"colour": "red"})

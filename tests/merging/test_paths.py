"""Paths: what is refused, their recipes and back, and how they are told."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merging.errors import RecipeError
from merging.hops import Hop, LayerPath
from merging.paths import path_recipe
from merging.recipes import WHOLE_MODEL, LayerGroup, Parent, Recipe, Source, passthrough_recipe

A, B, C = (Parent(name, f"/models/{name}", f"sha256:{name}") for name in ("a", "b", "c"))
HOPS = st.builds(Hop, st.integers(0, 1), st.integers(0, 5), st.sampled_from([1.0, 0.5, 1.3]))


def path(*hops: tuple[int, int] | tuple[int, int, float]) -> LayerPath:
    return LayerPath(tuple(Hop(*hop) for hop in hops))


ROUTE = path((0, 0), (0, 1), (1, 1, 0.8), (1, 2), (1, 2, 1.25), (0, 3), (0, 5))


@given(st.lists(HOPS, min_size=1, max_size=12).map(lambda hops: LayerPath((*hops, Hop(1, 0)))))
def test_a_path_comes_back_from_its_recipe_and_from_json(found: LayerPath) -> None:
    recipe = path_recipe([A, B], found)
    assert recipe.path == found
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


@pytest.mark.parametrize("found", [ROUTE, path((1, 0)), path((1, 2), (0, 1), (1, 0)), path((0, 1), (1, 0))])
def test_a_path_begins_and_ends_in_the_first_parent_wherever_its_layers_are(found: LayerPath) -> None:
    recipe = path_recipe([A, B], found)
    ends = [recipe.sources_in(i)[0].parent for i, group in enumerate(recipe.groups) if group.before or group.after]
    assert {*ends} == {0} and recipe.donor == A
    assert recipe.n_layers == found.n_hops


def test_consecutive_layers_are_one_group() -> None:
    groups = path_recipe([A, B], ROUTE).groups
    assert [(group.start, group.stop, *group.sources) for group in groups] == [
        (0, 2, Source(0, 0)),
        (2, 4, Source(1, 1)),
        (4, 5, Source(1, 2)),
        (5, 6, Source(0, 3)),
        (6, 7, Source(0, 5)),
    ]


def test_a_parent_that_the_path_does_not_pass_is_left_out() -> None:
    assert path_recipe([A, B], path((0, 0), (0, 0))).parents == (A,)
    found = path_recipe([A, B, C], path((2, 1)))
    assert found.parents == (A, C) and found.path == path((1, 1))


def test_scales_of_one_are_no_scales_in_json_and_digest() -> None:
    plain, scaled = path_recipe([A, B], path((0, 0), (1, 1))), path_recipe([A, B], path((0, 0), (1, 1, 0.5)))
    assert plain.scales == () and "scales" not in plain.to_json()
    assert replace(plain, scales=(1, 1)) == plain
    assert scaled.to_json()["scales"] == [1.0, 0.5] and scaled.digest() != plain.digest()


def test_the_digest_of_a_path_is_frozen() -> None:
    """It names candidates in databases: a change here orphans them all."""
    assert (
        path_recipe([A, B], ROUTE).digest() == "sha256:69c070f5b286ff8d869957c3f6ba9b1c1704d9e10f78c35118efe9e00909e05e"
    )


def test_a_path_is_told_in_plain_words() -> None:
    assert path_recipe([A, B], ROUTE).sentence() == (
        "Path of 7 layers: 4 of a and 3 of b, with 1 repeat, 1 skip and 3 jumps; "
        "a 0-1, then b 1-2, then b 2, then a 3, then a 5; scales 0.8 to 1.25."
    )
    assert path_recipe([A], path((0, 0))).sentence() == "Path of 1 layer: 1 of a; a 0."
    there_and_back = LayerPath(tuple(Hop(i % 2, 0) for i in range(20)))
    assert path_recipe([A, B], there_and_back).sentence() == (
        "Path of 20 layers: 10 of a and 10 of b, with 18 repeats and 19 jumps."
    )


@pytest.mark.parametrize(
    ("hop", "message"),
    [
        ((-1, 0), "the parent of a hop is -1"),
        ((0, -1), "the layer of a hop is -1"),
        ((0, 1.0), "the layer of a hop is 1.0"),
        ((True, 0), "the parent of a hop is True"),
        ((0, 3, 0.0), "the scale before layer 3 of parent 0 is 0.0; expected a finite number above 0"),
        ((0, 3, -1.0), "is -1.0"),
        ((0, 3, float("nan")), "is nan"),
        ((0, 3, float("inf")), "is inf"),
        ((0, 3, True), "is True"),
    ],
)
def test_a_hop_that_is_none_is_refused(hop: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Hop(*hop)


def test_a_path_has_hops_through_parents_that_there_are() -> None:
    with pytest.raises(RecipeError, match="the path has 0 hops"):
        LayerPath(())
    with pytest.raises(RecipeError, match="passes parent 1, counted from 0, of 1 parents"):
        path_recipe([A], path((1, 0)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scales": (1.0, 0.5)}, "the path has 2 scales; expected one for each of 7 layers"),
        ({"scales": (0.5,) * 6 + (0.0,)}, "the scale before layer 6 is 0.0"),
        ({"values": (({"scale": 0.5},),) * 5}, "scales are of a path"),
        ({"as_mergekit": "float32"}, "scales are of a path"),
        ({"groups": (WHOLE_MODEL,), "parents": (A,), "values": (({"scale": 1.0},),)}, "scales are of a path"),
    ],
)
def test_scales_of_anything_but_a_path_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        replace(path_recipe([A, B], ROUTE), **changes)


def test_a_stack_that_is_no_path_has_none() -> None:
    """Tensors that are scaled or rounded on the way, or the head of another parent."""
    ends = (
        LayerGroup("x", 0, 1, before=True, after=False, sources=(Source(0, 3),)),
        LayerGroup("y", 1, 2, before=False, after=True, sources=(Source(0, 5),)),
    )
    stack = replace(path_recipe([A], path((0, 3))), groups=ends, values=(({"scale": 1.0},),) * 2, dtype="float32")
    assert stack.path == replace(stack, as_mergekit="float32").path == path((0, 3), (0, 5))
    assert replace(stack, values=(({"scale": 1.0},), ({"scale": 0.5},))).path is None
    assert replace(stack, as_mergekit="bfloat16").path is None
    other_head = (ends[0], replace(ends[1], sources=(Source(1, 5),)))
    assert replace(stack, parents=(A, B), groups=other_head).path is None


def test_a_parent_as_it_is_and_a_mixture_are_no_paths() -> None:
    assert passthrough_recipe(A).path is None

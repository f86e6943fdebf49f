"""Genes and recipes: bounds, order, round trips, and no two genomes with one recipe."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merging.demo import PACK
from merging.errors import GenomeError, RecipeError, UnknownNameError
from merging.genomes import GenomeSpace, check_effect, layer_groups, layer_parts, nothing_to_search, parameter_space
from merging.indexes import parent_facts
from merging.methods import methods
from merging.recipes import WHOLE_MODEL, Parent, Recipe

FACTS = parent_facts(PACK / "base")  # four layers
BASE, ONE, TWO = (Parent(name, f"/models/{name}", f"sha256:{name}") for name in ("base", "one", "two"))


SETTINGS = {"parents": (ONE, TWO), "n_layers": 4, "settings": (), "seed": 3, "dtype": "float32"}
KINDS = [
    ("ties", "2", ()),
    ("slerp", "2", ()),
    ("sce", "block", ("self_attn",)),
    ("linear", "model", ("self_attn", "mlp")),
    ("ties", "gradient 3", ()),
    ("slerp", "gradient 2", ("mlp",)),
]
"""Numbers of each parent and of all of a group, in steps and gradients, with and without filters."""


def space(method: str = "ties", groups: str = "2", filters: tuple[str, ...] = (), tied: bool = False) -> GenomeSpace:
    base = BASE if methods.get(method).needs_base else None
    words = SETTINGS | {"method": method, "base": base, "groups": groups, "filters": filters, "tied_embeddings": tied}
    words |= {"parents": (ONE, TWO)[: methods.get(method).max_parents]}
    return parameter_space(**words)  # type: ignore[arg-type]


def genomes_of(chosen: GenomeSpace) -> st.SearchStrategy[tuple[float, ...]]:
    return st.lists(st.floats(0, 1), min_size=chosen.n_genes, max_size=chosen.n_genes).map(tuple)


def test_genes_are_ordered_by_group_parent_and_parameter() -> None:
    names = [gene.name for gene in space().genes]
    assert names[:4] == [
        "embeddings / one / weight",
        "embeddings / one / density",
        "embeddings / two / weight",
        "embeddings / two / density",
    ]
    assert names[4] == "layers 0-1 / one / weight"
    assert len(names) == 4 * 2 * 2


def test_the_paper_s_simplest_space_has_two_genes_a_parent() -> None:
    assert space("dare_ties", "model").n_genes == 4


def test_the_centre_is_the_plain_sum_of_task_vectors() -> None:
    found = space("task_arithmetic").decode(space("task_arithmetic").centre)
    assert {values["weight"] for row in found.values for values in row} == {1.0}


def test_the_ends_of_a_gene_are_the_ends_of_its_range_exactly() -> None:
    low, high = (space().decode((x,) * space().n_genes).values[0][0] for x in (0.0, 1.0))
    assert low == {"weight": 0.0, "density": 0.05} and high == {"weight": 2.0, "density": 1.0}


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_decode_and_encode_are_opposites(kind: tuple[str, str, tuple[str, ...]], data: st.DataObject) -> None:
    """To within two roundings of numbers up to 2."""
    genome = data.draw(genomes_of(space(*kind)))
    found = Recipe.from_json(json.loads(json.dumps(space(*kind).decode(genome).to_json())))
    assert space(*kind).encode(found) == pytest.approx(genome, abs=1e-15)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_two_genomes_that_differ_are_two_recipes(kind: tuple[str, str, tuple[str, ...]], data: st.DataObject) -> None:
    """Every gene matters: it is enough that one differs."""
    first = data.draw(genomes_of(space(*kind)))
    position, other = data.draw(st.integers(0, len(first) - 1)), data.draw(st.floats(0, 1))
    second = (*first[:position], other, *first[position + 1 :])
    near = abs(first[position] - other) < 1e-9
    assert near or space(*kind).decode(first).digest() != space(*kind).decode(second).digest()


@pytest.mark.parametrize("groups", ["model", "2", "gradient 3"])
@pytest.mark.parametrize("method", [method.name for method in methods if not nothing_to_search(method)])
def test_every_searchable_method_starts_in_the_middle_and_reaches_both_ends(method: str, groups: str) -> None:
    chosen = space(method, groups, ("mlp",))
    assert chosen.decode(chosen.centre) == chosen.origin
    for end in (0.0, 1.0):
        assert chosen.encode(chosen.decode((end,) * chosen.n_genes)) == (end,) * chosen.n_genes


def test_what_the_parents_of_a_group_share_comes_before_what_each_has() -> None:
    assert [gene.name for gene in space("slerp").genes] == [
        "embeddings / t",
        "layers 0-1 / t",
        "layers 2-3 / t",
        "head / t",
    ]


def test_slerp_starts_halfway_between_its_parents() -> None:
    found = space("slerp").decode(space("slerp").centre)
    assert found.shared == ({"t": 0.5},) * 4 and found.values == (({}, {}),) * 4


def test_a_recipe_tells_what_its_parents_share() -> None:
    assert (
        space("slerp").decode((0.1, 0.2, 0.3, 0.4)).sentence()
        == "SLERP with t 0.1 to 0.4 in 4 layer groups: one and two."
    )


def test_every_filter_makes_a_group_of_its_own_and_the_rest_another() -> None:
    found = [(group.name, group.filter) for group in space("ties", "2", ("self_attn", "mlp")).origin.groups]
    assert found == [
        ("embeddings", ""),
        ("layers 0-1 self_attn", "self_attn"),
        ("layers 0-1 mlp", "mlp"),
        ("layers 0-1 rest", ""),
        ("layers 2-3 self_attn", "self_attn"),
        ("layers 2-3 mlp", "mlp"),
        ("layers 2-3 rest", ""),
        ("head", ""),
    ]


def test_a_gradient_has_genes_at_its_knots_and_lines_between_them() -> None:
    gradient = space("slerp", "gradient 3")
    assert [gene.name for gene in gradient.genes] == ["layer 0 / t", "layer 2 / t", "layer 3 / t"]
    assert [shared["t"] for shared in gradient.decode((0.0, 0.5, 1.0)).shared] == [0.0, 0.25, 0.5, 1.0]


def test_the_ends_of_a_gradient_hold_what_is_outside_the_layers() -> None:
    groups = space("slerp", "gradient 2").origin.groups
    assert [(group.before, group.after) for group in groups] == [(True, False), *[(False, False)] * 2, (False, True)]


def test_each_filter_has_a_gradient_of_its_own() -> None:
    found = space("slerp", "gradient 2", ("mlp",)).decode((0.0, 1.0, 1.0, 0.4))
    of_mlp = [shared["t"] for shared, group in zip(found.shared, found.groups, strict=True) if group.filter]
    rest = [shared["t"] for shared, group in zip(found.shared, found.groups, strict=True) if not group.filter]
    assert of_mlp == pytest.approx([0, 1 / 3, 2 / 3, 1]) and rest == pytest.approx([1, 0.8, 0.6, 0.4])


@given(st.integers(2, 90).flatmap(lambda n: st.tuples(st.just(n), st.integers(2, n))))
def test_knots_are_layers_as_far_apart_as_each_other(case: tuple[int, int]) -> None:
    n_layers, n_knots = case
    knots = parameter_space(
        **SETTINGS | {"n_layers": n_layers, "method": "slerp", "base": None, "groups": f"gradient {n_knots}"}  # type: ignore[arg-type]
    ).knots
    gaps = [right - left for left, right in pairwise(knots)]
    assert (knots[0], knots[-1], len(knots)) == (0, n_layers - 1, n_knots)
    assert min(gaps) >= 1 and max(gaps) - min(gaps) <= 1


def test_a_recipe_off_the_line_belongs_to_another_space() -> None:
    recipe = space("slerp", "gradient 2").decode((0.0, 1.0))
    bent = replace(recipe, shared=(*recipe.shared[:1], {"t": 0.9}, *recipe.shared[2:]))
    with pytest.raises(GenomeError, match="belongs to another space"):
        space("slerp", "gradient 2").encode(bent)


@pytest.mark.parametrize("filters", [("mlp", "self_attn"), layer_parts(parent_facts(PACK / "base"))])
def test_filters_that_tensors_have_are_taken(filters: tuple[str, ...]) -> None:
    check_effect(space("ties", "2", filters), FACTS)
    assert set(layer_parts(FACTS)) == {"self_attn", "mlp"}


@pytest.mark.parametrize(
    ("filters", "idle"),
    [
        (("self_atn",), "layers 0-1 self_atn"),
        (("self_attn", "q_proj"), "layers 0-1 q_proj"),
        (("mlp", "norm", "attn"), "layers 0-1 rest"),
    ],
)
def test_a_group_without_tensors_is_refused_by_name(filters: tuple[str, ...], idle: str) -> None:
    with pytest.raises(GenomeError, match=f"no tensor for {idle};.*such as self_attn, mlp"):
        check_effect(space("ties", "2", filters), FACTS)


def test_encode_reads_values_by_name_not_by_order() -> None:
    """Databases reorder the keys of JSON objects."""
    recipe = space().decode(tuple(i / 20 for i in range(16)))
    reordered = Recipe.from_json(json.loads(json.dumps(recipe.to_json(), sort_keys=True)))
    assert space().encode(reordered) == space().encode(recipe)


@pytest.mark.parametrize("gene", [-0.01, 1.01, float("nan"), float("inf")])
def test_a_gene_outside_its_range_is_refused_not_clipped(gene: float) -> None:
    with pytest.raises(GenomeError, match="gene embeddings / one / weight is"):
        space().decode((gene, *space().centre[1:]))


def test_a_genome_of_another_length_is_refused() -> None:
    with pytest.raises(GenomeError, match="has 3 genes; expected 16"):
        space().decode((0.5,) * 3)


def test_a_recipe_of_another_space_is_refused() -> None:
    with pytest.raises(GenomeError, match="belongs to another space"):
        space().encode(space("task_arithmetic").decode(space("task_arithmetic").centre))


def test_a_recipe_that_a_search_cannot_reach_is_refused() -> None:
    values = (({"weight": 3.0, "density": 1.0}, {"weight": 1.0, "density": 1.0}),)
    origin = space(groups="model").origin
    recipe = Recipe("ties", BASE, (ONE, TWO), (WHOLE_MODEL,), values, origin.settings, 3, "float32")
    with pytest.raises(GenomeError, match="model / one / weight is 3; expected 0 to 2"):
        space(groups="model").encode(recipe)


@pytest.mark.parametrize(
    ("method", "why"), [("karcher", "has no number for a parent"), ("passthrough", "takes one model alone")]
)
def test_a_method_with_nothing_to_search_has_no_space(method: str, why: str) -> None:
    with pytest.raises(GenomeError, match=f"{methods.get(method).title} has nothing to search: it {why}"):
        space(method)


def test_a_method_for_two_parents_has_no_space_for_one() -> None:
    with pytest.raises(RecipeError, match="SLERP takes 2 parents, found 1"):
        parameter_space(**{**SETTINGS, "method": "slerp", "parents": (ONE,), "base": None, "groups": "model"})  # type: ignore[arg-type]


def test_settings_are_checked_and_completed() -> None:
    assert space().origin.settings == {"normalize": False, "lambda": 1.0}
    arguments = {"method": "linear", "parents": (ONE,), "base": None, "n_layers": 2, "groups": "model", "seed": 0}
    with pytest.raises(RecipeError, match="has values for colour, normalize"):
        parameter_space(**arguments, settings={"colour": 1}, dtype="float32")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError):
        space("ties2")


def test_one_group_for_the_model_fits_any_depth() -> None:
    assert layer_groups("model", 4) == (WHOLE_MODEL,)


def test_finer_groups_set_embeddings_and_head_apart() -> None:
    found = [(group.name, group.start, group.stop, group.before, group.after) for group in layer_groups("2", 5)]
    assert found == [
        ("embeddings", 0, 0, True, False),
        ("layers 0-1", 0, 2, False, False),
        ("layers 2-4", 2, 5, False, False),
        ("head", 5, 5, False, True),
    ]


def test_with_tied_embeddings_the_final_norm_joins_the_last_layers() -> None:
    assert [group.name for group in layer_groups("block", 3, tied_embeddings=True)] == [
        "embeddings",
        "layer 0",
        "layer 1",
        "layer 2",
    ]
    assert layer_groups("block", 3, tied_embeddings=True)[-1].after


@given(st.integers(2, 90).flatmap(lambda n: st.tuples(st.just(n), st.integers(2, n))), st.booleans())
def test_groups_tile_all_layers_evenly(case: tuple[int, int], tied: bool) -> None:
    n_layers, n_groups = case
    blocks = [group for group in layer_groups(str(n_groups), n_layers, tied) if group.start != group.stop]
    sizes = [(group.stop or 0) - group.start for group in blocks]
    assert len(blocks) == n_groups and sum(sizes) == n_layers and max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    "granularity", ["0", "1", "5", "-2", "two", "", "２", "gradient", "gradient 1", "gradient 5", "gradient  2"]
)
def test_another_granularity_is_refused(granularity: str) -> None:
    with pytest.raises(GenomeError, match="expected model, block, a number from 2 to the 4 layers"):
        layer_groups(granularity, 4)

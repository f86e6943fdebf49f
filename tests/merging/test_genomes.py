"""Genes and recipes: bounds, order, round trips, and no two genomes with one recipe."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merging.errors import GenomeError, RecipeError, UnknownNameError
from merging.genomes import GenomeSpace, layer_groups, parameter_space
from merging.recipes import WHOLE_MODEL, Parent, Recipe

BASE, ONE, TWO = (Parent(name, f"/models/{name}", f"sha256:{name}") for name in ("base", "one", "two"))


def space(method: str = "ties", groups: str = "2", tied: bool = False) -> GenomeSpace:
    return parameter_space(
        method=method,
        parents=(ONE, TWO),
        base=None if method == "linear" else BASE,
        n_layers=4,
        groups=groups,
        settings=(),
        seed=3,
        dtype="float32",
        tied_embeddings=tied,
    )


GENOMES = st.lists(st.floats(0, 1), min_size=space().n_genes, max_size=space().n_genes).map(tuple)


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


@given(GENOMES)
def test_decode_and_encode_are_opposites(genome: tuple[float, ...]) -> None:
    """To within two roundings of numbers up to 2."""
    assert space().encode(space().decode(genome)) == pytest.approx(genome, abs=1e-15)


@given(GENOMES, GENOMES)
def test_two_genomes_that_differ_are_two_recipes(first: tuple[float, ...], second: tuple[float, ...]) -> None:
    far = any(abs(a - b) > 1e-9 for a, b in zip(first, second, strict=True))
    assert not far or space().decode(first).digest() != space().decode(second).digest()


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


def test_a_method_without_parameters_per_parent_has_no_space() -> None:
    with pytest.raises(GenomeError, match="Karcher mean has nothing to search"):
        space("karcher")


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


@pytest.mark.parametrize("granularity", ["0", "1", "5", "-2", "two", "", "２"])
def test_another_granularity_is_refused(granularity: str) -> None:
    with pytest.raises(GenomeError, match="expected model, block, or a number from 2 to the 4 layers"):
        layer_groups(granularity, 4)

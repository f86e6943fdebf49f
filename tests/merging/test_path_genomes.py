"""Genomes of paths: A's own path in the middle, fixed ends, and genes that say what they did."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merging.errors import GenomeError
from merging.hops import Hop, LayerPath
from merging.path_genomes import LIKELY, SCALES, PathSpace, path_space
from merging.paths import path_recipe
from merging.recipes import Parent, passthrough_recipe
from merging.spaces import Genome

A, B, C = (Parent(name, f"/models/{name}", f"sha256:{name}") for name in "abc")


def space(scales: str = "slot", **changes: Any) -> PathSpace:
    settings: dict[str, Any] = {
        "parents": (A, B),
        "n_layers": (3, 2),
        "repeats": 1,
        "max_hops": 99,
        "dtype": "float32",
        "seed": 1,
    }
    return path_space(**settings | {"scales": scales} | changes)


@st.composite
def spaces(draw: st.DrawFn, scales: tuple[str, ...] = SCALES) -> PathSpace:
    n_layers = draw(st.sampled_from([(2,), (5,), (2, 1), (3, 2), (2, 4)]))
    most = draw(st.integers(n_layers[0], 20))
    return space(
        draw(st.sampled_from(scales)),
        parents=(A, B)[: len(n_layers)],
        n_layers=n_layers,
        repeats=draw(st.integers(1, 3)),
        max_hops=most,
        p_others=draw(st.sampled_from([0.002, 0.1, 0.5])),
    )


def genomes(chosen: PathSpace) -> st.SearchStrategy[Genome]:
    return st.lists(st.floats(0, 1), min_size=chosen.n_genes, max_size=chosen.n_genes).map(tuple)


with_genome = spaces().flatmap(lambda chosen: st.tuples(st.just(chosen), genomes(chosen)))


def genome(chosen: PathSpace, on: set[int], **scales: float) -> Genome:
    """These slots on; scale genes by their number after an `s`."""
    switches = [float(number + 1 in on) for number in range(chosen.n_switches)]
    rest = [scales.get(f"s{number}", 0.5) for number in range(chosen.n_genes - chosen.n_switches)]
    return (*switches, *rest)


def layers(path: LayerPath) -> list[tuple[int, int]]:
    return [(hop.parent, hop.layer) for hop in path.hops]


@given(spaces())
def test_a_search_starts_at_a_as_it_is(chosen: PathSpace) -> None:
    own = LayerPath(tuple(Hop(0, layer) for layer in range(chosen.n_layers[0])))
    assert chosen.path(chosen.centre) == own
    assert chosen.decode(chosen.centre) == path_recipe((A, B), own) and chosen.decode(chosen.centre).scales == ()


def test_slots_are_all_layers_of_a_then_of_b_again_and_again() -> None:
    found = [(slot.parent, slot.layer, slot.number, slot.switch) for slot in space(repeats=2).slots]
    assert found == [
        (0, 0, 0, None), (0, 1, 0, 0), (1, 0, 0, 1), (1, 1, 0, 2),
        (0, 0, 1, 3), (0, 1, 1, 4), (0, 2, 1, 5), (1, 0, 1, 6), (1, 1, 1, 7), (0, 2, 0, None),
    ]  # fmt: skip


@given(with_genome)
def test_every_path_begins_and_ends_with_a_and_keeps_to_the_slots(case: tuple[PathSpace, Genome]) -> None:
    chosen, found = case[0], case[0].path(case[1])
    assert layers(found)[0] == (0, 0) and layers(found)[-1] == (0, chosen.n_layers[0] - 1)
    assert 2 <= found.n_hops <= chosen.max_hops
    assert found.hops[0].scale == 1 and all(0.5 <= scale <= 1.5 for scale in found.scales)
    rest = iter(slot.of for slot in chosen.slots)
    assert all(layer in rest for layer in layers(found))


@given(with_genome)
def test_a_switch_says_only_whether_a_slot_is_on(case: tuple[PathSpace, Genome]) -> None:
    chosen = replace(case[0], max_hops=99)
    blunt = tuple(float(x > 0.5) if gene in chosen.axes.switches else x for gene, x in enumerate(case[1]))
    assert chosen.path(blunt) == chosen.path(case[1])
    assert chosen.path(case[1]).n_hops == 2 + sum(blunt[: chosen.n_switches])


@given(with_genome, st.randoms(use_true_random=False))
def test_a_gene_matters_only_while_a_switch_that_it_depends_on_is_on(
    case: tuple[PathSpace, Genome], luck: random.Random
) -> None:
    chosen, found = case
    on = {gene for gene in chosen.axes.switches if found[gene] > 0.5}
    idle = {gene for gene, _ in chosen.axes.depends} - {gene for gene, switch in chosen.axes.depends if switch in on}
    assert chosen.path(tuple(luck.random() if i in idle else x for i, x in enumerate(found))) == chosen.path(found)


@pytest.mark.parametrize(("p_others", "start"), [(0.5, 0.5), (0.02275, 0.5 - 2 / 6), (0.15866, 0.5 - 1 / 6)])
def test_a_search_can_start_nearer_to_a(p_others: float, start: float) -> None:
    axes = space("one", p_others=p_others).axes
    assert axes.starts == pytest.approx((LIKELY, start, start), abs=1e-4)


@pytest.mark.parametrize("scales", ["slot", "matrix"])
def test_each_number_depends_on_the_switch_of_its_layer(scales: str) -> None:
    """Of 4 slots after the first, the last is always on; of pairs that lead to it, the first layer decides."""
    axes = space(scales).axes
    assert axes.switches == (0, 1, 2) and axes.starts[:3] == (LIKELY, 0.5, 0.5)
    if scales == "slot":
        assert axes.depends == ((3, 0), (4, 1), (5, 2))
    else:  # a0-a1 a0-a2 a0-b0 a0-b1 a1-a2 a1-b0 a1-b1 b0-a2 b0-b1 b1-a2
        switches = (0, None, 1, 2, 0, 1, 2, 1, 2, 2)
        assert axes.depends == tuple((3 + n, switch) for n, switch in enumerate(switches) if switch is not None)


@pytest.mark.parametrize(
    ("scales", "repeats", "n_genes"),
    [
        ("one", 1, 3), ("slot", 1, 3 + 4), ("matrix", 1, 3 + 10), ("network", 1, 3 + 41),
        ("one", 2, 8), ("slot", 2, 8 + 9), ("matrix", 2, 8 + 23), ("network", 2, 8 + 41),
        ("matrix", 3, 13 + 25),
    ],
)  # fmt: skip
def test_genes_are_as_many_as_switches_and_scales(scales: str, repeats: int, n_genes: int) -> None:
    """Two passes through 5 layers lead from each of them to each, but from A's last to A's own; three also those."""
    chosen = space(scales, repeats=repeats)
    assert chosen.n_genes == chosen.axes.n_genes == n_genes
    assert len({gene.name for gene in chosen.genes}) == n_genes


def test_genes_have_names_for_people() -> None:
    assert [gene.name for gene in space(n_layers=(2, 1)).genes] == [
        "b / layer 0", "b / layer 0 / scale", "a / layer 1 / scale",
    ]  # fmt: skip
    assert space(repeats=2).genes[3].name == "pass 2 / a / layer 0"
    assert space("matrix").genes[3].name == "a / layer 0 / to a / layer 1 / scale"


def test_a_slot_s_scale_is_its_gene_and_a_half() -> None:
    chosen = space()
    found = chosen.path(genome(chosen, {1, 2}, s0=0.0, s1=0.75, s2=0.1, s3=1.0))
    assert found.hops == (Hop(0, 0), Hop(0, 1, 0.5), Hop(1, 0, 1.25), Hop(0, 2, 1.5))


def test_a_matrix_scales_by_where_the_stream_comes_from() -> None:
    """Pairs are in order: a0-a1, a0-a2, a0-b0, a0-b1, a1-a2, a1-b0 and so on."""
    chosen, numbers = space("matrix"), {"s0": 0.0, "s2": 0.25, "s4": 0.75, "s5": 1.0, "s7": 0.1}
    assert chosen.path(genome(chosen, {2}, **numbers)).hops == (Hop(0, 0), Hop(1, 0, 0.75), Hop(0, 2, 0.6))
    assert chosen.path(genome(chosen, {1, 2}, **numbers)).hops[2] == Hop(1, 0, 1.5)


def test_a_matrix_has_one_number_for_a_pair_that_comes_twice() -> None:
    chosen = space("matrix", parents=(A,), n_layers=(2,), repeats=3)
    found = chosen.path((1.0,) * chosen.n_switches + (0.5, 0.75, 0.25, 0.5))
    assert layers(found) == [(0, 0), (0, 0), (0, 1), (0, 0), (0, 1), (0, 1)]
    assert found.scales == (1, 1, 1.25, 0.75, 1.25, 1)


def test_a_network_moves_all_scales_at_once() -> None:
    """The bias of its output alone: w = 1 + tanh(0.75) / 2 for every hop but the first."""
    chosen = space("network")
    found = chosen.path(genome(chosen, {1, 3}, s40=1.0))
    assert found.scales == pytest.approx([1] + [1 + math.tanh(0.75) / 2] * 3)


def test_a_network_tells_hops_apart_and_seeds_decide_how() -> None:
    chosen = space("network")
    tried = genome(chosen, {1, 2, 3}, **{f"s{n}": 0.9 for n in range(32, 40)})
    assert len({*chosen.path(tried).scales}) == 5
    assert space("network").path(tried) == chosen.path(tried) != space("network", seed=2).path(tried)


def test_of_too_many_hops_the_strongest_stay_and_earlier_ones_first() -> None:
    chosen = space("one", max_hops=3)
    assert layers(chosen.path((0.8, 0.7, 0.9))) == [(0, 0), (1, 1), (0, 2)]
    assert layers(chosen.path((0.7, 0.8, 0.8))) == [(0, 0), (1, 0), (0, 2)]
    assert layers(space("one", max_hops=4).path((0.7, 0.8, 0.9))) == [(0, 0), (1, 0), (1, 1), (0, 2)]


def test_one_parent_s_own_layers_are_skipped_and_repeated() -> None:
    chosen = space("one", parents=(A,), n_layers=(3,), repeats=2)
    assert layers(chosen.path((0.0, 1.0, 0.0, 1.0))) == [(0, 0), (0, 0), (0, 2), (0, 2)]


def test_the_order_of_parents_matters() -> None:
    swapped = space("one", parents=(B, A), n_layers=(2, 3))
    assert swapped.decode(swapped.centre).parents == (B,)


@given(spaces(("slot", "matrix", "one")).flatmap(lambda chosen: st.tuples(st.just(chosen), genomes(chosen))))
def test_a_recipe_s_genome_is_found_again(case: tuple[PathSpace, Genome]) -> None:
    chosen, recipe = case[0], case[0].decode(case[1])
    found = chosen.encode(recipe)
    assert chosen.decode(found) == recipe and chosen.encode(chosen.decode(found)) == found


def test_a_network_s_genome_is_found_only_where_scales_are_one() -> None:
    chosen = space("network")
    plain = chosen.decode(genome(chosen, {2}))
    assert chosen.decode(chosen.encode(plain)) == plain
    with pytest.raises(GenomeError, match="belongs to another space"):
        chosen.encode(chosen.decode(genome(chosen, {2}, s40=1.0)))


@pytest.mark.parametrize(
    "hops",
    [
        (Hop(0, 1), Hop(0, 2)),
        (Hop(0, 0), Hop(0, 1)),
        (Hop(0, 0),),
        (Hop(0, 0), Hop(1, 0), Hop(0, 1), Hop(0, 2)),
        (Hop(0, 0), Hop(0, 2, 1.6)),
        (Hop(0, 0, 0.9), Hop(0, 2)),
        (Hop(0, 0), Hop(2, 0), Hop(0, 2)),
        (Hop(0, 0), Hop(0, 1), Hop(1, 0), Hop(1, 1), Hop(0, 2)),
    ],
)
def test_a_path_that_no_genome_reaches_is_refused(hops: tuple[Hop, ...]) -> None:
    with pytest.raises(GenomeError, match="this recipe belongs to another space"):
        space(max_hops=4).encode(path_recipe((A, B, C), LayerPath(hops)))


def test_recipes_that_are_no_path_or_of_another_dtype_are_refused() -> None:
    for recipe in (passthrough_recipe(A), space(dtype="bfloat16").decode(space().centre)):
        with pytest.raises(GenomeError, match="this recipe belongs to another space"):
            space().encode(recipe)


def test_a_matrix_cannot_scale_one_pair_in_two_ways() -> None:
    hops = (Hop(0, 0), Hop(0, 1, 0.9), Hop(0, 0), Hop(0, 1, 1.1), Hop(0, 2))
    recipe = path_recipe((A,), LayerPath(hops))
    assert space(repeats=2).decode(space(repeats=2).encode(recipe)).path == LayerPath(hops)
    with pytest.raises(GenomeError, match="this recipe belongs to another space"):
        space("matrix", repeats=2).encode(recipe)


@pytest.mark.parametrize("x", [-0.01, 1.01, float("nan")])
def test_a_gene_outside_its_range_is_refused(x: float) -> None:
    with pytest.raises(GenomeError, match="gene a / layer 1 is"):
        space().decode((x, *space().centre[1:]))
    with pytest.raises(GenomeError, match="has 3 genes; expected 7"):
        space().decode((0.5,) * 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parents": (), "n_layers": ()}, "0 parents with 0 numbers of layers; expected one or two"),
        ({"n_layers": (3,)}, "2 parents with 1 numbers"),
        ({"parents": (A, B, C), "n_layers": (3, 2, 2)}, "3 parents"),
        ({"n_layers": (1, 2)}, "the layers of a are 1; expected 2 or more: A's first and last"),
        ({"n_layers": (3, 0)}, "the layers of b are 0; expected 1 or more"),
        ({"repeats": 0}, "the 5 layers are repeated 0 times; expected 1 to 2000 times"),
        ({"repeats": 2001}, "repeated 2001 times"),
        ({"scales": "full"}, "scales are 'full'; expected one of matrix, network, slot, one"),
        ({"p_others": 0.0}, "with probability 0.0 at the start; expected 0.002 to 0.5"),
        ({"p_others": 0.6}, "with probability 0.6"),
        ({"max_hops": 2}, "at most 2 hops; a alone has 3 layers"),
    ],
)
def test_settings_that_make_no_space_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(GenomeError, match=message):
        space(**changes)

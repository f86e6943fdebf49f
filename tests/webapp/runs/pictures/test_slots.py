"""Which layers a search settles on: counted when a generation opens, drawn by generation, cheap however many candidates there were."""

from __future__ import annotations

import random
import re
import time

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from merging.recipes import Recipe
from tests.webapp.runs.path_rows import make_path_config, make_path_run
from tests.webapp.runs.rows import make_run
from webapp.runs.config import RunConfig
from webapp.runs.models import Generation, Run
from webapp.runs.pictures.paths import space_of
from webapp.runs.pictures.slots import SlotMap, slot_map, switches
from workers.ledger.searches import n_passed

pytestmark = pytest.mark.django_db


def map_of(run: Run) -> SlotMap:
    found = slot_map(run, RunConfig.from_json(run.config))
    assert found
    return found


def rows_of(drawn: SlotMap) -> list[list[float]]:
    return [row.shares for group in drawn.groups for row in group.rows]


def test_shares_are_those_of_the_recipes(owner: User) -> None:
    """A slow oracle: the hops of every candidate's recipe, by layer; which pass they are in the recipe does not say."""
    run = make_path_run(owner, n_generations=3)
    drawn = map_of(run)
    for generation in run.generations.all():
        hops = [
            hop for c in generation.candidates.all() for hop in (Recipe.from_json(c.recipe).path or pytest.fail()).hops
        ]
        for sign, layer in ((1, 0), (1, 2), (2, 1), (2, 3)):
            found = [r for g in drawn.groups if g.sign == sign for r in g.rows if r.layer == layer]
            expected = sum((hop.parent + 1, hop.layer) == (sign, layer) for hop in hops)
            assert sum(row.shares[generation.number] for row in found) == pytest.approx(expected / 6)


def test_slots_stand_in_order_of_data_flow_and_both_ends_are_always_passed(owner: User) -> None:
    drawn = map_of(make_path_run(owner, n_generations=2))
    assert [group.name for group in drawn.groups] == [
        "demo/japanese, pass 1",
        "demo/addition, pass 1",
        "demo/japanese, pass 2",
        "demo/addition, pass 2",
        "demo/japanese, at the end",
    ]
    assert [row.layer for row in drawn.groups[0].rows] == [0, 1, 2] and [
        row.layer for row in drawn.groups[-1].rows
    ] == [3]
    fixed = [row for group in drawn.groups for row in group.rows if row.is_fixed]
    assert [row.layer for row in fixed] == [0, 3] and all(row.shares == [1, 1] for row in fixed)


def test_every_cell_is_drawn_once_at_its_level(owner: User) -> None:
    drawn = map_of(make_path_run(owner, n_generations=5, population=7))
    cells: dict[tuple[float, int], int] = {}
    for level, line in enumerate(drawn.levels):
        for x, y, width in re.findall(r"M([\d.]+) ([\d.]+)h([\d.]+)", line):
            first, n = (round((float(x) - drawn.left) / drawn.step), round(float(width) / drawn.step))
            for generation in range(first, first + n):
                assert (float(y), generation) not in cells
                cells[float(y), generation] = level
    assert len(cells) == 5 * sum(len(group.rows) for group in drawn.groups)
    for group in drawn.groups:
        for row in group.rows:
            for generation, share in enumerate(row.shares):
                level = cells[row.y, generation]
                assert (level == 0) == (share == 0) and (level == 6) == (share == 1)
                assert level in (0, 6) or abs(share - (level - 0.5) / 5) <= 0.1 + 1e-9


def test_what_the_pointer_is_told_is_packed_row_by_row(owner: User) -> None:
    drawn = map_of(make_path_run(owner, n_generations=3))
    packed = [int(drawn.packed[i : i + 2], 16) for i in range(0, len(drawn.packed), 2)]
    assert packed == [round(100 * share) for shares in rows_of(drawn) for share in shares]
    assert drawn.sizes == "6 6 6"


def test_the_sentence_tells_how_far_the_newest_generation_agrees(owner: User) -> None:
    run = make_path_run(owner, n_generations=2)
    counts = [4, *[4] * 3, *[0] * 5, *[2] * 6, 4]
    Generation.objects.filter(run=run, number=1).update(passed=counts)
    assert map_of(run).sentence == (
        "In generation 1 a path has 8.0 hops on average, of 16 slots; "
        "about 8 of the 14 slots that can be off, all 4 candidates agree."
    )


def test_the_bound_on_hops_counts(owner: User) -> None:
    make_path_run(owner, n_generations=0)
    space = space_of(make_path_config(max_hops=5))
    assert space
    counts = n_passed(space, [(0.9,) * space.n_genes, (0.1,) * space.n_genes])
    assert counts and sum(counts) == 5 + 2 and counts[0] == counts[-1] == 2


def test_a_search_for_tensors_has_no_slots(owner: User, owner_client: Client) -> None:
    run = make_run(owner, n_generations=1)
    assert slot_map(run, RunConfig.from_json(run.config)) is None
    assert "slots-title" not in owner_client.get(reverse("runs:detail", args=[run.pk])).content.decode()


def test_before_the_first_generation_the_page_says_what_will_come(owner: User, owner_client: Client) -> None:
    run = make_path_run(owner, n_generations=0)
    assert (
        "The first generation is on its way" in owner_client.get(reverse("runs:detail", args=[run.pk])).content.decode()
    )


def test_the_map_is_announced_with_the_parts_and_answered_by_its_name(owner: User, owner_client: Client) -> None:
    run = make_path_run(owner, n_generations=2)
    address = reverse("runs:detail", args=[run.pk])
    announced = owner_client.get(f"{address}?part=live").content.decode()
    assert '<div data-part="slots" data-later data-key="2"></div>' in announced and "slots-picture" not in announced
    part = owner_client.get(f"{address}?part=slots").content.decode()
    assert part.count("data-part=") == 1 and 'data-part="slots" data-key="2"' in part and "slots-picture" in part
    assert "<summary>The map as a table</summary>" in part


def test_the_map_is_the_owners_alone(
    owner: User, owner_client: Client, member_client: Client, stranger_client: Client
) -> None:
    address = reverse("runs:detail", args=[make_path_run(owner, n_generations=1).pk]) + "?part=slots"
    assert [c.get(address).status_code for c in (owner_client, member_client, stranger_client)] == [200, 404, 302]


def test_a_paper_sized_run_is_one_query_and_quick(owner: User, owner_client: Client) -> None:
    """100 generations of 128 candidates over 192 slots. 300 ms are for the whole part; here it takes about 60."""
    run = make_path_run(owner, n_generations=0, n_layers=32, repeats=3)
    config = RunConfig.from_json(run.config)
    luck = random.Random(1)
    Generation.objects.bulk_create(
        Generation(
            run=run,
            number=number,
            population_digest=str(number),
            passed=[128, *(luck.randint(0, 128) for _ in range(190)), 128],
        )
        for number in range(100)
    )
    slot_map(run, config)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        drawn = slot_map(run, config)
    assert drawn and len(rows_of(drawn)) == 192 and len(queries) == 1
    address = reverse("runs:detail", args=[run.pk]) + "?part=slots"
    owner_client.get(address)
    start = time.thread_time()
    part = owner_client.get(address).content
    assert time.thread_time() - start < 1.0
    assert len(part) < 600_000


def test_a_candidates_page_says_what_each_switch_came_to(owner: User, owner_client: Client) -> None:
    run = make_path_run(owner, n_generations=1)
    candidate = run.candidates.filter(kind="evolved")[0]
    config = RunConfig.from_json(run.config)
    found = switches(config, tuple(candidate.genome or ()))
    assert [switch.state for switch in found] == [
        "passed" if gene > 0.5 else "off" for gene in (candidate.genome or ())[:14]
    ]
    assert found[0].name == "pass 1 / demo/japanese / layer 1"
    page = owner_client.get(reverse("runs:candidate", args=[run.pk, candidate.pk])).content.decode()
    assert "<summary>14 switches</summary>" in page and "<td>pass 1 / demo/japanese / layer 1</td>" in page


def test_a_slot_that_is_on_beyond_the_bound_is_said_to_be_left_out(owner: User) -> None:
    make_path_run(owner, n_generations=0)
    config = make_path_config(max_hops=5)
    space = space_of(config)
    assert space
    states = [switch.state for switch in switches(config, (0.9,) * space.n_genes)]
    assert states == ["passed"] * 3 + ["left out: too many hops"] * 11
    assert switches(config, (0.9,)) == []

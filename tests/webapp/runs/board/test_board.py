"""The whole leaderboard of a run: filters, order, pages, files, and what a large run costs."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.http import QueryDict
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from merging.recipes import Recipe
from tests.access.world import body_of
from tests.webapp.runs.path_rows import make_path_run
from tests.webapp.runs.rows import PARENTS, make_run, rewrite
from tests.webapp.runs.test_several_benchmarks import scored_run
from webapp.marks import actions as marks
from webapp.runs.board import field as fields
from webapp.runs.board import leaderboard
from webapp.runs.board.field import Entry, Result, field, front
from webapp.runs.board.files import Sheet
from webapp.runs.board.query import BoardQuery
from webapp.runs.models import Evaluation, Run, Score
from webapp.runs.pictures.thumbnails import LANE, WIDTH, thumbnail

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(owner: User) -> Run:
    return make_run(owner, state="done", n_generations=3, population=6, ending=True)


def address(run: Run, name: str = "leaderboard") -> str:
    return reverse(f"runs:{name}", args=[run.pk])


def page(client: Client, run: Run, query: str = "") -> str:
    answer = client.get(f"{address(run)}?{query}")
    assert answer.status_code == 200
    return answer.content.decode()


def names(client: Client, run: Run, query: str = "") -> list[str]:
    """The models in the order of the table."""
    return re.findall(r'class="lead"><a [^>]*>([^<]+)</a>', page(client, run, query))


def evolved(run: Run) -> Iterable[Evaluation]:
    return run.evaluations.filter(split="search", status="done", candidate__kind="evolved").order_by("-fitness")


def doubt(evaluation: Evaluation) -> None:
    rewrite(Evaluation.objects.filter(pk=evaluation.pk), is_healthy=False)
    Score.objects.filter(evaluation=evaluation).update(concerns=["30 of 50 completions say nothing"])
    fields._kept.clear()


def test_everybody_stands_there_in_the_order_of_the_short_leaderboard(run: Run, owner_client: Client) -> None:
    short = [row.candidate.name for row in leaderboard.board(run, 18, everything=True).rows]
    assert names(owner_client, run) == short and len(short) == 22


def test_ranks_are_those_of_the_short_leaderboard(run: Run, owner_client: Client) -> None:
    short = [row.rank for row in leaderboard.board(run, 18, everything=True).rows]
    assert re.findall(r'whole-rank">([^<]+)</td>', page(owner_client, run)) == short


def test_below_what_is_tested_places_follow_the_score(
    run: Run, owner_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaderboard, "N_RANKED", 5)
    places = [int(n) for n in re.findall(r'whole-rank"><span class="hint">\((\d+)\)</span>', page(owner_client, run))]
    assert len(places) >= 13 and places == list(range(places[0], 23))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("kind=parent", {"demo/japanese", "demo/addition"}),
        ("kind=parent&kind=baseline", {"demo/japanese", "demo/addition", "uniform average", "starting point"}),
        ("from=1&to=1", {f"g1.{i}" for i in range(6)}),
        ("from=2", {f"g2.{i}" for i in range(6)}),
        ("q=G1.3", {"g1.3"}),
        ("q=slow+but", {"g0.2"}),
        ("tag=odd", {"g0.2"}),
        ("starred=1", {"g1.1"}),
        ("starred=1&tag=odd", set()),
        ("kind=nonsense&from=x&sort=y&page=z&view=pareto&q=g0.0", {"g0.0"}),
    ],
)
def test_filters_let_through_what_they_say(
    run: Run, owner: User, owner_client: Client, query: str, expected: set[str]
) -> None:
    marks.annotate(run.candidates.get(name="g0.2"), owner, "Slow but right.", ["odd"])
    marks.star(run.candidates.get(name="g1.1"), owner, True)
    assert set(names(owner_client, run, query)) == expected


def test_who_is_not_trusted_stands_below_with_the_reason(run: Run, owner_client: Client) -> None:
    best = evolved(run)[0]  # type: ignore[index]
    doubt(best)
    text = page(owner_client, run)
    assert names(owner_client, run)[-1] == best.candidate.name
    assert text.count("Not ranked: 1 candidate whose") == 1 and "30 of 50 completions say nothing" in text
    assert best.candidate.name not in names(owner_client, run, "healthy=1")


@pytest.mark.parametrize("sort", ["search", "generation", "age", "name"])
def test_the_other_way_round_is_the_opposite_of_each_order(run: Run, owner_client: Client, sort: str) -> None:
    there, back = (names(owner_client, run, f"kind=evolved&sort={way}{sort}") for way in ("", "-"))
    keys = {
        "search": dict(run.evaluations.filter(split="search").values_list("candidate__name", "mean")),
        "generation": dict(run.candidates.values_list("name", "generation__number")),
        "age": dict(run.evaluations.filter(split="search").values_list("candidate__name", "finished")),
        "name": {name: name for name in there},
    }[sort]
    values = [keys[name] for name in there]
    assert values == sorted(values, reverse=sort in ("search", "age"))
    assert [keys[name] for name in back] == values[::-1]


def test_what_is_not_scored_comes_last_either_way(run: Run, owner_client: Client) -> None:
    """Only the winner and the parents and baselines took the exam."""
    for way in ("", "-"):
        first = names(owner_client, run, f"sort={way}final")[:5]
        assert run.winner and set(first) == {
            run.winner.name,
            *(p.name for p in PARENTS),
            "uniform average",
            "starting point",
        }


def test_an_address_is_read_as_it_was_written() -> None:
    query = BoardQuery(
        view="pareto", kinds=("evolved",), first=2, last=30, is_healthy=True, is_starred=True, tag="a&b", text="x=1",
        sort="-part-1", columns=("map", "size"), page=3,
    )  # fmt: skip
    assert BoardQuery.of(QueryDict(query.address(page=3)), n_parts=2) == query
    assert BoardQuery.of(QueryDict(BoardQuery().address())) == BoardQuery() and BoardQuery().address() == ""


def test_columns_are_those_that_were_chosen(run: Run, owner_client: Client) -> None:
    text = page(owner_client, run, "col=size&col=marks")
    assert "Tags and notes</th>" in text and 'class="thumb' not in text and "optimised on this" not in text


def test_pages_hold_all_rows_once(run: Run, owner_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from webapp.runs.views import leaderboard as view

    monkeypatch.setattr(view, "PER_PAGE", 10)
    pages = [names(owner_client, run, f"page={n}") for n in (1, 2, 3)]
    assert [len(found) for found in pages] == [10, 10, 2]
    assert len({name for found in pages for name in found}) == 22


def test_files_have_the_rows_that_the_filter_shows(run: Run, owner: User, owner_client: Client) -> None:
    best = run.candidates.get(name="g1.1")
    marks.star(best, owner, True)
    marks.annotate(best, owner, "=HYPERLINK(1)", ["-1+2", "fine"])
    found = owner_client.get(f"{address(run, 'leaderboard_csv')}?from=1&to=1&sort=name")
    rows = list(csv.DictReader(io.StringIO(body_of(found).decode())))
    assert [row["candidate"] for row in rows] == [f"g1.{i}" for i in range(6)]
    assert (rows[1]["notes"], rows[1]["tags"], rows[1]["stars"]) == ("'=HYPERLINK(1)", "'-1+2; fine", "1")
    assert found["Content-Disposition"] == 'attachment; filename="japanese-sums-leaderboard.csv"'
    read = json.loads(body_of(owner_client.get(f"{address(run, 'leaderboard_json')}?from=1&to=1&sort=name")))
    assert [row["candidate"] for row in read["candidates"]] == [row["candidate"] for row in rows]
    scored = Evaluation.objects.get(candidate=best, split="search")
    assert read["candidates"][1]["search"] == scored.mean == float(rows[1]["search"])
    assert read["candidates"][1]["final"] is None and rows[1]["final"] == ""


def test_files_without_rows_say_what_they_would_have(owner: User, owner_client: Client) -> None:
    run = make_run(owner, n_generations=1, population=2, n_samples=5)
    text = body_of(owner_client.get(f"{address(run, 'leaderboard_csv')}?q=nobody")).decode()
    assert text.startswith("place,rank,candidate,") and text.count("\n") == 1
    assert json.loads(body_of(owner_client.get(f"{address(run, 'leaderboard_json')}?q=nobody")))["candidates"] == []


# several benchmarks


def test_the_front_is_whom_nobody_dominates() -> None:
    points = [(1.0, 0.0), (0.0, 1.0), (0.5, 0.5), (0.5, 0.4), (0.0, 0.0), (0.5, 0.5), (0.4, 0.5)]
    assert front(points) == {(1.0, 0.0), (0.0, 1.0), (0.5, 0.5)}
    assert front([]) == set() and front([(0.0, 0.0)]) == {(0.0, 0.0)}


def test_the_front_of_random_points_is_that_of_the_definition() -> None:
    import random

    luck = random.Random(3)
    points = [tuple(luck.randrange(6) / 5 for _ in range(3)) for _ in range(200)]
    expected = {p for p in points if not any(all(a >= b for a, b in zip(q, p, strict=True)) and q != p for q in points)}
    assert front(points) == expected


def test_several_benchmarks_have_columns_an_order_and_a_front(owner: User, owner_client: Client, tmp_path: Any) -> None:
    run = scored_run(owner, tmp_path)
    evaluation = run.evaluations.filter(split="search", candidate__kind="evolved")[0]
    Score.objects.filter(evaluation=evaluation, index=1).update(mean=1.0)
    Score.objects.filter(evaluation=evaluation, index=0).update(mean=0.0)
    fields._kept.clear()
    name = evaluation.candidate.name
    assert names(owner_client, run, "sort=part-1")[0] == name != names(owner_client, run, "sort=part-0")[0]
    on_front = [entry.name for entry in field(run).entries if entry.is_front]
    assert name in on_front and sorted(names(owner_client, run, "view=pareto")) == sorted(on_front)
    picture = owner_client.get(f"{address(run)}?part=front").json()
    assert picture["curve"] == [[0.0, 100.0], [80.0, 40.0]] and len(picture["ids"]) == len(picture["points"])


def test_files_tell_benchmarks_from_all_other_columns(owner: User) -> None:
    whole = {"search": Result(0.5, 0.4, 0.6, 50, False), "is_healthy": True, "finished": None, "parts": (0.1, 0.2, 0.9)}
    entry = Entry(1, "g0.0", "evolved", 0, 0, 1, 0.5, **whole)
    columns = Sheet([entry], {}, {}, ["n", "low", "n"]).columns()
    assert [columns[name](entry) for name in ("search", "search_low", "search_n")] == [0.5, 0.4, 50]
    assert [columns[name](entry) for name in ("search_1_n", "search_2_low", "search_3_n")] == [0.1, 0.2, 0.9]


def test_one_benchmark_has_no_front(run: Run, owner_client: Client) -> None:
    assert "Pareto" not in page(owner_client, run)
    assert "nothing" in owner_client.get(f"{address(run)}?part=front").json()


# states and pictures


def test_a_run_without_scores_says_what_comes(owner: User, owner_client: Client) -> None:
    run = make_run(owner, n_generations=1, population=1, n_samples=5)
    Evaluation.objects.filter(run=run).delete()
    assert "The parents come first: the bar to beat." in page(owner_client, run)


def test_a_filter_that_nobody_passes_can_be_cleared(run: Run, owner_client: Client) -> None:
    text = page(owner_client, run, "q=nobody&sort=name")
    assert "No row passes these filters." in text and 'href="?sort=name">Clear filters' in text


def test_a_thumbnail_has_a_lane_for_each_parent(run: Run) -> None:
    recipe = Recipe.from_json(run.candidates.filter(kind="evolved")[0].recipe)
    found = thumbnail(recipe, PARENTS)
    assert found and (found.width, found.height) == (WIDTH, 2 * LANE)
    assert [strand.colour for strand in found.strands] == [1, 2]
    assert all(strand.d.count("M") == 6 for strand in found.strands)  # input, four layers, head


def test_a_path_has_a_stroke_for_each_hop_and_its_size_in_layers(owner: User, owner_client: Client) -> None:
    run = make_path_run(owner, n_generations=1, population=2)
    recipe = Recipe.from_json(run.candidates.filter(kind="evolved")[0].recipe)
    found = thumbnail(recipe, PARENTS)
    assert found and recipe.path and sum(strand.d.count("M") for strand in found.strands) == len(recipe.path.hops)
    assert f"{len(recipe.path.hops)} layers" in page(owner_client, run)


def test_a_large_page_takes_few_queries(owner: User, owner_client: Client) -> None:
    """Not more for each row."""
    counts = []
    for population in (4, 40):
        run = make_run(owner, n_generations=2, population=population, n_samples=5, name=f"{population}")
        with CaptureQueriesContext(connection) as queries:
            page(owner_client, run)
        counts.append(len(queries))
    assert max(counts) <= 18

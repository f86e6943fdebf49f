"""Candidates and runs beside each other: scores on the same questions, what differs, and who may see them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils.html import escape

from merging.recipes import Recipe
from merging.statistics import paired_test
from tests.webapp.runs.path_rows import make_path_run
from tests.webapp.runs.rows import PARENTS, make_config, make_run
from webapp.analysis import differences
from webapp.analysis.chosen import MOST, chosen
from webapp.analysis.scores import table
from webapp.runs.models import Candidate, Evaluation, Outcomes, Run, Score
from webapp.runs.pictures.route import difference
from webapp.sharing.actions import share

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(owner: User) -> Run:
    return make_run(owner, state="done", n_generations=3, ending=True)


@pytest.fixture
def path_run(owner: User) -> Run:
    return make_path_run(owner, state="done", n_generations=3, ending=True)


def winner(run: Run) -> Candidate:
    assert run.winner
    return run.winner


def others(run: Run, n: int = 1) -> list[Candidate]:
    return list(run.candidates.filter(kind="evolved").exclude(pk=run.winner_id)[:n])


def parent(run: Run) -> Candidate:
    return run.candidates.filter(kind="parent").order_by("index")[0]


def answer(client: Client, *candidates: Candidate, runs: tuple[Run, ...] = (), **more: str) -> Any:
    words = [*(("c", str(one.pk)) for one in candidates), *(("run", str(one.pk)) for one in runs), *more.items()]
    return client.get(f"{reverse('analysis:compare')}?{urlencode(words)}")


def text(client: Client, *candidates: Candidate, **more: Any) -> str:
    found = answer(client, *candidates, **more)
    assert found.status_code == 200
    page = str(found.content.decode())
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(set(ids)) == len(ids)
    return page


def rights(candidate: Candidate, split: str) -> list[bool]:
    row = Outcomes.objects.get(score__evaluation__candidate=candidate, score__evaluation__split=split)
    return [score == 1 for score in row.scores]


# who may see what


def test_what_another_has_is_as_if_it_were_not_there(run: Run, member: User, member_client: Client) -> None:
    page = text(member_client, winner(run), parent(run), runs=(run,))
    assert "3 of those chosen are not there any more, or not shared with you." in page
    assert run.name not in page and winner(run).name not in page
    share(run, member, "viewer")
    assert run.name in text(member_client, winner(run), parent(run), runs=(run,))


@pytest.mark.parametrize("asked", ["0", "nobody", "9" * 30, "-1", "١"])
def test_what_is_no_candidate_is_not_there(run: Run, owner_client: Client, asked: str) -> None:
    for word in ("c", "run"):
        page = owner_client.get(f"{reverse('analysis:compare')}?c={winner(run).pk}&{word}={asked}").content.decode()
        assert "1 of those chosen is not there any more" in page and winner(run).name in page


def test_at_most_six_stand_beside_each_other(run: Run, owner: User, owner_client: Client) -> None:
    eight = others(run, 8)
    assert [side.candidate for side in chosen(owner, [str(one.pk) for one in eight], []).sides] == eight[:MOST]
    assert "2 more were chosen than can stand beside each other" in text(owner_client, *eight)


# scores


def test_scores_are_compared_with_the_first_on_the_same_questions(run: Run, owner_client: Client) -> None:
    first, other = parent(run), winner(run)
    expected = paired_test(rights(other, "final"), rights(first, "final"))
    page = text(owner_client, first, other)
    assert f"gained {expected.only_first}, lost {expected.only_second}" in page


def test_the_interval_of_a_difference_holds_it_and_is_beside_zero_where_it_is_clear(run: Run, owner: User) -> None:
    found = table(chosen(owner, [str(parent(run).pk), str(winner(run).pk)], []).sides)
    for cell in found.lines[1].cells:
        assert cell.difference
        assert cell.difference.low < cell.difference.compared.difference < cell.difference.high
        assert cell.difference.compared.is_clear and cell.difference.low > 0
    assert all(cell.difference is None for cell in found.lines[0].cells)


def test_candidates_of_two_runs_are_compared_where_they_were_asked_the_same(
    run: Run, owner: User, owner_client: Client
) -> None:
    other = make_run(owner, n_generations=2, name="the other run")
    first, second = winner(run), others(other)[0]
    expected = paired_test(rights(second, "search"), rights(first, "search"))
    page = text(owner_client, first, second)
    assert f"gained {expected.only_first}, lost {expected.only_second}" in page and "the other run" in page


def test_other_questions_are_not_compared_and_the_page_says_what_to_do(
    run: Run, owner: User, owner_client: Client
) -> None:
    other = make_run(owner, n_generations=1, name="the other run")
    second = others(other)[0]
    Score.objects.filter(evaluation__candidate=second).update(digest="sha256:other", benchmark="gsm8k")
    page = text(owner_client, winner(run), second)
    assert "was asked gsm8k" in page and "use " + second.name + " as a parent of a run on japanese-sums" in page
    assert 'class="compared"' not in page and "Who is right where" not in page


def test_what_is_still_evaluated_is_asked_for_again(run: Run, owner_client: Client) -> None:
    first, second = others(run, 2)
    assert "hx-select" not in text(owner_client, first, second)
    Evaluation.objects.create(run=run, candidate=second, split="final")
    assert 'hx-select="#scores"' in text(owner_client, first, second)


# question by question


def test_agreement_counts_who_is_right_where_another_is_wrong(run: Run, owner: User, owner_client: Client) -> None:
    three = [winner(run), parent(run), run.candidates.get(kind="baseline", index=3)]
    agreement = answer(owner_client, *three, split="final").context["agreement"]
    marks = [rights(one, "final") for one in three]
    for i, (_, row) in enumerate(agreement.rows):
        for j, (_, n) in enumerate(row):
            mine, other = marks[i], marks[j]
            assert n == (sum(mine) if i == j else sum(a and not b for a, b in zip(mine, other, strict=True)))
    assert agreement.n_all == sum(map(all, zip(*marks, strict=True)))


def test_a_filter_shows_only_its_questions(run: Run, owner_client: Client) -> None:
    first, second = parent(run), winner(run)
    marks = list(zip(rights(first, "search"), rights(second, "search"), strict=True))
    expected = {
        "differ": sum(a != b for a, b in marks),
        "gained": sum(b > a for a, b in marks),
        "lost": sum(b < a for a, b in marks),
        "all right": sum(a and b for a, b in marks),
        "none right": sum(not a and not b for a, b in marks),
        "all": len(marks),
    }
    for show, n in expected.items():
        found = answer(owner_client, first, second, show=show)
        assert dict(found.context["filters"]) == expected
        assert found.context["page"].paginator.count == n
    page = text(owner_client, first, second, show="gained")
    assert "みかんが" in page and page.count("data-differs") == min(20, expected["gained"])


@pytest.mark.parametrize(("state", "is_open"), [("running", False), ("done", True)])
def test_final_questions_stay_closed_until_every_run_has_ended(
    run: Run, owner_client: Client, state: str, is_open: bool
) -> None:
    Run.objects.filter(pk=run.pk).update(state=state)
    page = text(owner_client, winner(run), parent(run), split="final")
    assert ("みかんが" in page) is is_open and ("stay closed" in page) is not is_open


# pictures and genes


def test_both_routes_stand_there_with_the_difference_in_words(path_run: Run, owner_client: Client) -> None:
    first, other = winner(path_run), others(path_run)[0]
    found = text(owner_client, first, other)
    assert found.count('class="route-picture"') == 2 and found.count("<summary>The route as a table</summary>") == 2
    paths = [Recipe.from_json(c.recipe).path for c in (first, other)]
    assert paths[0] and paths[1]
    assert difference(paths[0], paths[1], (first.name, other.name)) in found
    assert all(escape(path.sentence([p.name for p in PARENTS])) in found for path in paths if path)


def test_a_path_is_compared_with_a_parent_as_it_is_and_three_have_three_routes(
    path_run: Run, owner_client: Client
) -> None:
    found = text(owner_client, winner(path_run), parent(path_run))
    assert found.count('class="route-picture"') == 2 and "Path of 4 layers: 4 of demo/japanese" in found
    assert (
        text(owner_client, winner(path_run), parent(path_run), others(path_run)[0]).count('class="route-picture"') == 3
    )


def test_merges_of_tensors_are_compared_by_their_layer_maps_and_genes(run: Run, owner_client: Client) -> None:
    found = text(owner_client, *others(run, 3))
    assert found.count('class="layer-map"') == 3 and "route-picture" not in found
    assert "genes, the most different first" in found


def test_only_genes_that_differ_are_shown(run: Run, owner: User) -> None:
    first, second = others(run, 2)
    genome = list(first.genome or ())
    Candidate.objects.filter(pk=second.pk).update(genome=[*genome[:-1], 0.0 if genome[-1] > 0.5 else 1.0])
    found = differences.genes(chosen(owner, [str(first.pk), str(second.pk)], []).sides)
    assert found and found.n == len(genome) and len(found.rows) == 1


def test_genes_of_two_spaces_are_not_set_side_by_side(run: Run, owner: User, owner_client: Client) -> None:
    other = make_run(owner, n_generations=1, n_layers=2)
    assert "They were searched in different spaces" in text(owner_client, winner(run), others(other)[0])


# runs


def test_of_two_runs_only_settings_that_differ_are_shown(run: Run, owner: User, owner_client: Client) -> None:
    config = replace(make_config(50, 99), seed=2)
    other = make_run(owner, n_generations=1, name="the other run")
    Run.objects.filter(pk=other.pk).update(config=config.to_json(), budget=99, seed=2)
    found = answer(owner_client, runs=(run, other))
    assert [name for name, _ in found.context["settings"]] == ["Candidates", "Seed"]
    assert f"?c={run.winner_id}&amp;c=" in found.content.decode()


@pytest.mark.parametrize("over", ["candidates", "hours"])
def test_histories_are_of_the_best_so_far(run: Run, owner_client: Client, over: str) -> None:
    address = f"{reverse('analysis:histories')}?run={run.pk}&over={over}"
    (line,) = owner_client.get(address).json()["lines"]
    scored = list(run.evaluations.filter(split="search", candidate__kind="evolved", status="done").order_by("finished"))
    steps, best, hours = [], -1.0, 0.0
    for number, evaluation in enumerate(scored, 1):
        hours += ((evaluation.merge_seconds or 0) + (evaluation.evaluate_seconds or 0)) / 3600
        if (evaluation.fitness or 0) > best:
            best = evaluation.fitness or 0
            steps.append((number if over == "candidates" else hours, evaluation.mean))
    x, y = zip(*steps, strict=True)
    assert line["x"] == pytest.approx([*x, len(scored) if over == "candidates" else hours], abs=1e-4)
    assert line["y"] == pytest.approx([*y, y[-1]], abs=1e-3)
    assert line["parent"] == pytest.approx(
        max(e.mean for e in run.evaluations.filter(split="search", candidate__kind="parent")), abs=1e-3
    )


def test_histories_of_another_are_empty(run: Run, member_client: Client) -> None:
    found = member_client.get(f"{reverse('analysis:histories')}?run={run.pk}").json()
    assert found["lines"] == [] and found["nothing"] == "No candidate was scored yet."


# nothing chosen


def test_without_runs_the_page_says_where_to_begin(owner_client: Client) -> None:
    assert "As soon as a run has scored something" in text(owner_client)


def test_the_best_and_the_best_parent_and_the_last_two_runs_are_offered(
    run: Run, owner: User, owner_client: Client
) -> None:
    page = text(owner_client)
    best_parent = max(
        run.evaluations.filter(split="final", candidate__kind="parent"), key=lambda e: e.mean or 0
    ).candidate_id
    assert f'href="?c={run.winner_id}&amp;c={best_parent}"' in page and "last two" not in page
    other = make_run(owner, n_generations=1, name="the other run")
    assert f'href="?run={other.pk}&amp;run={run.pk}"' in text(owner_client)


def test_six_of_six_runs_take_as_many_queries_as_two_of_two(
    owner: User, owner_client: Client, django_assert_max_num_queries: Any
) -> None:
    runs = [make_run(owner, n_generations=1, population=2, name=f"run {i}") for i in range(MOST)]
    for n in (2, MOST):
        with django_assert_max_num_queries(16):
            text(owner_client, *(others(run)[0] for run in runs[:n]))

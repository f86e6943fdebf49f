"""The runs list: whose runs, in which order, what it shows of each; and the buttons of a run."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from merging.statistics import wilson
from webapp.runs import listing
from webapp.runs.models import Candidate, Evaluation, Generation, Run
from webapp.sharing.access import runs_of
from webapp.sharing.actions import share

N = 100


def make(owner: User, name: str = "a run", state: str = "running") -> Run:
    return Run.objects.create(
        owner=owner, name=name, state=state, config={}, config_digest="", seed=1, budget=20, started=timezone.now()
    )


def scored(run: Run, index: int, mean: float, kind: str = "evolved", split: str = "search") -> Evaluation:
    """A candidate with a score; candidates finish in order of index."""
    generation = (
        Generation.objects.get_or_create(run=run, number=0, population_digest="")[0] if kind == "evolved" else None
    )
    genome = [0.5] if kind == "evolved" else None
    candidate, _ = Candidate.objects.get_or_create(
        run=run,
        generation=generation,
        index=index,
        kind=kind,
        name=f"{kind} {index}",
        genome=genome,
        recipe={},
        recipe_digest="",
    )
    bounds = wilson(round(mean * N), N)
    return Evaluation.objects.create(
        run=run, candidate=candidate, split=split, status="done", mean=mean, low=bounds.low, high=bounds.high, n=N,
        fitness=None if split == "final" else mean, finished=run.created + timedelta(seconds=index),
    )  # fmt: skip


def row(run: Run) -> listing.Row:
    return listing.rows([Run.objects.get(pk=run.pk)])[0]


def test_everybody_sees_their_own_runs(
    owner: User, owner_client: Client, member_client: Client, stranger_client: Client
) -> None:
    make(owner, "mine")
    assert ">mine<" in owner_client.get("/").content.decode()
    assert ">mine<" not in member_client.get("/").content.decode()
    assert stranger_client.get("/").url == "/sign-in/?next=/"


def test_home_before_the_first_run_offers_the_demo(owner_client: Client) -> None:
    page = owner_client.get("/").content.decode()
    assert "/runs/new/?preset=quick" in page
    assert "/runs/new/?preset=own" in page


def test_the_list_is_filtered_by_state_and_name(owner: User, owner_client: Client) -> None:
    for name, state in (("alpha", "running"), ("beta", "done"), ("gamma", "paused")):
        make(owner, name, state)
    shown = {
        address: [
            name for name in ("alpha", "beta", "gamma") if f">{name}<" in owner_client.get(address).content.decode()
        ]
        for address in (
            "/?show=live",
            "/?show=ended",
            "/?show=paused",
            "/?q=MM",
            "/?show=ended&q=alpha",
            "/?show=nonsense",
        )
    }
    assert list(shown.values()) == [["alpha"], ["beta"], ["gamma"], ["gamma"], [], ["alpha", "beta", "gamma"]]


def test_facets_count_by_state_and_owner(owner: User, member: User) -> None:
    make(owner, "mine", "paused")
    make(owner, "over", "failed")
    share(make(member, "theirs"), owner, "viewer")
    by_state, by_owner = listing.facets(runs_of(owner))
    assert {facet.name: facet.n for facet in by_state} == {
        "all": 3,
        "live": 1,
        "paused": 1,
        "ended": 1,
        "failed": 1,
        "archived": 0,
    }
    assert {facet.name: facet.n for facet in by_owner} == {"all": 3, "mine": 2, "shared": 1}


def test_runs_are_filtered_by_owner(owner: User, owner_client: Client, member: User) -> None:
    make(owner, "alpha")
    share(make(member, "beta"), owner, "viewer")
    shown = [owner_client.get(f"/?of={of}").content.decode() for of in ("mine", "shared")]
    assert [">beta<" in text for text in shown] == [False, True]
    assert [">alpha<" in text for text in shown] == [True, False]


def test_ended_runs_of_ones_own_are_archived_and_come_back(owner: User, owner_client: Client, member: User) -> None:
    alpha, live = make(owner, "alpha", "done"), make(owner, "live")
    make(owner, "beta", "failed")
    theirs = make(member, "theirs", "done")
    share(theirs, owner, "editor")
    ticked = {"run": [str(run.pk) for run in (alpha, live, theirs)] + ["nonsense"]}
    page = owner_client.post("/runs/archive/", ticked, follow=True).content.decode()
    assert "1 run is archived." in page
    assert [f">{name}<" in page for name in ("alpha", "beta", "live", "theirs")] == [False, True, True, True]
    page = owner_client.get("/?show=archived").content.decode()
    assert [f">{name}<" in page for name in ("alpha", "beta")] == [True, False]
    owner_client.post("/runs/archive/", ticked | {"back": "1"})
    assert not Run.objects.filter(archived_at__isnull=False).exists()
    assert "Nothing has changed" in owner_client.post("/runs/archive/", {}, follow=True).content.decode()


def test_an_archive_of_everything_is_no_first_visit(owner: User, owner_client: Client) -> None:
    Run.objects.filter(pk=make(owner, state="done").pk).update(archived_at=timezone.now())
    page = owner_client.get("/").content.decode()
    assert "preset=quick" not in page and "show=archived" in page


def test_a_failed_run_shows_its_cause_and_what_to_do(owner: User, owner_client: Client) -> None:
    run = make(owner, state="failed")
    Run.objects.filter(pk=run.pk).update(message="No candidate could be scored.")
    text = owner_client.get("/").content.decode()
    assert "No candidate could be scored." in text and "with what is said there mended" in text


@pytest.mark.parametrize(("state", "asks_again"), [("running", True), ("paused", True), ("done", False)])
def test_the_list_asks_for_itself_while_a_run_lives(
    owner: User, owner_client: Client, state: str, asks_again: bool
) -> None:
    make(owner, state=state)
    part = owner_client.get("/?show=all", headers={"HX-Request": "true"}).content.decode()
    assert ("every 3s" in part) == asks_again
    assert "<html" not in part


def test_the_best_stands_beside_the_best_parent(owner: User) -> None:
    run = make(owner)
    for index, mean in enumerate((0.1, 0.3)):
        scored(run, index, mean, "parent")
    for index, mean in enumerate((0.2, 0.6, 0.5)):
        scored(run, index, mean)
    found = row(run)
    assert (found.split, found.n_scored) == ("search", 3)
    assert found.best is not None and found.best.mean == 0.6
    assert found.parent is not None and found.parent.mean == 0.3
    assert found.gain is not None and math.isclose(found.gain.value, 0.3)


def test_an_ended_run_shows_its_winner_on_the_final_split(owner: User) -> None:
    run = make(owner, state="done")
    scored(run, 0, 0.3, "parent")
    scored(run, 0, 0.25, "parent", "final")
    winner = scored(run, 0, 0.9).candidate
    scored(run, 0, 0.8, split="final")
    Run.objects.filter(pk=run.pk).update(winner=winner)
    found = row(run)
    assert found.split == "final"
    assert (found.best and found.best.mean, found.parent and found.parent.mean) == (0.8, 0.25)


def test_a_run_that_is_finishing_still_shows_the_search_split(owner: User) -> None:
    """Else the first parent with a final score would pass for the best one."""
    run = make(owner, state="finishing")
    scored(run, 0, 0.1, "parent", "final")
    scored(run, 1, 0.3, "parent")
    winner = scored(run, 0, 0.9).candidate
    scored(run, 0, 0.8, split="final")
    Run.objects.filter(pk=run.pk).update(winner=winner)
    assert row(run).split == "search"


def test_a_run_without_scores_has_no_numbers(owner: User) -> None:
    found = row(make(owner, state="queued"))
    assert (found.best, found.parent, found.gain, found.curve, found.n_scored) == (None, None, None, None, 0)


def test_the_difference_has_newcombes_interval() -> None:
    """The first example of Newcombe's paper (1998), method 10: 56/70 against 48/80 gives 0.2 with 0.0524 to 0.3339."""
    first, second = (
        Evaluation(mean=k / n, low=wilson(k, n).low, high=wilson(k, n).high, n=n) for k, n in ((56, 70), (48, 80))
    )
    found = listing.difference(first, second)
    assert (round(found.value, 4), round(found.low, 4), round(found.high, 4)) == (0.2, 0.0524, 0.3339)


def test_the_curve_steps_up_where_a_candidate_was_better() -> None:
    found = listing.curve([(1, 0.25), (5, 0.5)], n_scored=10, budget=20, parent=0.25)
    assert found is not None
    assert found.best == "M7.8 16.0H31.0V2.0H60.0"
    assert (found.end_x, found.end_y, found.parent_y) == (60.0, 2.0, 16.0)


def test_the_curve_takes_only_improvements_in_the_order_of_time(owner: User) -> None:
    run = make(owner)
    for index, mean in enumerate((0.2, 0.1, 0.2, 0.4, 0.3, 0.6)):
        scored(run, index, mean)
    assert listing._improvements([run.pk])[run.pk] == [(1, 0.2), (4, 0.4), (6, 0.6)]


def test_a_page_of_runs_takes_four_queries(owner: User, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    runs = [make(owner, f"run {i}") for i in range(4)]
    for run in runs:
        scored(run, 0, 0.3, "parent")
        scored(run, 0, 0.4)
    with django_assert_num_queries(4):
        listing.rows(runs)


def test_what_is_left_is_told_by_the_pace_of_each_run(owner: User) -> None:
    run, other = make(owner), make(owner)
    for index in range(3):
        scored(run, index, 0.5)  # one a second
    scored(other, 0, 0.5)
    first, second = listing.rows([run, other])
    assert first.left == timedelta(seconds=17) and second.left is None


def test_a_night_without_workers_does_not_count_for_what_is_left(owner: User) -> None:
    run = make(owner)
    for index in (0, 1, 2, 40_000, 40_001):
        scored(run, index, 0.5)
    assert row(run).left == 15 * (2 + 5 + 1) / 4 * timedelta(seconds=1)


@pytest.mark.parametrize("act", ["pause", "resume", "stop", "rename", "delete"])
def test_only_the_owner_presses_the_buttons(
    owner: User, owner_client: Client, member_client: Client, stranger_client: Client, act: str
) -> None:
    address = f"/runs/{make(owner).pk}/{act}/"
    assert stranger_client.post(address).url.startswith("/sign-in/")
    assert member_client.post(address).status_code == 404
    assert owner_client.get(address).status_code == 405
    assert owner_client.post(address, {"name": "new"}).status_code == 302


def test_a_button_answers_with_what_happened_and_leads_back(owner: User, owner_client: Client) -> None:
    run = make(owner, "mine")
    answer = owner_client.post(f"/runs/{run.pk}/pause/", {"back": "/"}, follow=True)
    assert answer.redirect_chain == [("/", 302)]
    assert "what is being evaluated still counts" in answer.content.decode()
    answer = owner_client.post(f"/runs/{run.pk}/pause/", {"back": "/"}, follow=True)
    assert "There is nothing to pause: mine is paused." in answer.content.decode()


def test_a_button_leads_to_no_other_site(owner: User, owner_client: Client) -> None:
    run = make(owner)
    answer = owner_client.post(f"/runs/{run.pk}/pause/", {"back": "https://example.org/"})
    assert answer.url == f"/runs/{run.pk}/"


def test_a_deleted_run_is_gone_from_every_list(owner: User, owner_client: Client) -> None:
    run = make(owner, "old", "done")
    owner_client.post(f"/runs/{run.pk}/delete/")
    assert ">old<" not in owner_client.get("/").content.decode()
    assert owner_client.post(f"/runs/{run.pk}/delete/").status_code == 404


def test_a_run_gets_a_name_of_1_to_200_characters(owner: User, owner_client: Client) -> None:
    run = make(owner)
    for name in ("new", " ", "x" * 201):
        owner_client.post(f"/runs/{run.pk}/rename/", {"name": name})
    assert Run.objects.get(pk=run.pk).name == "new"

"""Genes and scores of a run: what the charts are given, what is refused, and who may see it."""

from __future__ import annotations

import random
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import resolve, reverse

from tests.webapp.runs.path_rows import make_path_run
from tests.webapp.runs.rows import make_run
from webapp.analysis import genes
from webapp.runs.models import Candidate, Evaluation, Run

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(owner: User) -> Run:
    """Forty-eight candidates of a space of 24 genes."""
    return make_run(owner, n_generations=6, population=8, n_samples=20)


def data(client: Client, run: Run, plot: str, **words: Any) -> dict[str, Any]:
    found = client.get(reverse("analysis:genes_data", args=[run.pk]), {"plot": plot, **words})
    assert found.status_code == 200
    return dict(found.json())


def shuffle(run: Run, gene: int | None = None) -> None:
    """Genes by luck, of which this one alone goes with the scores; None: none does."""
    luck = random.Random(1)
    for candidate in run.candidates.filter(kind="evolved").order_by("pk"):
        genome = [luck.random() for _ in candidate.genome or ()]
        if gene is not None:
            genome[gene] = 0.5 + (candidate.evaluations.get(split="search").mean or 0.0) / 2
        Candidate.objects.filter(pk=candidate.pk).update(genome=genome)


def test_the_page_and_its_numbers_are_for_those_who_may_see_the_run(
    run: Run, owner_client: Client, member_client: Client
) -> None:
    for route in ("analysis:genes", "analysis:genes_data"):
        address = reverse(route, args=[run.pk])
        assert (owner_client.get(address).status_code, member_client.get(address).status_code) == (200, 404)


def test_the_gene_that_decides_comes_first_in_every_chart(run: Run, owner_client: Client) -> None:
    shuffle(run, 4)
    found = genes.genes_of(run)
    bars = data(owner_client, run, "bars")
    assert bars["items"][0]["name"] == found[4].name and bars["items"][0]["is_clear"]
    assert "cross-validated R²" in bars["note"]
    assert data(owner_client, run, "scatter")["x"]["title"] == found[4].name
    assert data(owner_client, run, "contour")["x"]["title"] == found[4].name
    assert data(owner_client, run, "parallel")["axes"][0]["name"] == found[4].name


def test_genes_that_are_asked_for_are_shown(run: Run, owner_client: Client) -> None:
    found = genes.genes_of(run)
    assert data(owner_client, run, "scatter", x=3)["x"]["title"] == found[3].name
    contour = data(owner_client, run, "contour", x=5, y=2)
    assert (contour["x"]["title"], contour["y"]["title"]) == (found[5].name, found[2].name)
    assert [axis["name"] for axis in data(owner_client, run, "parallel", gene=[1, 6])["axes"]] == [
        found[1].name,
        found[6].name,
    ]
    page = owner_client.get(reverse("analysis:genes", args=[run.pk]), {"x": 3}).content.decode()
    assert '<option value="3" selected>' in page and "plot=scatter&amp;x=3" in page


def test_points_are_candidates_in_the_units_of_the_recipe(run: Run, owner_client: Client) -> None:
    gene = genes.genes_of(run)[1]
    found = data(owner_client, run, "scatter", x=1)
    for pk, (x, score) in list(zip(found["ids"], found["points"], strict=True))[:5]:
        candidate = Candidate.objects.get(pk=pk)
        assert x == pytest.approx(gene.low + (candidate.genome or [])[1] * (gene.high - gene.low), abs=1e-4)
        assert score == pytest.approx(candidate.evaluations.get(split="search").mean, abs=1e-4)


def test_the_contour_says_nothing_where_no_candidate_was_near(run: Run, owner_client: Client) -> None:
    found = data(owner_client, run, "contour", x=0, y=1)
    assert 0 < len(found["cells"]) < found["n_cells"] ** 2
    assert all(found["z"]["low"] <= score <= found["z"]["high"] for _, _, score in found["cells"])


def test_few_candidates_show_their_genes_but_not_which_matter(owner: User, owner_client: Client) -> None:
    few = make_run(owner, n_generations=1)
    assert "What matters cannot be told yet: 8 candidates were scored" in data(owner_client, few, "bars")["nothing"]
    assert len(data(owner_client, few, "parallel")["axes"]) == genes.N_PARALLEL


def test_scores_that_genes_do_not_tell_put_genes_in_no_order(run: Run, owner_client: Client) -> None:
    shuffle(run)
    assert "do not tell their scores" in data(owner_client, run, "bars")["nothing"]


def test_before_the_first_score_the_page_is_empty_and_says_so(owner: User, owner_client: Client) -> None:
    run = make_run(owner, n_generations=0)
    assert "Nothing to see yet" in owner_client.get(reverse("analysis:genes", args=[run.pk])).content.decode()
    for plot in ("bars", "scatter", "contour", "parallel"):
        assert "nothing" in data(owner_client, run, plot)


def test_of_a_path_the_switches_are_shown(owner: User, owner_client: Client) -> None:
    run = make_path_run(owner, n_generations=2)
    assert all(gene.is_switch for gene in genes.genes_of(run))
    assert "switches of the path" in owner_client.get(reverse("analysis:genes", args=[run.pk])).content.decode()
    assert "nothing" not in data(owner_client, run, "scatter")


def test_candidates_whose_answers_cannot_be_trusted_are_left_out(run: Run, owner_client: Client) -> None:
    doubted = run.evaluations.filter(split="search", candidate__kind="evolved")[0]
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")  # what is done never changes, but here
        Evaluation.objects.filter(pk=doubted.pk).update(is_healthy=False)
        cursor.execute("SET LOCAL session_replication_role = origin")
    assert doubted.candidate_id not in data(owner_client, run, "scatter")["ids"]


def test_of_very_many_the_best_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = genes._thinned(10_000, [float(i == 4321) for i in range(10_000)])
    assert 1000 < len(kept) <= genes.MOST_SHOWN and 4321 in kept and kept == sorted(kept)


def test_no_other_room_answers_at_these_addresses(run: Run) -> None:
    for route in ("analysis:genes", "analysis:genes_data"):
        assert resolve(reverse(route, args=[run.pk])).view_name == route

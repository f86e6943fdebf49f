"""Who came of whom, over several runs, and what is shown of runs that are somebody else's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from merging.recipes import Parent as Model
from tests.webapp.runs.rows import PARENTS, make_config, make_run
from webapp.library.models import Parent
from webapp.lineage.genealogy import picture
from webapp.lineage.models import Adoption
from webapp.runs.models import Candidate, Run

pytestmark = pytest.mark.django_db


def bred(candidate: Candidate, name: str) -> Model:
    """The candidate as a registered parent."""
    folder = str(Path(settings.DATA_DIR) / "exports" / name)
    facts: dict[str, Any] = {"n_layers": 4, "hidden_size": 2, "vocab_size": 4, "n_parameters": 9, "n_bytes": 36}
    row = Parent.objects.create(
        owner=candidate.run.owner, name=name, title=name, folder=folder, fingerprint=f"blake3:{name}", **facts
    )
    Adoption.objects.create(candidate=candidate, parent=row)
    return row.model


def of(owner: User, name: str, *parents: Model) -> Run:
    run = make_run(owner, n_generations=1, population=2, name=name)
    config = replace(make_config(50, 60), parents=parents or PARENTS)
    Run.objects.filter(pk=run.pk).update(config=config.to_json())
    run.refresh_from_db()
    return run


@pytest.fixture
def runs(owner: User) -> list[Run]:
    """Three runs, each the child of the one before."""
    oldest = of(owner, "oldest")
    middle = of(owner, "middle", bred(oldest.candidates.get(name="g0.1"), "first-child"), PARENTS[0])
    return [oldest, middle, of(owner, "youngest", bred(middle.candidates.get(name="g0.0"), "grandchild"), PARENTS[1])]


def test_runs_before_and_after_stand_left_and_right(owner: User, runs: list[Run]) -> None:
    for run in runs:
        found = {box.name: box for box in picture(run, owner).boxes}
        x = [found[name].x for name in ("oldest", "middle", "youngest")]
        assert x == sorted(x) and len(set(x)) == 3
        assert [box.name for box in found.values() if box.is_subject] == [run.name]


def test_lines_carry_the_candidates_that_became_parents(owner: User, runs: list[Run]) -> None:
    found = picture(runs[2], owner)
    assert {name for _, name, _, _ in found.lines if name} == {"g0.0", "g0.1"}
    assert {box.name for box in found.boxes if box.run is None} == {parent.name for parent in PARENTS}


def test_a_run_of_another_is_drawn_as_the_model_that_came_of_it(runs: list[Run], member: User, owner: User) -> None:
    from webapp.sharing.actions import share

    share(runs[1], member, "viewer")
    found = picture(runs[1], member)
    assert {box.name for box in found.boxes if box.run} == {"middle"}
    assert "oldest" not in {box.name for box in found.boxes}


def test_the_page_says_the_same_as_a_list(runs: list[Run], owner_client: Client) -> None:
    page = owner_client.get(reverse("lineage:genealogy", args=[runs[1].pk])).content.decode()
    assert "g0.1</a> of oldest" in page and "g0.0</a> of middle" in page
    assert "No other run came before or after" not in page


def test_a_run_alone_says_how_a_line_begins(owner: User, owner_client: Client) -> None:
    page = owner_client.get(reverse("lineage:genealogy", args=[of(owner, "alone").pk])).content.decode()
    assert "No other run came before or after this one." in page


def test_a_line_of_many_children_takes_few_queries(
    owner: User, runs: list[Run], django_assert_max_num_queries: Any
) -> None:
    model = Parent.objects.get(name="first-child").model
    for i in range(5):
        of(owner, f"child {i}", model, PARENTS[0])
    with django_assert_max_num_queries(20):
        assert len(picture(runs[0], owner).boxes) >= 8

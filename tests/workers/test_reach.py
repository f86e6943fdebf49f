"""A worker on another host: it takes what it has the files of, and keeps its troubles to itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from merging.recipes import Recipe
from tests.ledger import world
from webapp.runs.config import RunConfig
from webapp.runs.models import Run
from webapp.store import needs
from webapp.store.caches import Cache
from webapp.store.models import Stock
from workers import reach as reaching
from workers.failures import Failure
from workers.ledger import generations
from workers.ledger.searches import Searches
from workers.reach import Elsewhere, NotHere

pytestmark = pytest.mark.django_db
CHANGED = Failure("run", "parent", "The files have changed.")


@pytest.fixture
def run(owner: User, tmp_path: Path) -> Run:
    return world.launch(owner, tmp_path, budget=20)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "joined").mkdir()
    return tmp_path / "joined"


@pytest.fixture
def elsewhere(data: Path) -> Elsewhere:
    return Elsewhere("store", data, "file:///nowhere")


def wanted(run: Run) -> tuple[needs.Need, ...]:
    return needs.of_run(RunConfig.from_json(run.config))


def fetch(run: Run, data: Path) -> None:
    """As if all that it needs had come."""
    for need in wanted(run):
        Cache(data).link(need)


def test_it_takes_a_run_as_soon_as_all_its_files_are_here(run: Run, data: Path, elsewhere: Elsewhere) -> None:
    assert elsewhere.runs() == []
    fetch(run, data)
    assert elsewhere.runs() == [run.pk]


def test_recipes_lead_to_files_here_and_are_otherwise_the_same(run: Run, data: Path, elsewhere: Elsewhere) -> None:
    fetch(run, data)
    recorded = world.take().recipe
    moved = Recipe.from_json(elsewhere.recipe(recorded))
    assert {Path(model.folder).parent for model in moved.models} == {data / "parents"}
    for model in recorded["parents"]:
        model["folder"] = str(data / "parents" / model["fingerprint"])
    if recorded["base"]:
        recorded["base"]["folder"] = str(data / "parents" / recorded["base"]["fingerprint"])
    assert moved == Recipe.from_json(recorded)


def test_it_proposes_the_same_generation_with_the_server_s_paths(run: Run, data: Path, elsewhere: Elsewhere) -> None:
    own = Searches().propose(run, None, {})
    fetch(run, data)
    assert Searches(elsewhere).propose(run, None, {}) == own
    assert generations.advance(run.pk, Searches(elsewhere))


def test_files_that_went_away_are_no_failure_of_the_run(run: Run, data: Path, elsewhere: Elsewhere) -> None:
    fetch(run, data)
    recipe = world.take().recipe
    shutil.rmtree(data / "parents")
    with pytest.raises(NotHere):
        elsewhere.recipe(recipe)


def test_what_only_a_person_could_mend_is_left_to_others_for_a_while(
    run: Run, data: Path, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(run, data)
    assert elsewhere.disowns(CHANGED, run.pk, [])
    assert elsewhere.runs() == []
    monkeypatch.setattr(reaching.time, "monotonic", lambda now=reaching.time.monotonic: now() + 60)
    assert elsewhere.runs() == [run.pk]
    assert not elsewhere.disowns(Failure("candidate", "tensor", "Not finite."), run.pk, [])


def test_it_asks_for_what_lies_nowhere_here_and_says_what_cannot_be_had(
    run: Run, data: Path, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    moved = [need for need in wanted(run) if need.kind == "parents"]
    for need in moved:
        Path(need.path).rename(f"{need.path}.away")
    elsewhere.look()
    elsewhere.close()
    assert {row.need for row in Stock.objects.all()} == set(moved)
    Stock.objects.update(
        status="failed", failure_kind="store", failure="The bucket is full.", finished="2100-01-01T00:00Z"
    )
    elsewhere.look()
    elsewhere.close()
    assert f"{moved[0].name} is not in the store: The bucket is full." in elsewhere.trouble

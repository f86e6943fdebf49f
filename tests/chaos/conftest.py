"""What a scenario may ask for: servers that may crash, a crew that may be killed, a place for its figures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from tests.chaos.crew import Crew
from tests.chaos.report import Figures
from tests.chaos.stage import Stage
from tests.testenv import SERVICES
from workers.ledger.searches import load_libraries


@pytest.fixture(scope="session")
def figures() -> Iterator[Figures]:
    """Of all scenarios; written to the folder CHAOS_REPORT at the end, where that is set."""
    load_libraries()  # here, once, and not in every fork
    kept = Figures()
    yield kept
    if folder := os.environ.get("CHAOS_REPORT"):
        kept.write(Path(folder))


@pytest.fixture
def owner(transactional_db: None) -> User:
    return User.objects.create(username="owner")


@pytest.fixture
def stage(owner: User, tmp_path: Path, pytestconfig: pytest.Config, figures: Figures) -> Iterator[Stage]:
    """Servers, workers and runs of a scenario. Whatever it did, the servers run afterwards."""
    crew = Crew(tmp_path)
    built = Stage(owner, tmp_path, pytestconfig.stash[SERVICES], crew, figures)
    try:
        yield built
    finally:
        crew.end()
        built.restore()

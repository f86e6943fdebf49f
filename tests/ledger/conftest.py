"""A launched run, in a folder of its own, owned by somebody who never signs in (hashing a password takes longer than most tests here)."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import User

from tests.ledger import world
from webapp.runs.models import Run
from workers.ledger.searches import load_libraries


@pytest.fixture(scope="session", autouse=True)
def libraries() -> None:
    """On a busy machine they take longer to import than a session may idle in a test's transaction."""
    load_libraries()


@pytest.fixture
def owner(db: None) -> User:
    return User.objects.create(username="owner")


@pytest.fixture
def run(owner: User, tmp_path: Path) -> Run:
    return world.launch(owner, tmp_path)

"""Whoever listens for the suite's canary hears it wherever it could be told."""

from __future__ import annotations

import logging
from pathlib import Path

from django.contrib.auth.models import User
from django.test import AsyncClient, Client

from tests.canary import CANARY, Listener, listening, telling
from webapp.accounts import hub
from webapp.runs.models import Run

WORD = "another word"


def test_the_owner_has_it_and_somebody_listens(owner: User, canary: Listener) -> None:
    assert hub.token_of(owner) == CANARY and canary in logging.getLogger().handlers


def test_records_and_their_errors_are_heard() -> None:
    with listening(WORD) as listener:
        logging.getLogger("webapp.runs").warning("said %s", WORD)
        try:
            raise ValueError(WORD)
        except ValueError:
            logging.getLogger("workers").exception("an error")
    assert listener.heard == ["a record of webapp.runs", "a record of workers"]


async def test_pages_are_read(transactional_db: None, owner: User) -> None:
    await Run.objects.acreate(owner=owner, name=WORD, config={}, config_digest="", seed=1, budget=9)
    client = AsyncClient()
    await client.aforce_login(owner)
    with listening(WORD) as listener:
        await client.get("/")
    assert listener.heard == ["the answer to /"]


def test_pages_of_the_test_client_are_read(owner: User, owner_client: Client) -> None:
    Run.objects.create(owner=owner, name=WORD, config={}, config_digest="", seed=1, budget=9)
    with listening(WORD) as listener:
        owner_client.get("/")
    assert listener.heard == ["the answer to /"]


def test_files_are_looked_into(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(f"a {WORD}")
    (tmp_path / "b").write_text("b")
    (tmp_path / "c").symlink_to("nowhere")
    assert telling(tmp_path.iterdir(), 100, WORD) == [str(tmp_path / "a")]
    assert telling(tmp_path.iterdir(), 5, WORD) == []

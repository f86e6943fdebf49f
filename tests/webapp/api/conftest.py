"""The world that is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.access.world import World, make_world
from webapp.queue import queue


@pytest.fixture
def world(db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """One of everything. No worker is woken."""
    monkeypatch.setattr(queue, "send_task", lambda *words, **options: None)
    return make_world(tmp_path)

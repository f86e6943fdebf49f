"""A launch that is asked for many times at once, with one key, is one run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.db import connection

from tests.ledger import world
from webapp.runs import actions
from webapp.runs.models import Run

N = 50


@pytest.mark.django_db(transaction=True)
def test_fifty_launches_with_one_key_are_one_run(tmp_path: Path) -> None:
    owner = User.objects.create(username="owner")
    config = world.config(tmp_path)

    def launch(_: int) -> UUID:
        try:
            return actions.launch(owner, config, "a run", idempotency_key="one").pk
        finally:
            connection.close()

    with ThreadPoolExecutor(10) as threads:
        found = set(threads.map(launch, range(N)))
    run = Run.objects.get()
    assert found == {run.pk}
    assert run.evaluations.count() == 2 * run.candidates.count()
    assert run.events.count() == 1
    world.check(run)

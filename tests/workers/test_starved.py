"""The lease lives in the supervisor's process: what happens in the child cannot end it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import connection

from tests.ledger import world
from tests.workers import fake_worker
from tests.workers.conftest import Staff, wait_for
from tests.workers.fake_device import HELD_SECONDS
from webapp.runs.models import Attempt, Evaluation, Run
from workers import pipeline
from workers.events import Publisher
from workers.ledger import claims, repairs
from workers.pipeline import Bench, Ending
from workers.runtime import Device

LEASE = timedelta(seconds=HELD_SECONDS / 3)


@pytest.fixture
def bench(staff: Staff) -> Iterator[Bench]:
    device, publisher = Device(fake_worker.command(staff.plan), lambda: None), Publisher()
    device.keep()
    wait_for(lambda: device.ready)
    yield Bench(device, publisher, Ending())
    device.close()
    publisher.close()


def test_a_child_that_holds_the_gil_for_three_leases_keeps_its_lease(
    run: Run, staff: Staff, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (claims, pipeline, repairs):
        monkeypatch.setattr(module, "LEASE", LEASE)
    monkeypatch.setattr(pipeline, "RENEW_SECONDS", 0.2)
    staff.write_plan(a="hold the GIL")
    claim = world.take()
    assert claim.name == "a"

    def evaluate() -> None:
        pipeline.evaluate(claim, bench)
        connection.close()

    working = threading.Thread(target=evaluate)
    working.start()
    while working.is_alive():
        assert repairs.reap() == 0
        working.join(0.1)
    assert Evaluation.objects.get(pk=claim.evaluation_id).status == "done"
    assert list(Attempt.objects.values_list("outcome", flat=True)) == ["accepted"]

"""What Prometheus is told, and who may ask."""

from __future__ import annotations

import re
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import DjangoAssertNumQueries
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.conftest import wait_for
from tests.ledger import world
from webapp.runs.invariants import Violation
from webapp.runs.models import RUN_STATES
from webapp.system import checks, metrics

TOKEN = "a-token-of-thirty-characters-!"
WITH_TOKEN = {"Authorization": f"Bearer {TOKEN}"}


def samples(text: str) -> dict[str, float]:
    """`name{label="value"}` to its figure. Fails when Prometheus' own parser does."""
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    labels = [",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items())) for sample in found]
    return {
        f"{sample.name}{{{label}}}" if label else sample.name: sample.value
        for sample, label in zip(found, labels, strict=True)
    }


def test_nobody_reads_metrics_by_default_but_staff(
    stranger_client: Client, member_client: Client, member: User, settings: Any
) -> None:
    assert stranger_client.get("/metrics").status_code == 401
    assert stranger_client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 401
    assert member_client.get("/metrics").status_code == 403
    User.objects.filter(pk=member.pk).update(is_staff=True)
    assert member_client.get("/metrics").status_code == 200


def test_who_brings_the_token_reads_them_and_who_brings_another_does_not(
    stranger_client: Client, settings: Any
) -> None:
    settings.METRICS_TOKEN = TOKEN
    assert stranger_client.get("/metrics", headers=WITH_TOKEN).status_code == 200
    assert stranger_client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}x"}).status_code == 401
    assert stranger_client.get("/metrics", headers={"Authorization": "Bearer ключ"}).status_code == 401


def test_the_figures_of_a_run_are_those_of_its_rows(db: None, owner: User, tmp_path: Any) -> None:
    run = world.launch(owner, tmp_path)
    world.take()
    before = samples(metrics.text().decode())
    assert before['progeny_leases{state="live"}'] == 1
    assert before['progeny_attempts{outcome="open"}'] == 1
    assert before['progeny_waiting{kind="evaluation"}'] == run.evaluations.filter(status="pending").count() > 0

    run.evaluations.filter(status="leased").update(status="pending", lease_until=None, attempts=0)
    world.work(run)
    after = samples(metrics.text().decode())
    assert {state: after[f'progeny_runs{{state="{state}"}}'] for state in RUN_STATES} == {
        state: float(state == "done") for state in RUN_STATES
    }
    n_done = run.evaluations.filter(status="done").count()
    assert after['progeny_evaluations{status="done"}'] == after['progeny_attempts{outcome="accepted"}'] == n_done
    assert after["progeny_generation_seconds_count"] == run.generations.exclude(closed=None).count() == 3
    assert after["progeny_generation_seconds_sum"] > 0
    assert after['progeny_waiting{kind="evaluation"}'] == 0


def test_a_broken_invariant_is_a_number_above_zero(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "violations", lambda: [Violation("accepted_once", "Once.", 3, ("a",))])
    found = samples(metrics.text().decode())
    assert found['progeny_invariant_violations{invariant="accepted_once"}'] == 3
    assert found['progeny_invariant_violations{invariant="events_gapless"}'] == 0


def test_a_scrape_asks_the_database_once(db: None, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    checks.broken_invariants()
    with django_assert_num_queries(1):
        metrics.text()


def test_requests_are_counted_by_route_and_never_by_address(live_app: str) -> None:
    def counted(route: str, status: int) -> float:
        name = f'progeny_http_requests_total{{method="GET",route="{route}",status="{status}"}}'
        return samples(metrics.text().decode()).get(name, 0)

    before = counted("runs:detail", 302), counted("unknown", 404), counted("static", 200)
    client = HTTPConnection(urlsplit(live_app).netloc, timeout=10)

    def get(path: str) -> str:
        client.request("GET", path)
        return client.getresponse().read().decode()

    sheet = re.search(r'href="(/static/[^"]+\.css)"', get("/sign-in/"))
    assert sheet
    for n in range(3):
        get(f"/runs/00000000-0000-0000-0000-00000000000{n}/")
        get(f"/no-such-page-{n}/")
        get(sheet[1])
    client.close()
    assert (counted("runs:detail", 302), counted("unknown", 404), counted("static", 200)) == tuple(
        n + 3 for n in before
    )
    assert "0000-0000" not in metrics.text().decode()


def test_sockets_are_counted_while_they_are_open(live_app: str) -> None:
    address = live_app.replace("http", "ws")
    before = metrics.SOCKETS._value.get()
    path = "/ws/runs/00000000-0000-0000-0000-000000000000/"
    with connect(f"{address}{path}", origin=Origin(live_app)) as socket, pytest.raises(ConnectionClosed, match="440"):
        socket.recv(5)
    wait_for(lambda: metrics.SOCKETS._value.get() == before, "the socket is counted no more")

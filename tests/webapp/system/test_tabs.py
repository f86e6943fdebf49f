"""The tabs of the System page: what each says, to whom, and what staff may do there."""

from __future__ import annotations

from collections import namedtuple
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone

from tests.webapp.exports.rows import built
from tests.webapp.runs.rows import make_run
from webapp.exports.models import Export
from webapp.marks.models import Mark
from webapp.runs.models import Attempt, Evaluation, Run
from webapp.store.models import Stock
from webapp.system import checks, crew, instance, overview, pills, status, storage
from webapp.system.models import Worker

pytestmark = pytest.mark.django_db
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def run(owner: User, settings: Any, tmp_path: Path) -> Run:
    found = make_run(owner, n_generations=1, population=4)
    settings.DATA_DIR = tmp_path
    return found


@pytest.fixture
def staff_client(member: User, member_client: Client) -> Client:
    User.objects.filter(pk=member.pk).update(is_staff=True)
    return member_client


def worker(name: str = "cpu0@here", seconds_ago: float = 1, **columns: Any) -> Worker:
    seen = Now() - timedelta(seconds=seconds_ago)
    usual = {"device": "CPU, 2 cores", "code_version": "1", "ready": True}
    return Worker.objects.create(name=name, started=seen, seen=seen, **{**usual, **columns})


def tab(client: Client, name: str, query: str = "") -> str:
    answer = client.get(f"/system/?tab={name}{query}")
    assert answer.status_code == 200
    return str(answer.content.decode())


def at_work(run: Run) -> dict[str, Any]:
    return {"run": str(run.pk), "evaluation": 1, "stage": "evaluate", "done": 30, "total": 50}


def leased(run: Run, by: str, attempts: int) -> Evaluation:
    evaluation = run.evaluations.filter(candidate__kind="evolved", split="search").earliest("pk")
    Evaluation.objects.filter(pk=evaluation.pk).delete()
    columns = {"lease_token": 9, "lease_until": timezone.now(), "lease_owner": by, "attempts": attempts}
    return Evaluation.objects.create(
        run=run, candidate=evaluation.candidate, split="search", status="leased", **columns
    )


@pytest.mark.parametrize("name", ["overview", "workers", "storage", "health", "limits", "no such tab"])
def test_a_part_of_a_tab_is_no_whole_page(owner_client: Client, name: str) -> None:
    part = owner_client.get("/system/", {"tab": name}, headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part and "<h" in part


def test_what_can_be_done_follows_from_what_workers_compute_on(db: None) -> None:
    assert "begin when a worker takes work" in overview.sentence(status.workers())
    worker()
    assert "tiny models" in overview.sentence(status.workers())
    worker("gpu0@there", device="NVIDIA H100, 80 GiB")
    assert "1 GPU: NVIDIA H100, 80 GiB" in overview.sentence(status.workers())


def test_offline_mode_is_said_with_its_way_out(owner_client: Client, settings: Any) -> None:
    settings.OFFLINE = True
    assert "Unset PROGENY_OFFLINE, HF_HUB_OFFLINE and HF_DATASETS_OFFLINE" in tab(owner_client, "overview")


@pytest.mark.parametrize(("n_bytes", "days", "state"), [(3 * 10**9, 19, "ok"), (14 * 10**9, 4, "warning")])
def test_a_disk_that_fills_says_when_and_within_a_week_what_to_do(
    run: Run, monkeypatch: pytest.MonkeyPatch, n_bytes: int, days: int, state: str
) -> None:
    candidate = run.candidates.get(name="g0.1")
    Export.objects.create(owner=run.owner, candidate=candidate, status="done", n_bytes=n_bytes, finished=Now())
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda _: Usage(10**11, 9 * 10**10, 10**10))
    [disk] = [check for check in overview.overview() if check.name == "Disk"]
    assert disk.state == state and bool(disk.advice) == (state == "warning")
    assert f"it is full in {days} days" in disk.found


def test_the_current_work_is_named_to_those_who_may_see_its_run(
    owner_client: Client, member_client: Client, run: Run
) -> None:
    worker(activity=at_work(run))
    assert run.name in tab(owner_client, "workers") and "30 of 50" in tab(owner_client, "workers")
    page = tab(member_client, "workers")
    assert run.name not in page and "a run of somebody else" in page


def test_without_a_worker_the_way_to_join_stands_there_until_one_has(owner_client: Client) -> None:
    page = tab(owner_client, "workers")
    assert "Waiting for a worker to join" in page and "./progeny invite" in page
    worker()
    part = owner_client.get("/system/?tab=workers", headers={"HX-Request": "true"}).content.decode()
    assert "Waiting" not in part and "ready" in part


def test_a_worker_of_another_host_says_how_it_gets_files_and_staff_hears_which(
    staff_client: Client, owner_client: Client
) -> None:
    coming = {"stage": "fetching", "of": "org/secret", "done": 3, "total": 16, "unit": "MB"}
    worker(activity=coming, reach="store", trouble="org/secret is not in the store: The bucket is full.")
    page = tab(owner_client, "workers")
    assert "reaches files by the store" in page and "fetching 3 of 16 MB" in page and "org/secret" not in page
    page = tab(staff_client, "workers")
    assert "fetching org/secret 3 of 16 MB" in page and "The bucket is full." in page


def test_a_worker_of_another_version_is_refused_and_says_why(owner_client: Client) -> None:
    worker(refused="this checkout is older than the server: update it")
    page = tab(owner_client, "workers")
    assert "refused" in page and "Takes nothing: this checkout is older than the server" in page


def test_what_cannot_be_put_into_the_store_is_told_to_staff(staff_client: Client, owner_client: Client) -> None:
    ended = {"status": "failed", "failure_kind": "store", "failure": "The bucket is full."}
    Stock.objects.create(kind="parents", digest="blake3:1", name="org/secret", path="/models/secret", **ended)
    assert "org/secret: The bucket is full. It is tried again" in tab(staff_client, "workers")
    assert "org/secret" not in tab(owner_client, "workers")


def test_a_lost_worker_says_which_run_is_affected_and_which_attempt_follows(
    owner_client: Client, member_client: Client, run: Run
) -> None:
    worker("gone@there", seconds_ago=60)
    evaluation = leased(run, "gone@there", attempts=1)
    page = tab(owner_client, "workers")
    assert "is silent" in page and "attempt 1 of 3" in page and evaluation.candidate.name in page
    Evaluation.objects.filter(pk=evaluation.pk).update(status="pending", lease_until=None)
    Attempt.objects.create(token=9, evaluation=evaluation, worker="gone@there", outcome="lost", ended=timezone.now())
    assert "attempt 2 of 3" in tab(owner_client, "workers")
    assert evaluation.candidate.name not in tab(member_client, "workers")


def test_staff_drains_a_worker_and_lets_it_take_work_again(staff_client: Client, owner_client: Client) -> None:
    worker(activity={"stage": "merge", "done": 1, "total": 4})
    assert "Drain" not in tab(owner_client, "workers")
    assert owner_client.post("/system/workers/cpu0@here/drain/").status_code == 403
    page = staff_client.post("/system/workers/cpu0@here/drain/", follow=True).content.decode()
    assert "draining" in page
    assert [member.state for member in crew.crew(User.objects.get(username="member"))] == ["draining"]
    Worker.objects.update(activity={})
    assert "drained" in tab(staff_client, "workers")
    assert "take work again" in tab(staff_client, "overview")
    staff_client.post("/system/workers/cpu0@here/resume/")
    assert Worker.objects.get().drained is None
    for nobody in ("nobody", "a%00b"):
        assert staff_client.post(f"/system/workers/{nobody}/drain/").status_code == 404


def test_reclaiming_first_shows_what_would_go_and_keeps_what_is_needed(
    staff_client: Client, owner: User, run: Run
) -> None:
    starred, _, needed, young = (
        built(run.candidates.get(name=f"g0.{i}"), {"model": bytes(i)}, days_ago=0 if i == 3 else 40) for i in range(4)
    )
    Mark.objects.create(candidate=starred.candidate, owner=owner, is_starred=True)
    Run.objects.create(owner=owner, name="user", config={"parents": [{"folder": str(needed.folder)}]}, seed=1, budget=1)
    page = tab(staff_client, "storage", "&older=30")
    assert (
        "1 export, 1 bytes" in page.replace("</strong>", "").replace("<strong>", "") and "1 is needed and kept" in page
    )
    assert Export.objects.count() == 4
    staff_client.post("/system/reclaim/", {"older": "30"})
    assert set(Export.objects.values_list("pk", flat=True)) == {starred.pk, needed.pk, young.pk}


def test_what_is_needed_does_not_keep_what_is_younger(
    staff_client: Client, owner: User, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "MOST_AT_ONCE", 1)
    needed, first, second = (
        built(run.candidates.get(name=f"g0.{i}"), {"model": bytes(i)}, days_ago=60 - i) for i in range(3)
    )
    Run.objects.create(owner=owner, name="user", config={"parents": [{"folder": str(needed.folder)}]}, seed=1, budget=1)
    found = storage.reclaimable(30)
    assert (found.exports, found.n_kept, found.is_all) == ([first], 1, False)
    storage.reclaim(30)
    found = storage.reclaimable(30)
    assert (found.exports, found.n_kept, found.is_all) == ([second], 1, True)


def test_only_staff_reclaims(owner_client: Client) -> None:
    assert "Make room" not in tab(owner_client, "storage", "&older=1")
    assert owner_client.post("/system/reclaim/", {"older": "30"}).status_code == 403


def test_the_sizes_of_exports_and_folders_are_those_on_the_disk(run: Run, tmp_path: Path) -> None:
    built(run.candidates.get(name="g0.1"), {"model": bytes(700)})
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "web.log").write_bytes(bytes(123))
    found = {room.name: room.n_bytes for room in storage.rooms()}
    assert (found["Exports"], found["Logs"]) == (700, 123)
    assert found["Results"] > 0 and found["Database, all else"] > 0


def test_limits_are_those_of_the_settings_with_what_one_has(owner_client: Client, run: Run, settings: Any) -> None:
    page = tab(owner_client, "limits")
    assert f"{settings.QUOTAS.budget:,}" in page and "PROGENY_MAX_RUNS" in page


def test_the_pills_say_what_computes_and_that_nothing_does(db: None) -> None:
    for words, tone, columns in (
        ("no worker", "bad", None),
        ("starting", "warn", {"name": "a", "ready": False}),
        ("CPU", "", {"name": "b"}),
        ("1 GPU", "", {"name": "c", "device": "NVIDIA H100, 80 GiB"}),
    ):
        if columns:
            worker(**columns)
        cache.clear()
        first = pills.pills()[0]
        assert (first.words, first.tone) == (words, tone)
    Worker.objects.update(drained=Now())
    cache.clear()
    assert pills.pills()[0].words == "drained"


def test_until_a_studio_has_loaded_its_workers_they_start(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance, "is_starting", lambda data: True)
    cache.clear()
    assert (pills.pills()[0].words, pills.pills()[0].tone) == ("starting", "warn")
    assert checks.someone_works([]).state == "warning"


def test_the_bar_of_a_page_asks_once_for_some_seconds(owner_client: Client, django_assert_num_queries: Any) -> None:
    pills.pills()
    with django_assert_num_queries(0):
        pills.pills()

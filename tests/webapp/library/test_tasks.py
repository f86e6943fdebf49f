"""Tasks of lm-eval's harness: finding one, asking for it, and what the process of a request does. Nothing is fetched here."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from io import StringIO
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.test import Client

from merging.benchmarks import BenchmarkSpec, Sample, paper
from merging.benchmarks.harness import HarnessFolder, folder_of
from merging.errors import BenchmarkError
from merging.harness import frozen
from merging.harness.index import Entry, Index, harness_version
from tests.webapp.library.folders import question_file
from webapp.library import fetches
from webapp.library.actions import add_benchmark, key_of
from webapp.library.management.commands import fetch
from webapp.library.models import Benchmark, Fetch

ENTRIES = (
    Entry("gsm8k", "task", "gsm8k/gsm8k.yaml", ("exact_match,strict-match", "exact_match,flexible-extract")),
    Entry("humaneval", "task", "humaneval/humaneval.yaml", (), (), "runs code that the model writes"),
    Entry("mgsm_direct_ja", "task", "mgsm/ja.yaml", ("exact_match,none",)),
    Entry("mgsm_direct", "group", members=("mgsm_direct_ja",)),
)
ASKED = {"task": "gsm8k", "metric": "exact_match,strict-match"}


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of four names."""
    found = Index(harness_version(), {entry.name: entry for entry in ENTRIES})
    monkeypatch.setattr(fetches, "read_index", lambda folder: found)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, settings: object, tmp_path: Path) -> list[str]:
    """Freezing without a network; the names of the tasks that were frozen."""
    settings.DATA_DIR = tmp_path / "data"  # type: ignore[attr-defined]
    (tmp_path / "data").mkdir()
    asked: list[str] = []

    def freeze(name: str, metric: str, path: Path, *, key: str, **others: object) -> HarnessFolder:
        asked.append(name)
        frozen.write(
            path, task(name, metric), {split: samples(split) for split in ("search", "validation", "final")}, key
        )
        return folder_of(path)

    monkeypatch.setattr(fetches, "freeze", freeze)
    return asked


def task(name: str, metric: str) -> frozen.Task:
    sources, n_docs = {"search": "test", "validation": "test", "final": "test"}, {"test": 6}
    about = ("t.yaml", metric, harness_version(), "1.0", "generate_until", True, True, True)
    return frozen.Task(name, *about, 0, 0, sources, n_docs, 0, ("question",), 0, 0)  # type: ignore[arg-type]


def samples(split: str) -> list[frozen.Frozen]:
    found = [Sample(f"{split}-{i}", f"{split} {i}?", str(i)) for i in range(2)]
    return [
        frozen.Frozen(sample, {"question": sample.question}, (f"Q: {sample.question}\nA:",), ()) for sample in found
    ]


def leased(owner: User, token: int = 1, **asked: str) -> Fetch:
    """A request that a worker has claimed."""
    row = fetches.request_fetch(owner, **asked) if asked else fetches.request_list(owner)
    Fetch.objects.filter(pk=row.pk).update(status="leased", lease_token=token, lease_until="2100-01-01T00:00Z")
    return row


def test_a_task_is_found_by_parts_of_its_name(owner_client: Client, known: None) -> None:
    page = owner_client.get("/benchmarks/tasks/?q=direct+ja").content.decode()
    assert "mgsm_direct_ja" in page and ">gsm8k<" not in page
    assert "No task of that name" in owner_client.get("/benchmarks/tasks/?q=<nothing>").content.decode()
    part = owner_client.get("/benchmarks/tasks/?q=gsm", headers={"HX-Request": "true", "HX-Target": "found"})
    assert "gsm8k" in part.content.decode() and "<html" not in part.content.decode()


def test_what_cannot_be_a_benchmark_says_why_and_offers_nothing(owner_client: Client, known: None) -> None:
    page = owner_client.get("/benchmarks/tasks/?q=humaneval").content.decode()
    assert "it runs code that the model writes" in page and "Fetch humaneval" not in page
    assert "?q=mgsm_direct_ja" in owner_client.get("/benchmarks/tasks/?q=mgsm_direct").content.decode()


def test_without_the_list_it_can_be_asked_for(
    owner_client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(fetches, "index_folder", lambda: tmp_path)
    assert "Make the list" in owner_client.get("/benchmarks/tasks/").content.decode()
    owner_client.post("/benchmarks/tasks/request/", {})
    assert "waits for a worker" in owner_client.get("/benchmarks/tasks/").content.decode()


def test_the_page_is_asked_for_anew_when_the_list_has_come(owner: User, owner_client: Client, known: None) -> None:
    leased(owner)
    assert "HX-Refresh" not in owner_client.get("/benchmarks/tasks/requests/").headers
    fetches.end(Fetch.objects.all())
    assert owner_client.get("/benchmarks/tasks/requests/").headers["HX-Refresh"] == "true"


def test_asking_fetches_nothing_and_asks_once(owner_client: Client, known: None, hub: list[str]) -> None:
    for _ in range(2):
        assert owner_client.post("/benchmarks/tasks/request/", ASKED).url == "/benchmarks/tasks/"
    assert Fetch.objects.get().status == "pending" and hub == []
    page = owner_client.get("/benchmarks/tasks/").content.decode()
    assert "gsm8k, exact_match,strict-match" in page and 'hx-get="/benchmarks/tasks/requests/"' in page


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"task": "gsm9k"}, "no task of the harness named"),
        ({"task": "humaneval"}, "runs code that the model writes"),
        ({"metric": "bleu"}, "has no metric"),
        ({"seed": "-1"}, "greater than or equal to 0"),
        ({"task": "/etc/passwd"}, "no task of the harness named"),
    ],
)
def test_only_what_is_on_the_list_can_be_asked_for(
    owner_client: Client, known: None, changes: dict[str, str], complaint: str
) -> None:
    page = owner_client.post("/benchmarks/tasks/request/", ASKED | changes, follow=True).content.decode()
    assert complaint in page and not Fetch.objects.exists()


def test_requests_are_one_s_own(
    owner: User, owner_client: Client, member_client: Client, stranger_client: Client, known: None
) -> None:
    row = fetches.request_fetch(owner, "gsm8k", "exact_match,strict-match")
    forget = f"/benchmarks/tasks/requests/{row.pk}/forget/"
    assert ", exact_match" not in member_client.get("/benchmarks/tasks/requests/").content.decode()
    assert member_client.post(forget).status_code == 404
    for path in ("/benchmarks/tasks/", "/benchmarks/tasks/requests/"):
        assert stranger_client.get(path).status_code == 302
    assert owner_client.post(forget).status_code == 302 and not Fetch.objects.exists()


def test_a_request_that_is_carried_out_is_a_benchmark_with_a_sealed_final_split(
    owner: User, owner_client: Client, known: None, hub: list[str]
) -> None:
    fetches.carry_out(leased(owner, **ASKED).pk, 1)
    row = Fetch.objects.get().benchmark
    assert row and row.is_public_test and (row.n_search, row.n_final) == (2, 2)
    spec = BenchmarkSpec.from_json(row.spec)
    assert spec.load(key_of(spec)).take("final")[0].id == "final-0"
    with pytest.raises(BenchmarkError, match="sealed"):
        spec.load().take("final")
    page = owner_client.get(f"/benchmarks/{row.pk}/").content.decode()
    assert "public test set" in page and "Q: search 0?\nA:" in page and "exact_match,strict-match@1.0" in page


def test_a_task_is_fetched_once_for_all(owner: User, member: User, known: None, hub: list[str]) -> None:
    fetches.carry_out(leased(owner, **ASKED).pk, 1)
    fetches.carry_out(leased(member, 2, **ASKED).pk, 2)
    first, second = Benchmark.objects.filter(name="gsm8k, exact_match,strict-match")
    assert hub == ["gsm8k"] and first.spec == second.spec and first.key == second.key


def test_a_newer_harness_freezes_anew_and_older_runs_keep_their_key(
    owner: User, known: None, hub: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    older = fetches.fetch(owner, **ASKED)
    monkeypatch.setattr(fetches, "harness_version", lambda: "0.5")
    monkeypatch.setattr(sys.modules[__name__], "harness_version", lambda: "0.5")
    newer = fetches.fetch(owner, **ASKED)
    specs = [BenchmarkSpec.from_json(row.spec) for row in (older, newer)]
    assert hub == ["gsm8k", "gsm8k"] and newer.scorer.endswith("lm-eval-0.5")
    assert [key_of(spec) for spec in specs] == [older.key, newer.key] and older.key != newer.key
    assert list(Benchmark.objects.visible_to(owner)) == [newer]
    assert specs[0].load(older.key).take("final")


def test_a_task_does_not_take_the_place_of_questions_of_one_s_own(
    owner: User, known: None, hub: list[str], tmp_path: Path
) -> None:
    own = add_benchmark(owner, question_file(tmp_path / "sums.jsonl"), "gsm8k, exact_match,strict-match")
    with pytest.raises(BenchmarkError, match="ask for the task with another seed"):
        fetches.fetch(owner, **ASKED)
    assert Benchmark.objects.get().key == own.key and fetches.fetch(owner, **ASKED, seed=1).key != own.key


def test_what_cannot_be_had_is_said_with_what_to_do(
    owner: User, owner_client: Client, known: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*args: object, **settings: object) -> None:
        raise BenchmarkError("gsm8k cannot be frozen: the Hub cannot be reached from here")

    monkeypatch.setattr(fetches, "freeze", offline)
    fetches.carry_out(leased(owner, **ASKED).pk, 1)
    page = owner_client.get("/benchmarks/tasks/").content.decode()
    assert "the Hub cannot be reached" in page and "./progeny fetch gsm8k" in page and "Ask again" in page
    with transaction.atomic():
        assert fetches.request_fetch(owner, **ASKED).status == "pending"


def test_who_lost_the_claim_writes_nothing(owner: User, known: None, hub: list[str]) -> None:
    fetches.carry_out(leased(owner, token=2, **ASKED).pk, 1)
    assert Fetch.objects.get().status == "leased" and hub == []


def test_the_paper_s_questions_come_from_copies_of_its_data_sets(
    db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: object
) -> None:
    monkeypatch.setattr(fetch, "ensure_services", lambda say: nullcontext())
    settings.DATA_DIR = tmp_path / "data"  # type: ignore[attr-defined]
    for source in (paper.GSM8K, paper.MGSM):
        rows = ({"question": f"{source.stem} {i}", "answer_number": i} for i in range(source.n))
        (tmp_path / f"{source.stem}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(CommandError, match="say with --from"):
        call_command("fetch", paper.NAME)
    call_command("fetch", paper.NAME, "--from", str(tmp_path), stdout=StringIO())
    row = Benchmark.objects.get(name=paper.NAME)
    assert (row.n_final, row.is_public_test, row.scorer) == (250, True, "last_number_paper@1") and row.key


def test_the_terminal_lists_what_can_be_a_benchmark(db: None, known: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "ensure_services", lambda say: nullcontext())
    said = StringIO()
    call_command("fetch", "--list", stdout=said)
    assert said.getvalue().splitlines() == [
        "gsm8k  exact_match,strict-match exact_match,flexible-extract",
        "mgsm_direct_ja  exact_match,none",
    ]


def test_an_ended_request_begins_no_more_and_outlives_its_benchmark(owner: User, tmp_path: Path) -> None:
    benchmark = add_benchmark(owner, question_file(tmp_path / "sums.jsonl"))
    request = Fetch.objects.create(owner=owner, task="gsm8k", status="done", benchmark=benchmark)
    with pytest.raises(IntegrityError, match="never changes"), transaction.atomic():
        Fetch.objects.update(status="pending")
    benchmark.delete()
    request.refresh_from_db()
    assert request.benchmark is None and request.status == "done"

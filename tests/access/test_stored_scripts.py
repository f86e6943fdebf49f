"""Scripts in names, questions, answers and messages, in a real Chromium on every page that shows them: they are never more than text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse

from merging.benchmarks import BenchmarkSpec, QuestionFile
from merging.recipes import Parent as Model
from tests.conftest import sign_in, wait_for, watched_page
from tests.webapp.library.folders import model_folder
from tests.webapp.runs import rows
from webapp.library.actions import add_benchmark, register_parent
from webapp.library.models import Benchmark, Parent
from webapp.lineage.models import Adoption
from webapp.runs.config import RunConfig
from webapp.runs.models import Candidate, Evaluation, Run
from webapp.sharing.actions import share
from webapp.sharing.projects import admit, begin, place
from webapp.system.models import Worker

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]
PAYLOADS = Path(__file__).with_name("payloads.txt").read_text().splitlines()
ALL = "\n".join(PAYLOADS)
HALF = len(PAYLOADS) // 2
NAME_LENGTH = 200
MARK = "[pwned]"
"""What an element of a payload has, and none of ours."""


def names(length: int = NAME_LENGTH) -> Iterator[str]:
    """All payloads, as many in a name as it holds."""
    name = ""
    for payload in PAYLOADS:
        if name and len(name) + len(payload) >= length:
            yield name
            name = ""
        name = f"{name} {payload}".strip()
    yield name


class Stage:
    """A signed-in browser. Every page that it shows must be free of what a payload would do."""

    def __init__(self, page: Any, site: str, complaints: list[str]) -> None:
        self.page, self.site, self.complaints = page, site, complaints
        self.dialogs: list[str] = []
        page.on("dialog", self._dialog)

    def show(self, path: str) -> str:
        """Open a page, and everything in it that can be opened; returns its text."""
        self.page.goto(self.site + path)
        self.page.wait_for_load_state("networkidle")
        self.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        return self.settled(path)

    def settled(self, path: str) -> str:
        self.page.wait_for_timeout(150)
        assert self.page.locator(MARK).count() == 0, f"a payload is an element of {path}"
        assert (path, self.dialogs, self.complaints) == (path, [], [])
        text: str = self.page.locator("html").inner_text()
        return text

    def _dialog(self, dialog: Any) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()


@pytest.fixture
def stage(live_app: str, owner_client: Client, chromium: Any) -> Iterator[Stage]:
    with watched_page(chromium) as (page, complaints):
        sign_in(page, live_app, owner_client)
        yield Stage(page, live_app, complaints)


@pytest.fixture
def questions(tmp_path: Path) -> QuestionFile:
    """Every question is a payload, and so is what is said before it."""
    lines = [
        {"question": f"{n}{time} {payload}", "answer": str(n)} for time in "ab" for n, payload in enumerate(PAYLOADS)
    ]
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return QuestionFile(str(path), "last_number", seed=0, prompt=f"{ALL}\n{{question}}")


@pytest.fixture
def benchmark(owner: User, questions: QuestionFile) -> Benchmark:
    row = add_benchmark(owner, questions)
    Benchmark.objects.filter(pk=row.pk).update(name=next(names()), title=next(names()), summary=ALL)
    row.refresh_from_db()
    return row


@pytest.fixture
def run(owner: User, questions: QuestionFile, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Whatever is a text of it is a payload: its name, its models', its candidates', their answers, its failures."""
    spec = BenchmarkSpec.of_file(next(names()), questions)
    monkeypatch.setattr(rows, "benchmark", lambda: spec)
    monkeypatch.setattr(rows, "Writer", EvilWriter)
    monkeypatch.setattr(rows, "fail", _fail)
    found = rows.make_run(owner, state="done", ending=True, n_generations=2, population=30, n_failed=2, n_samples=HALF)
    config = RunConfig.from_json(found.config)
    evil = tuple(Model(f"{ALL} {n}", f"/models/{n}", f"sha256:{n}") for n in range(2))
    measured = tuple(replace(one, spec=replace(one.spec, name=ALL)) for one in config.objectives)
    found.config = replace(config, parents=evil, base=evil[0], objectives=measured).to_json()
    found.name, found.message = max(names(), key=len), ALL
    found.save(update_fields=["config", "name", "message"])
    called = dict(zip(found.candidates.values_list("pk", flat=True), [*names()] * 10, strict=False))
    for candidate in Candidate.objects.filter(run=found):
        candidate.name = called[candidate.pk]
        candidate.save(update_fields=["name"])
    return found


class EvilWriter(rows.Writer):
    """Writes payloads for what a worker reports of a candidate: its name, its answers, why it failed."""

    def event(self, kind: str, payload: dict[str, Any]) -> None:
        super().event(kind, payload | {"name": PAYLOADS[self.seq % len(PAYLOADS)], "failure": ALL})

    def outcome(self, split: str, i: int, skill: float) -> dict[str, Any]:
        said = {"completion": f"{PAYLOADS[i]} {PAYLOADS[-1 - i]}", "extracted": PAYLOADS[i], "error": PAYLOADS[-1 - i]}
        return super().outcome(split, i, skill) | said | {"language": "<b pwned>"}


def _fail(writer: rows.Writer, candidate: Candidate) -> None:
    Evaluation.objects.create(
        run=writer.run,
        candidate=candidate,
        split="search",
        status="failed",
        failure_kind="<b pwned>x",
        failure=ALL,
        finished=writer.at,
    )
    payload = {"candidate": candidate.pk, "kind": "evolved", "split": "search", "failure_kind": "<b pwned>x"}
    writer.event("evaluation.failed", payload)


def test_a_payload_that_got_through_would_be_noticed(stage: Stage) -> None:
    """By its element, and by what the content policy says of its script. Without the policy it would run."""
    stage.show("/")
    stage.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img pwned src=data:, onerror=alert(1)>')")
    with pytest.raises(AssertionError, match="a payload is an element"):
        stage.settled("/")
    wait_for(lambda: any("Content Security Policy" in said for said in stage.complaints), "the policy was broken")
    stage.page.wait_for_timeout(500)
    stage.complaints.clear()


def test_names_on_the_list_of_runs(stage: Stage, owner: User) -> None:
    for name in names():
        Run.objects.create(
            owner=owner, name=name, message=ALL, state="paused", config={}, config_digest="", seed=1, budget=9
        )
    shown = stage.show("/") + stage.show("/?page=2")
    assert all(name in shown for name in names())
    for payload in PAYLOADS[::20]:
        stage.page.goto("about:blank")
        stage.show(f"/?q={payload.replace('%', '%25').replace('#', '%23').replace('&', '%26').replace('+', '%2B')}")


def test_a_run_its_candidates_and_their_answers(stage: Stage, run: Run, owner: User) -> None:
    for number, name in enumerate(names(140)):
        share(run, User.objects.create(username=f"{name[:140]}{number}"), "viewer")
    live = reverse("runs:detail", args=[run.pk])
    shown = stage.show(f"{live}?rows=all")
    assert run.name in shown
    stage.page.locator("[data-chart]").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "ArrowUp"):
        stage.page.keyboard.press(key)
        stage.settled(live)
    candidate = run.candidates.filter(kind="evolved", evaluations__status="done").order_by("pk")[0]
    address = reverse("runs:candidate", args=[run.pk, candidate.pk])
    shown = "".join(stage.show(f"{address}?split=search&page={page}") for page in (1, 2, 3))
    assert all(payload in shown for payload in PAYLOADS[:HALF])
    failed = run.candidates.filter(evaluations__status="failed")[0]
    stage.show(reverse("runs:candidate", args=[run.pk, failed.pk]))
    stage.show(reverse("runs:compare", args=[run.pk, candidate.pk]))
    Adoption.objects.create(candidate=candidate, failure=ALL)
    stage.show(reverse("lineage:as_parent", args=[run.pk, candidate.pk]))


@pytest.mark.slow
def test_messages_after_a_button(stage: Stage, owner: User) -> None:
    for name in names():
        Run.objects.create(owner=owner, name=name, state="done", config={}, config_digest="", seed=1, budget=9)
    stage.page.goto(f"{stage.site}/")
    for n_left in range(Run.objects.count(), 0, -1):
        stage.page.locator("article.run details.menu").first.evaluate("menu => menu.open = true")
        stage.page.get_by_role("button", name="Delete", exact=True).click()
        stage.settled("the question before it")
        with stage.page.expect_navigation():
            stage.page.get_by_role("dialog").get_by_role("button", name="Delete run").click()
        assert "is deleted." in stage.settled("the message after it")
        assert Run.objects.filter(deleted_at=None).count() == n_left - 1


def test_models_and_benchmarks(stage: Stage, owner: User, benchmark: Benchmark, tmp_path: Path) -> None:
    for number, name in enumerate(names()):
        row = register_parent(owner, model_folder(tmp_path / str(number), fill=number))
        Parent.objects.filter(pk=row.pk).update(
            name=name, title=name, summary=ALL, licence="<b pwned>x", folder=f"/{ALL}", model_type="<b pwned>x"
        )
    ticked = "&".join(f"model={pk}" for pk in Parent.objects.values_list("pk", flat=True)[:3])
    shown = stage.show(f"/models/?{ticked}")
    assert all(name in shown for name in names())
    stage.show("/benchmarks/")
    stage.show(reverse("library:benchmark", args=[benchmark.pk]))
    stage.show("/runs/new/#parents")
    for box in stage.page.locator("input[name=parents]").all()[:3]:
        box.check()
    stage.settled("the summary of a new run")


def test_projects_and_accounts(stage: Stage, owner: User, run: Run) -> None:
    User.objects.filter(pk=owner.pk).update(is_staff=True)
    shown = [begin(owner, name) for name in names()][-1]
    place(run, shown)
    for number, name in enumerate(names(140)):
        admit(shown, User.objects.create(username=f"{name[:140]}{number}"), "viewer")
    listed = stage.show(reverse("sharing:projects")) + stage.show(f"{reverse('sharing:projects')}?page=2")
    assert all(name in listed for name in names())
    for page in (reverse("sharing:project", args=[shown.pk]), reverse("runs:detail", args=[run.pk]), "/", "/accounts/"):
        stage.show(page)


def test_workers(stage: Stage) -> None:
    for number, name in enumerate(names(150)):
        Worker.objects.create(
            name=f"{name}{number}", device=ALL[:200], code_version="1", ready=True, started=Now(), seen=Now()
        )
    stage.show("/system/")

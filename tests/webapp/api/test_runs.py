"""Runs for programs: launched by the same checks as on the page, once for a key, steered, and read page by page."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import override_settings

from tests.webapp.api.asking import Program
from tests.webapp.runs.choices import Library, library
from tests.webapp.runs.rows import make_run
from webapp.api.models import Answer
from webapp.api.security import MOST
from webapp.api.shapes.choices import PresetName
from webapp.env import Quotas
from webapp.runs.launching.presets import PRESETS
from webapp.runs.models import Event, Run, RunDraft

FEW: Any = {"n_runs": 1, "budget": 100, "population": 100, "n_benchmarks": 1, "export_bytes": 1}


@pytest.fixture
def chosen(owner: User, tmp_path: Path) -> Library:
    return library(owner, tmp_path)


@pytest.fixture
def program(owner: User) -> Program:
    return Program(owner)


CHOICES = {
    "parents": ["first", "second"], "base": "base", "measures": [{"benchmark": "sums", "n_search": 10}], "method": "ties",
    "budget": 40, "name": "by a program",
}  # fmt: skip


def mistakes(answer: Any) -> dict[str, str]:
    assert answer["Content-Type"] == "application/problem+json"
    return {one["at"]: one["detail"] for one in answer.json()["errors"]}


def test_a_run_is_launched_and_described_as_it_was_asked_for(chosen: Library, program: Program) -> None:
    answer = program.post("/runs", CHOICES)
    assert answer.status_code == 201
    run, row = answer.json(), Run.objects.get()
    assert (run["id"], row.name, row.budget, row.config["method"]) == (str(row.pk), "by a program", 40, "ties")
    assert {name: run["choices"][name] for name in ("parents", "base", "budget")} == {
        name: CHOICES[name] for name in ("parents", "base", "budget")
    }
    again = program.post("/runs", run["choices"]).json()
    assert again["choices"] == run["choices"] and again["name"] == "TIES on sums"
    like = program.post("/runs", {"like": run["id"], "budget": 20}).json()
    assert like["choices"] == run["choices"] | {"budget": 20}


def test_the_presets_are_those_of_the_page() -> None:
    assert get_args(PresetName) == tuple(PRESETS)


@pytest.mark.parametrize(
    ("changes", "at", "says"),
    [
        ({"owner": "somebody"}, "body.owner", "Extra inputs are not permitted"),
        ({"state": "done"}, "body.state", "Extra inputs"),
        ({"measures": [{"benchmark": "sums", "fitness": 1}]}, "body.measures.0.fitness", "Extra inputs"),
        ({"budget": "40"}, "body.budget", "valid integer"),
        ({"seed": -1}, "body.seed", "greater than or equal to 0"),
        ({"name": "two\nlines"}, "body.name", "pattern"),
        ({"parents": ["first", "secund"]}, "body.parents.1", "Did you mean second?"),
        ({"measures": [{"benchmark": "poems"}]}, "body.measures.0.benchmark", "there is no benchmark named 'poems'"),
        ({"measures": [{"benchmark": "sums", "n_search": 99}]}, "body.measures.0.n_search", "holds 20"),
        ({"measures": []}, "body.measures", "no benchmark is chosen"),
        ({"method": "tys"}, "body.method", "Did you mean ties?"),
        ({"budget": 1_000_000}, "body.budget", "expected 1 to"),
        ({"groups": "a few"}, "body.groups", "a few"),
        ({"space": "path", "path": {"model_a": "first", "max_hops": 90}}, "body.path.max_hops", "90"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_where_it_is(
    chosen: Library, program: Program, changes: dict[str, Any], at: str, says: str
) -> None:
    answer = program.post("/runs", CHOICES | changes)
    assert answer.status_code == 422
    found = mistakes(answer)
    assert says in found[at], found
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/json", 400), (b'{"budget": NaN}', "application/json", 400),
        (b'{"budget": 1, "budget": 2}', "application/json", 400), (b"[" * 100_000, "application/json", 400),
        (b'{"budget": ' + b"9" * 5000 + b"}", "application/json", 400), (b"{}", "text/plain", 415),
        (b"a=b", "application/x-www-form-urlencoded", 415), (b" " * 1_000_001, "application/json", 413),
        (b" " * 3_000_000, "application/json", 413), (b"", "application/json", 422),
    ],
)  # fmt: skip
def test_a_body_that_is_no_json_of_modest_size_is_refused(
    program: Program, body: bytes, content_type: str, status: int
) -> None:
    answer = program._client.generic("POST", "/api/v1/runs", body, content_type)
    assert (answer.status_code, answer.json()["status"]) == (status, status)


def test_what_is_asked_twice_with_a_key_is_done_once(chosen: Library, program: Program) -> None:
    first, second = (program.post("/runs", CHOICES, Idempotency_Key="k1") for _ in range(2))
    assert (first.status_code, second.status_code, Run.objects.count()) == (201, 201, 1)
    assert first.json() == second.json()
    other = program.post("/runs", CHOICES | {"budget": 41}, Idempotency_Key="k1")
    assert (other.status_code, Run.objects.count()) == (409, 1)
    assert program.post("/runs", CHOICES, Idempotency_Key="k2").status_code == 201


def test_what_was_refused_may_be_asked_for_again_with_its_key(chosen: Library, program: Program) -> None:
    assert program.post("/runs", CHOICES | {"method": "tys"}, Idempotency_Key="k1").status_code == 422
    assert program.post("/runs", CHOICES, Idempotency_Key="k1").status_code == 201


def test_the_keys_of_another_are_not_ones_own(chosen: Library, program: Program, member: User) -> None:
    program.post(
        "/imports", {"mergekit_evolve": "genome: {models: [a], merge_method: ties}\ntasks: [t]"}, Idempotency_Key="k"
    )
    assert Answer.objects.get().content["choices"]["method"] == "ties"
    assert Program(member).post("/runs", {}, Idempotency_Key="k").status_code == 422


def test_one_has_no_more_runs_than_one_may_have(chosen: Library, program: Program) -> None:
    with override_settings(QUOTAS=Quotas(**FEW)):
        assert [program.post("/runs", CHOICES).status_code for _ in range(2)] == [201, 409]


def test_a_run_is_steered(chosen: Library, program: Program) -> None:
    run = f"/runs/{program.post('/runs', CHOICES).json()['id']}"
    assert program.post(f"{run}/resume").json()["detail"] == "by a program is queued."
    assert program.post(f"{run}/pause").json()["state"] == "paused"
    assert program.post(f"{run}/resume").json()["state"] == "queued"
    assert program.send("PATCH", run, {"name": "renamed"}).json()["name"] == "renamed"
    assert program.send("PATCH", run, {"name": "x", "seed": 3}).status_code == 422
    assert program.post(f"{run}/stop").json()["state"] == "stopped"
    assert program.post(f"{run}/archive").json()["is_archived"] is True
    assert program.post(f"{run}/archive").status_code == 409
    assert [len(program.get("/runs", show=show).json()["items"]) for show in ("all", "archived")] == [0, 1]
    assert program.post(f"{run}/unarchive").json()["is_archived"] is False
    assert program.send("DELETE", run).status_code == 204
    assert program.get(run).status_code == 404


def test_lists_are_read_page_by_page_without_loss(owner: User, program: Program) -> None:
    made = [str(make_run(owner, n_generations=0, population=1).pk) for _ in range(3)]
    found, after = [], None
    while True:
        page = program.get("/runs", limit=1, **({"after": after} if after else {})).json()
        found += [run["id"] for run in page["items"]]
        if (after := page["next"]) is None:
            break
    assert found == made[::-1]
    assert program.get("/runs", show="failed").json()["items"] == []
    assert mistakes(program.get("/runs", stat="failed")) == {"query.stat": "is not known here"}
    assert program.get("/runs", limit=10**9).status_code == program.get("/runs", after="x").status_code == 422


def test_events_and_leaderboard_are_all_there(owner: User, program: Program) -> None:
    run = make_run(owner, n_generations=2, population=4)
    events = program.get(f"/runs/{run.pk}/events", limit=1000).json()
    assert [one["seq"] for one in events["items"]] == list(range(1, events["newest"] + 1))
    assert Event.objects.filter(run=run).count() == events["newest"]
    later = program.get(f"/runs/{run.pk}/events", after=events["newest"] - 1).json()
    assert later["items"] == events["items"][-1:]
    lines, after = [], None
    while True:
        page = program.get(f"/runs/{run.pk}/leaderboard", limit=5, **({"after": after} if after else {})).json()
        lines += page["items"]
        if (after := page["next"]) is None:
            break
    assert len(lines) == page["n"] == len({line["id"] for line in lines})
    assert [line["fitness"] for line in lines] == sorted((line["fitness"] for line in lines), reverse=True)
    best = program.get(f"/runs/{run.pk}/candidates/{lines[0]['id']}").json()
    assert best["evaluations"][0]["result"] == lines[0]["search"]
    assert best["recipe"]["parents"] and "merge_method: dare_ties" in best["mergekit"]


def test_a_configuration_of_mergekit_evolve_becomes_a_draft_and_choices(chosen: Library, program: Program) -> None:
    text = "genome: {models: [first, second], merge_method: ties, base_model: base}\ntasks: [{name: sums, metric: acc}]\nlimit: 9"
    found = program.post("/imports", {"mergekit_evolve": text}).json()
    assert RunDraft.objects.count() == 1 and "draft=" in found["page"]
    assert found["choices"]["measures"][0]["n_search"] == 9
    assert program.post("/runs", found["choices"]).status_code == 201
    assert "mergekit_evolve" in str(mistakes(program.post("/imports", {"mergekit_evolve": "{"})))


def test_who_asks_too_often_waits(program: Program, member: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webapp.api.security.time.time", lambda: 90.0)
    cache.set(f"api.every.{User.objects.get(username='owner').pk}.1", MOST)
    answer = program.get("/me")
    assert (answer.status_code, answer["Retry-After"]) == (429, "30")
    assert Program(member).get("/me").status_code == 200

"""Pushes by the Hub's real client to a Hub on this machine: what arrives, what is refused in which words, and going on after a kill."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.contrib.auth.models import User

from tests.canary import CANARY
from tests.conftest import wait_for, worker_command
from tests.hub import writing
from tests.hub.server import FakeHub, Fault
from tests.webapp.exports.rows import built
from tests.webapp.runs.rows import make_run
from webapp.accounts.hub import keep_token
from webapp.exports import pushing
from webapp.exports.actions import PushError, call_off, remove_export, request_push
from webapp.exports.licensing import decide
from webapp.exports.models import Export, Push
from workers.aside import PUSH
from workers.ledger.claims import Lease

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings(
        "ignore:Use 'content:DeprecationWarning"
    ),  # the Hub's client does not, on its way to its storage
]
LARGE = bytes(range(256)) * 2000
FILES = {
    "README.md": b"---\nlicense: other\n---\nas it was built",
    "config.json": b'{"model_type": "llama"}',
    "model-00001-of-00002.safetensors": (2).to_bytes(8, "little") + b"{}" + LARGE,
    "model-00002-of-00002.safetensors": (2).to_bytes(8, "little") + b"{}" + b"the rest",
    "SHA256SUMS": b"of when it was built",
}
REPO = "owner/winner"


@pytest.fixture
def hub(fake_hub: FakeHub) -> FakeHub:
    fake_hub.routes = fake_hub.routes + writing.routes
    return fake_hub


@pytest.fixture
def export(owner: User, settings: Any, tmp_path: Path) -> Export:
    settings.DATA_DIR = tmp_path
    run = make_run(owner, state="done", n_generations=1, ending=True)
    keep_token(owner, CANARY)
    decide(run.winner, owner, "cc-by-nc-4.0")
    return built(run.winner, FILES)


def carried_out(push: Push) -> Push:
    """As a worker's process does it."""
    Push.objects.filter(pk=push.pk, status="pending").update(
        status="leased", lease_token=1, lease_until="2100-01-01T00:00Z", attempts=push.attempts + 1
    )
    pushing.carry_out(push.pk, 1)
    push.refresh_from_db()
    return push


def pushed(export: Export, **about: Any) -> Push:
    return carried_out(request_push(export.owner, export, about.pop("repo", REPO), **about))


def puts(hub: FakeHub) -> list[str]:
    return [line for line, _, _ in hub.calls if line.startswith("PUT ")]


def test_everything_arrives_in_one_private_commit_with_the_card_of_now(hub: FakeHub, export: Export) -> None:
    push = pushed(export)
    assert (push.status, push.failure, push.n_bytes_sent) == ("done", "", push.n_bytes)
    repo = hub.shelf.repos[REPO]
    assert repo.private and push.commit == repo.refs["main"] and push.url == f"{hub.url}/{REPO}/tree/main"
    files = {name: blob.content for name, blob in repo.commits[push.commit].files.items()}
    assert len(repo.commits) == 2 and set(files) == {*FILES, ".gitattributes"}
    unchanged = ("config.json", *(name for name in FILES if name.endswith(".safetensors")))
    assert all(files[name] == FILES[name] for name in unchanged)
    facts = yaml.safe_load(files["README.md"].split(b"---\n")[1])
    assert facts["license"] == "cc-by-nc-4.0" and facts["base_model_relation"] == "merge"
    sums = dict(reversed(line.split("  ")) for line in files["SHA256SUMS"].decode().splitlines())
    assert sums == {name: hashlib.sha256(files[name]).hexdigest() for name in (*unchanged, "README.md")}


def test_what_is_pushed_again_is_not_sent_again(hub: FakeHub, export: Export) -> None:
    pushed(export)
    n = len(puts(hub))
    assert pushed(export).status == "done" and len(puts(hub)) == n > 0


def test_it_goes_to_a_branch(hub: FakeHub, export: Export) -> None:
    push = pushed(export, branch="v2/first")
    repo = hub.shelf.repos[REPO]
    assert push.status == "done" and "model-00002-of-00002.safetensors" in repo.commits[repo.refs["v2/first"]].files
    assert set(repo.commits[repo.refs["main"]].files) == {".gitattributes"}


def test_a_pull_request_to_somebody_else_is_opened_once_also_by_who_goes_on(hub: FakeHub, export: Export) -> None:
    theirs = hub.shelf.add("them/model", {"README.md": "---\nlicense: mit\n---\n"})
    push = pushed(export, repo="them/model", as_pull_request=True)
    assert (push.status, push.pull_request) == ("done", 1)
    assert push.url == f"{hub.url}/them/model/discussions/1"
    assert "config.json" in theirs.commits[theirs.refs["refs/pr/1"]].files and len(theirs.commits) == 2
    push = request_push(export.owner, export, "them/model", as_pull_request=True)
    Push.objects.filter(pk=push.pk).update(attempts=1)
    push.refresh_from_db()
    title = pushing._Pushing(push, Push.objects.all())._title()
    writing.pulls(hub, theirs)[0]["title"] = title
    again = carried_out(push)
    assert (again.status, again.pull_request) == ("done", 1) and len(writing.pulls(hub, theirs)) == 1


@pytest.mark.parametrize(
    ("fault", "repo", "kind", "told"),
    [
        (Fault("POST /api/repos/create", status=401), REPO, "token", "does not know your token"),
        (None, "them/mine", "token", "may not write to them/mine"),
        (Fault("POST .*/commit/", status=409), REPO, "busy", "at the same moment"),
        (Fault("POST .*/commit/", status=429, headers={"Retry-After": "7"}), REPO, "busy", "7 s of rest"),
        (Fault("POST .*/commit/", status=502), REPO, "broken", "status 502"),
        (Fault("POST .*/commit/", cut=3), REPO, "unreachable", "cannot be reached"),
    ],
)
def test_what_goes_wrong_is_said_in_words(
    hub: FakeHub, export: Export, fault: Fault | None, repo: str, kind: str, told: str
) -> None:
    hub.faults += [fault] if fault else []
    push = pushed(export, repo=repo)
    assert (push.status, push.failure_kind) == ("failed", kind) and told in push.failure
    assert CANARY not in push.failure


def test_a_public_repository_is_no_place_for_a_private_push(hub: FakeHub, export: Export) -> None:
    hub.shelf.add(REPO, {"README.md": "x"})
    push = pushed(export)
    assert push.status == "failed" and "everybody may see it" in push.failure
    assert pushed(export, is_private=False).status == "done"


def test_offline_nobody_is_asked(hub: FakeHub, export: Export, settings: Any) -> None:
    settings.OFFLINE = True
    push = pushed(export)
    assert (push.failure_kind, hub.calls) == ("offline", [])


def test_a_file_that_has_changed_on_the_disk_is_not_pushed(hub: FakeHub, export: Export) -> None:
    (export.folder / "config.json").write_text("{}")
    push = pushed(export)
    assert (push.status, push.failure_kind) == (
        "failed",
        "files",
    ) and "config.json is not what was built" in push.failure


def test_nobody_pushes_what_nobody_has_decided_on_or_without_a_token(
    hub: FakeHub, export: Export, member: User
) -> None:
    with pytest.raises(PushError, match="give a token"):
        request_push(member, export, REPO)
    export.candidate.licence_decisions.all().delete()
    with pytest.raises(PushError, match="under which licence"):
        request_push(export.owner, export, REPO)


def test_an_export_on_its_way_is_neither_removed_nor_pushed_twice(hub: FakeHub, export: Export) -> None:
    request_push(export.owner, export, REPO)
    assert "on its way to owner/winner" in remove_export(export)
    with pytest.raises(PushError, match="being pushed already"):
        request_push(export.owner, export, REPO)


def test_a_push_that_is_called_off_ends_and_writes_nothing(hub: FakeHub, export: Export) -> None:
    push = request_push(export.owner, export, REPO)
    claimed = Push.objects.filter(pk=push.pk)
    claimed.update(status="leased", lease_token=1, lease_until="2100-01-01T00:00Z")
    carrying = pushing._Pushing(claimed.get(), claimed.filter(lease_token=1))
    call_off(push)
    with pytest.raises(pushing.Lost):
        carrying.push()
    assert REPO not in hub.shelf.repos


@pytest.mark.django_db(transaction=True)
def test_who_goes_on_after_a_kill_sends_only_the_rest(hub: FakeHub, export: Export) -> None:
    """Ten seconds: the process that is killed is the one that a worker starts."""
    push = request_push(export.owner, export, REPO)
    Push.objects.filter(pk=push.pk).update(status="leased", lease_token=1, lease_until="2100-01-01T00:00Z", attempts=1)
    second = hashlib.sha256(FILES["model-00002-of-00002.safetensors"]).hexdigest()
    hub.faults.append(Fault(f"PUT /storage/put/{second}", wait=60))
    database = worker_command().environment
    environment = {
        **os.environ,
        **database,
        "PROGENY_DATA": str(settings.DATA_DIR),
        "PROGENY_SECRET_KEY": settings.SECRET_KEY,
    }
    command = PUSH.command(Lease(Push, push.pk, 1))
    with subprocess.Popen(command, env=environment, cwd=settings.BASE_DIR, stdout=subprocess.DEVNULL) as process:
        wait_for(lambda: any(second in line for line in puts(hub)), "the second file is on its way", 60)
        process.kill()
    push.refresh_from_db()
    assert push.stage == "send" and push.n_bytes_sent >= len(LARGE)
    n = len(puts(hub))
    Push.objects.filter(pk=push.pk).update(status="pending", lease_until=None)
    done = carried_out(push)
    assert done.status == "done" and [second in line for line in puts(hub)[n:]] == [True]

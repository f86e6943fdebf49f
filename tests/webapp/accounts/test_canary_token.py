"""A token of the Hub on its way: to the Hub, when a fetch needs it, and to no log, row, file, message, process list or page."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterator
from dataclasses import astuple
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings as of_django
from django.contrib.auth.models import User
from django.core import serializers
from django.test import Client

from merging.harness.index import Entry, harness_version
from webapp.accounts import hub
from webapp.accounts.models import HubToken
from webapp.library import fetches
from webapp.library.models import Fetch
from webapp.masking import MASK, MaskedHandler, masked

CANARY = "hf_" + "CanaryInTheMine" * 2 + "Wxyz"
ASKED = ("gsm8k", "exact_match,strict-match")


class GatedHub:
    """Has every data set and gives none away; what was asked, with which right."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        found = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                found.asked.append((self.path, self.headers.get("Authorization", "")))
                if self.path == "/":
                    self.send_response(200)
                else:
                    self.send_response(403 if "Authorization" in self.headers else 401)
                    self.send_header("X-Error-Code", "GatedRepo")
                    self.send_header("X-Error-Message", f"no access with {self.headers.get('Authorization')}")
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_HEAD = do_POST = answer

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def gated(monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path) -> Iterator[GatedHub]:
    """The Hub that a fetch asks, with a data folder and a cache that are empty but for the list of one task."""
    settings.DATA_DIR = tmp_path / "data"
    folder = fetches.index_folder()
    folder.mkdir(parents=True)
    entry = Entry("gsm8k", "task", "gsm8k/gsm8k.yaml", ("exact_match,strict-match",))
    (folder / f"lm-eval-{harness_version()}.json").write_text(json.dumps([astuple(entry)]))
    found = GatedHub()
    monkeypatch.setenv("HF_ENDPOINT", found.address)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    yield found
    found.close()


def everything_in_the_database() -> str:
    from django.apps import apps

    return "\n".join(
        serializers.serialize("json", model.objects.all()) for model in apps.get_models(include_auto_created=True)
    )


def everything_in_redis() -> str:
    with redis.Redis.from_url(of_django.CHANNEL_LAYERS["default"]["CONFIG"]["hosts"][0]["address"]) as client:
        return repr([(key, client.dump(key)) for key in client.scan_iter()])


@pytest.mark.timeout(300)
@pytest.mark.django_db(transaction=True)
def test_a_token_goes_to_the_hub_and_is_seen_nowhere_else(
    owner: User, owner_client: Client, gated: GatedHub, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    pages = [owner_client.post("/account/hub-token/", {"token": CANARY}, follow=True)]
    row = fetches.request_fetch(owner, *ASKED)
    Fetch.objects.filter(pk=row.pk).update(status="leased", lease_token=1, lease_until="2100-01-01T00:00Z")
    fetches.carry_out(row.pk, 1)
    row.refresh_from_db()
    assert row.status == "failed" and "gated" in row.failure

    rights = {right for path, right in gated.asked if path != "/"}
    assert rights == {"", f"Bearer {CANARY}"}  # the canary was alive: first as nobody, then as the owner

    pages += [owner_client.get(path) for path in ("/account/", "/benchmarks/tasks/", "/system/", "/", "/nowhere/")]
    pages.append(owner_client.post("/account/hub-token/", {"token": f"{CANARY}-"}))
    assert CANARY not in "".join(page.content.decode() + str(page.headers) for page in pages)
    assert CANARY not in everything_in_the_database() + everything_in_redis()
    said = capfd.readouterr()
    assert CANARY not in caplog.text + said.out + said.err
    assert CANARY not in "".join(os.environ.values())
    files = [file for file in [*tmp_path.rglob("*"), *Path(of_django.DATA_DIR).rglob("*")] if file.is_file()]
    assert [file for file in files if CANARY.encode() in file.read_bytes()] == []


def test_who_has_no_token_asks_once_and_is_told_what_to_do(
    owner: User, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DATA_DIR = tmp_path
    HubToken.objects.all().delete()
    asked = []

    def freeze(task: str, metric: str, path: Path, *, environment: dict[str, str], **others: object) -> None:
        asked.append(environment)
        raise fetches.AccessError("gated")

    monkeypatch.setattr(fetches, "freeze", freeze)
    with pytest.raises(fetches.AccessError, match="give a token of yours under Account"):
        fetches.fetch(owner, *ASKED)
    assert asked == [{}]


def test_what_was_fetched_with_a_token_is_its_owner_s_alone(
    owner: User, member: User, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DATA_DIR = tmp_path
    seen = []

    def freeze(task: str, metric: str, path: Path, *, environment: dict[str, str], **others: object) -> None:
        seen.append((path.name.rpartition(".part")[0].rpartition(".")[0], environment))
        raise fetches.AccessError("gated") if not environment else fetches.BenchmarkError("cut")

    monkeypatch.setattr(fetches, "freeze", freeze)
    for user in (owner, member):
        hub.keep_token(user, CANARY)
        with pytest.raises(fetches.BenchmarkError, match="cut"):
            fetches.fetch(user, *ASKED)
    shared, of_owner, _, of_member = [path for path, _ in seen]
    assert len({shared, of_owner, of_member}) == 3
    homes = {environment.get("HF_HOME") for _, environment in seen}
    assert len(homes) == 3 and all(env.get("HF_TOKEN") == CANARY for _, env in seen[1::2])


def test_logs_are_masked_with_arguments_and_tracebacks() -> None:
    written = StringIO()
    handler = MaskedHandler(written)
    try:
        raise ValueError(f"Illegal header value b'Bearer {CANARY}'")
    except ValueError:
        record = logging.LogRecord(
            "x", logging.ERROR, "x.py", 1, "asked with %s", (CANARY,), __import__("sys").exc_info()
        )
    handler.emit(record)
    assert CANARY not in written.getvalue() and written.getvalue().count(MASK) == 2
    assert "ValueError" in written.getvalue()


def test_the_handlers_of_the_house_mask(settings: Any) -> None:
    handlers = settings.LOGGING["handlers"].values()
    assert [one["class"] for one in handlers] == ["webapp.masking.MaskedHandler"] * len(handlers)


@pytest.mark.parametrize("text", ["hf_short", "hf_", "nothing", "half_" + "a" * 30])
def test_what_is_no_token_is_left_alone(text: str) -> None:
    assert masked(text) == text
    assert masked(f"({CANARY})") == f"({MASK})"


def test_the_test_sees_what_it_looks_for(owner: User) -> None:
    owner.first_name = CANARY
    owner.save()
    assert CANARY in everything_in_the_database()

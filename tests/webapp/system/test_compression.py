"""What goes out compressed, and what does not: text does where the browser takes it, downloads never."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from tests.access.world import body_of
from tests.webapp.exports.rows import built
from tests.webapp.runs.rows import make_run
from webapp.remembering import remembered
from webapp.system.observing import Message, Receive, Scope, Send

TAKES_GZIP = {"Accept-Encoding": "gzip, br"}
SCRIPT = f"/{settings.STATIC_URL.strip('/')}/js/base.js"


def test_a_script_is_the_same_compressed_or_not(db: None, client: Client) -> None:
    plain, packed = client.get(SCRIPT), client.get(SCRIPT, headers=TAKES_GZIP)
    assert packed["Content-Encoding"] == "gzip" and len(packed.content) == int(packed["Content-Length"])
    assert gzip.decompress(packed.content) == plain.content
    assert "Content-Encoding" not in plain
    assert plain["Vary"] == packed["Vary"] == "Accept-Encoding"
    assert "immutable" in packed["Cache-Control"]


def test_a_part_of_a_script_is_sent_as_it_lies_there(db: None, client: Client) -> None:
    answer = client.get(SCRIPT, headers={**TAKES_GZIP, "Range": "bytes=0-9"})
    assert answer.status_code == 206 and len(answer.content) == 10 and "Content-Encoding" not in answer


def test_a_page_is_compressed(owner_client: Client) -> None:
    answer = owner_client.get("/system/", headers=TAKES_GZIP)
    assert b"<h1>System</h1>" in gzip.decompress(answer.content)


@pytest.mark.django_db
def test_a_download_is_sent_as_it_is_with_its_length(
    owner: User, owner_client: Client, settings: Any, tmp_path: Path
) -> None:
    run = make_run(owner, n_generations=1, population=2)
    settings.DATA_DIR = tmp_path
    export = built(run.candidates.get(name="g0.1"), {"config.json": b" " * 5000})
    answer = owner_client.get(reverse("exports:file", args=[export.pk, "config.json"]), headers=TAKES_GZIP)
    assert "Content-Encoding" not in answer and answer["Content-Length"] == "5000"
    assert body_of(answer) == b" " * 5000


def test_a_file_that_never_changes_is_asked_of_django_once() -> None:
    """What comes from memory is what Django said, for each encoding; parts, refusals and other methods are asked each time."""
    asked: list[str] = []

    async def django(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(scope["path"])
        status = 200 if scope["path"] == SCRIPT else 404
        await send({"type": "http.response.start", "status": status, "headers": [(b"x-n", b"%d" % len(asked))]})
        await send({"type": "http.response.body", "body": b"text"})

    application = remembered(django)

    def answered(method: str = "GET", path: str = SCRIPT, **headers: str) -> list[Message]:
        said: list[Message] = []

        async def send(message: Message) -> None:
            said.append(message)

        named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": method, "path": path, "headers": named}
        async_to_sync(application)(scope, no_more, send)
        return said

    first = answered()
    assert answered() == first and len(asked) == 1
    assert answered(accept_encoding="gzip") == answered(accept_encoding="gzip, br") != first and len(asked) == 2
    for _ in range(2):
        answered(range="bytes=0-9")
        answered("HEAD")
        answered(path="/static/nowhere.js")
        answered(path="/runs/")
    assert len(asked) == 10


async def no_more() -> Message:
    return {"type": "http.disconnect"}

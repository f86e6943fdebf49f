"""The command line as the client of a server: what it keeps, shows, follows and brings."""

from __future__ import annotations

import io
import json
import socket
import stat
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from rich.console import Console

from tests.test_architecture import in_fresh_process
from tests.webapp.exports.rows import built
from tests.webapp.runs.choices import library
from tests.webapp.runs.rows import make_run
from webapp.api.models import SCOPES
from webapp.api.tokens import make
from webapp.client import keeping, watching
from webapp.client.main import main
from webapp.client.plot import BEST, MEAN, plot
from webapp.client.series import Series
from webapp.client.server import AwayError, RefusedError, Server
from webapp.runs.models import Run, RunDraft

WEIGHTS = bytes(range(256)) * 20_000


@pytest.fixture
def word(owner: User) -> str:
    return make(owner, "a terminal", SCOPES, 1)[1]


@pytest.fixture
def at_home(live_app: str, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Somebody with a token at a terminal; nothing of who runs the tests is read or written."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv(keeping.ADDRESS, live_app)
    monkeypatch.setenv(keeping.TOKEN, word)
    return live_app


def test_it_needs_neither_django_nor_torch() -> None:
    [loaded] = in_fresh_process("import webapp.client.main")
    assert loaded & {"django", "torch", "numpy", "pydantic", "httpx2", "requests"} == set()


def test_what_is_kept_is_for_its_owner_alone(
    at_home: str, word: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (keeping.ADDRESS, keeping.TOKEN):
        monkeypatch.delenv(name)
    assert main(["runs"]) == 1 and "./progeny login" in capsys.readouterr().err
    for typed, status in (("progeny_" + "0" * 64, 1), (word, 0)):
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        assert main(["login", f"{at_home}/"]) == status
        assert keeping.kept_file().exists() == (status == 0)
    assert stat.S_IMODE(keeping.kept_file().stat().st_mode) == 0o600
    assert "You are owner there" in capsys.readouterr().out.replace("\n", " ")
    assert main(["runs"]) == 0
    monkeypatch.setenv(keeping.ADDRESS, "http://127.0.0.1:1")  # the token goes nowhere but where it was kept for
    assert main(["runs"]) == 1 and "no token is known" in capsys.readouterr().err


def test_runs_are_listed_and_followed_to_their_end(
    at_home: str, owner: User, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(owner, n_generations=3, population=4, state="done", ending=True, name="a\x1b[31m run")
    assert main(["runs"]) == 0
    out = capsys.readouterr().out
    assert str(run.pk)[:8] in out and "\x1b" not in out and "\\x1b[31m run" in out
    assert main(["watch", "last"]) == 0
    assert "done" in capsys.readouterr().out
    assert main(["watch", "nothing"]) == 1 and "0 runs are called" in capsys.readouterr().err


def test_watching_goes_on_when_the_server_was_away(at_home: str, word: str, owner: User) -> None:
    run = make_run(owner, n_generations=3, population=4, state="done", ending=True)

    class Flaky(Server):
        n = 0

        def get(self, path: str, **query: object) -> Any:
            Flaky.n += 1
            if 1 < Flaky.n < 4:
                raise AwayError("it is away")
            return super().get(path, **query)

    out = io.StringIO()
    console = Console(file=out, width=80)
    ended = watching.watch(Flaky(at_home, word), str(run.pk), console, seconds=0.01)
    assert ended["state"] == "done" and "it is away" in out.getvalue()


def test_the_picture_shows_the_best_and_the_means() -> None:
    series = Series()
    scores = [0.1, 0.3, 0.2, 0.4]
    series.take(
        {"seq": i, "kind": "evaluation.done", "payload": {
            "kind": "evolved", "split": "search", "number": i, "mean": score, "fitness": score, "is_healthy": True,
            "generation": (i - 1) // 2,
        }}
        for i, score in enumerate(scores, start=1)
    )  # fmt: skip
    assert series.best == [(1, 0.1), (2, 0.3), (4, 0.4)]
    assert series.means == [(1.5, pytest.approx(0.2)), (3.5, pytest.approx(0.3))]
    lines = plot(series, 4, 0.25, width=50, height=10).plain.splitlines()
    assert len(lines) == 13 and all(len(line) <= 60 for line in lines)
    assert BEST in lines[0] and any(MEAN in line for line in lines)
    assert lines[0].lstrip().startswith("39.9% │")


def test_a_download_goes_on_where_it_was_cut(
    at_home: str, owner: User, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(owner, n_generations=1, population=2, state="done", ending=True)
    export = built(run.candidates.filter(kind="evolved")[0], {"model.safetensors": WEIGHTS, "config.json": b"{}"})
    folder = tmp_path / "here"
    folder.mkdir()
    part = folder / "model.safetensors.part"
    part.write_bytes(WEIGHTS[:1000])
    assert main(["download", str(export.pk), str(folder)]) == 0
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS and not part.exists()
    (folder / "model.safetensors").unlink()
    part.write_bytes(b"x" * 1000)  # the beginning of another file
    assert main(["download", str(export.pk), str(folder)]) == 1
    assert "another SHA-256" in capsys.readouterr().err and not part.exists()
    assert main(["download", str(export.pk), str(folder)]) == 0


def test_a_configuration_becomes_a_draft_or_a_run(
    at_home: str, owner: User, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    library(owner, tmp_path)
    file = tmp_path / "evolve.yml"
    file.write_text(
        "genome: {models: [first, second], merge_method: ties, base_model: base}\ntasks: [{name: sums}, {name: poems}]"
    )
    assert main(["import", str(file)]) == 0
    assert "there is no benchmark named 'poems'" in capsys.readouterr().out.replace("\n", " ")
    assert RunDraft.objects.count() == 1 and not Run.objects.exists()
    assert main(["import", str(file), "--launch"]) == 0
    assert Run.objects.get().config["method"] == "ties"
    file.write_text("{")
    assert main(["import", str(file)]) == 1 and "body.mergekit_evolve" in capsys.readouterr().err


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, list[str]]]:
    """A server that sends everybody on to another, which notes what it is told."""
    told: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.append(f"{self.path} {self.headers.get('Authorization')}")
            self.send_response(302 if self.path.startswith("/api") else 200)
            self.send_header("Location", "/evil")
            self.end_headers()

        def log_message(self, *words: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", told
        server.shutdown()
        thread.join()


def test_the_token_follows_no_redirect(elsewhere: tuple[str, list[str]]) -> None:
    address, told = elsewhere
    with pytest.raises(RefusedError, match="sends one on to /evil"):
        Server(address, "a-token").get("/me")
    assert told == ["/api/v1/me Bearer a-token"]


def test_a_server_that_is_not_there_is_away() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(AwayError, match="does not answer"):
        Server(f"http://127.0.0.1:{port}", "x").get("/me")


def test_a_file_that_would_lie_elsewhere_is_not_written(tmp_path: Path) -> None:
    from webapp.client.downloading import download
    from webapp.client.server import ClientError

    export = {"id": "1", "files": [{"name": "../evil", "n_bytes": 1, "sha256": ""}]}
    with pytest.raises(ClientError, match="would lie elsewhere"):
        download(
            Server("http://127.0.0.1:1", "x"),
            json.loads(json.dumps(export)),
            tmp_path / "here",
            Console(file=io.StringIO()),
        )

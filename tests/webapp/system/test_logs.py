"""A record is one line, whatever a name in it holds, in text and in JSON."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import OperationalError
from hypothesis import given
from hypothesis import strategies as st

from webapp.logs import JsonFormatter, TextFormatter, about
from webapp.system.processes import Child, wait_until
from webapp.system.programs import worker_commands, worker_is_ready

HOSTILE = "a\x1b[2J\r\n2026-01-01 00:00:00,000 ERROR webapp: forged\u2028\u202e\x85"
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202e]")


def record(message: str, *arguments: object, error: BaseException | None = None) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("workers.pipeline", logging.WARNING, __file__, 1, message, arguments, info)


def raised(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as caught:
        return caught


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_a_name_cannot_forge_a_line(formatter: logging.Formatter) -> None:
    with about(run=HOSTILE):
        line = formatter.format(record("candidate %s", HOSTILE))
    assert CONTROL.search(line) is None
    assert "\\x1b" in line or "\\u001b" in line


@given(st.text())
def test_no_text_at_all_makes_a_second_line_and_json_gives_it_back(text: str) -> None:
    assert CONTROL.search(TextFormatter().format(record("%s", text))) is None
    line = JsonFormatter().format(record("%s", text))
    assert CONTROL.search(line) is None
    assert json.loads(line)["message"] == text


def test_a_traceback_cannot_be_taken_for_records() -> None:
    error = raised(ValueError(HOSTILE))
    first, *rest = TextFormatter().format(record("it failed", error=error)).split("\n")
    assert first.endswith("it failed")
    assert len(rest) > 3
    assert all(line.startswith("    | ") and CONTROL.search(line) is None for line in rest)
    line = JsonFormatter().format(record("it failed", error=error))
    assert CONTROL.search(line) is None
    assert "ValueError" in json.loads(line)["error"]


def test_a_database_that_is_away_is_one_line_and_no_traceback() -> None:
    error = raised(OperationalError("connection refused"))
    line = TextFormatter().format(record("the pulse", error=error))
    assert line.endswith("the pulse: connection refused")


def test_a_record_says_what_it_is_about_and_only_there() -> None:
    with about(run="r", candidate="g3.7", export=None):
        assert "[run=r candidate=g3.7]" in TextFormatter().format(record("scored"))
        found = json.loads(JsonFormatter().format(record("scored")))
        assert (found["run"], found["candidate"], found["level"], found["logger"]) == (
            "r", "g3.7", "WARNING", "workers.pipeline",
        )  # fmt: skip
        assert "export" not in found
    assert "run" not in json.loads(JsonFormatter().format(record("scored")))


def test_every_line_of_a_worker_and_of_the_web_server_is_json_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROGENY_LOG", "json")
    monkeypatch.setenv("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing")
    worker = Child(worker_commands()[0], tmp_path / "worker.log")
    try:
        wait_until(lambda: worker_is_ready(worker), worker, 60, lambda: False)
        lines = [line for line in worker.written().splitlines() if line]
    finally:
        worker.stop()
    assert {json.loads(line)["logger"] for line in lines} >= {"celery.apps.worker", "workers.supervisor"}

    said = subprocess.run(
        [sys.executable, "-c", "import webapp.asgi, logging; logging.getLogger('uvicorn.error').error('a\\nb')"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(said.stderr)["message"] == "a\nb"

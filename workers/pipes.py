"""The device process's end of the pipe to its supervisor; `runtime.py` is the other end and states the protocol.

Knows no torch and not what is computed. When an exception is not understood it is reported and ends the process, because
a device may be in any state after it.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, Final, Protocol, TextIO

from workers import failures

PROGRESS_SECONDS: Final = 0.1
Message = dict[str, Any]


class Cancelled(Exception):
    """The supervisor does not want the result any more."""


class Line:
    """Both directions of the pipe. A thread reads, so that a cancellation is heard during work, and the end at once."""

    def __init__(self, requests: TextIO, answers: TextIO) -> None:
        self._requests, self._answers = requests, answers
        self._waiting: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        threading.Thread(target=self._read, name="requests", daemon=True).start()

    def __iter__(self) -> Iterator[Message]:
        while True:
            yield self._waiting.get()

    def say(self, **message: Any) -> None:
        """One line; anything that JSON cannot hold is an error here, not there."""
        self._answers.write(json.dumps(message, allow_nan=False) + "\n")
        self._answers.flush()

    def is_cancelled(self, work_id: int) -> bool:
        """Whether the supervisor has given this work up."""
        return work_id in self._cancelled

    def _read(self) -> None:
        for line in self._requests:
            message = json.loads(line)
            if message["do"] == "cancel":
                self._cancelled.add(message["id"])
            else:
                self._waiting.put(message)
        os._exit(0)  # the supervisor is gone: whatever is being computed, nobody will hear of it


class Reporter:
    """Progress of one piece of work, ten times a second at most and at every new stage; ends cancelled work."""

    def __init__(self, line: Line, work_id: int) -> None:
        self._line, self._work_id = line, work_id
        self._stage, self._said = "", 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        if self._line.is_cancelled(self._work_id):
            raise Cancelled
        now = time.monotonic()
        if stage != self._stage or now - self._said >= PROGRESS_SECONDS:
            self._stage, self._said = stage, now
            self._line.say(say="progress", id=self._work_id, stage=stage, done=done, total=total)


class Computer(Protocol):
    """What computes. All answers are the fields of a message; all call `progress` at least once a minute, and let what it raises pass."""

    def describe(self) -> str:
        """The device in words."""

    def evaluate(self, request: Message, progress: Reporter) -> Message:
        """scores, one for each of the asks, positions of the samples by a plan, merge_seconds, evaluate_seconds"""

    def build(self, request: Message, progress: Reporter) -> Message:
        """files; checks, before and after"""

    def try_out(self, request: Message, progress: Reporter) -> Message:
        """tried, one for each of the asks: what was asked, said, read and scored; seconds"""


def serve(line: Line, computer: Computer) -> None:
    """Say ready and answer requests until the input ends."""
    line.say(say="ready", device=computer.describe())
    for request in line:
        line.say(id=request["id"], **_answer(line, computer, request))


def private_line() -> Line:
    """The pipe to the supervisor, out of reach of libraries that print."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return Line(sys.stdin, answers)


def ignore_ctrl_c() -> None:
    """It is the supervisor's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _answer(line: Line, computer: Computer, request: Message) -> Message:
    progress = Reporter(line, request["id"])
    try:
        if request["do"] == "evaluate":
            return {"say": "evaluated", **computer.evaluate(request, progress)}
        if request["do"] == "try":
            return {"say": "tried", **computer.try_out(request, progress)}
        return {"say": "built", **computer.build(request, progress)}
    except Cancelled:
        return {"say": "cancelled"}
    except Exception as error:
        failure = failures.of_error(error)
        if failure.fault == "worker":
            line.say(say="failed", id=request["id"], failure=failure.to_json())
            raise
        return {"say": "failed", "failure": failure.to_json()}

"""The supervisor's handle on its device process: a long-lived child that computes, replaced when it dies or hangs.

The two speak JSON, one object a line, over the child's standard input and output:

    do    evaluate {id, recipe, split, asks, plan}    build {id, recipe, folder, texts, asks, gguf}    try {id, recipe, asks}    cancel {id}
    say   ready {device}   progress {id, stage, done, total}   evaluated {id, scores, positions, merge_seconds, evaluate_seconds}
          built {id, files, checks}   tried {id, tried, seconds}   failed {id, failure}   cancelled {id}

End of input ends the child. A child that does not answer is killed: nothing it holds is worth anything.
"""

from __future__ import annotations

import json
import logging
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, Any, Final

from merging.deaths import die_with_us
from workers import failures
from workers.failures import Failed, Failure

NO_PROGRESS_SECONDS: Final = 600.0
"""A batch of long answers from a large model, or one shard from a slow disk, may take minutes."""
START_SECONDS: Final = 300.0
CANCEL_SECONDS: Final = 2.0
TICK_SECONDS: Final = 0.5
MAX_PAUSE_SECONDS: Final = 60.0
log = logging.getLogger(__name__)

Message = dict[str, Any]


class Abandoned(Exception):
    """The work is no longer wanted: stopped, or given to somebody else."""


@dataclass(frozen=True)
class Step:
    """What the child said of its progress."""

    stage: str
    done: int
    total: int


Tick = Callable[[Step | None], None]
"""Called at every step and at least every half second while work is computed; raises Abandoned to end it."""


class Device:
    """One device process at a time, started early and kept. `changed` is called, from another thread, when it is ready
    and when it has ended.
    """

    def __init__(
        self, command: Sequence[str], changed: Callable[[], None], no_progress_seconds: float = NO_PROGRESS_SECONDS
    ) -> None:
        self._command = tuple(command)
        self._changed = changed
        self._no_progress_seconds = no_progress_seconds
        self._child: _Child | None = None
        self._n_failed_starts = 0
        self._closed = False
        self._lock = threading.Lock()

    @property
    def ready(self) -> bool:
        """It has loaded and waits for work."""
        return self._child is not None and self._child.ready

    @property
    def description(self) -> str:
        """What computes, in words; empty until it is ready."""
        return self._child.description if self._child else ""

    @property
    def pid(self) -> int | None:
        """The child's process id, None when there is none."""
        return self._child.pid if self._child else None

    def keep(self) -> None:
        """Start the child, or replace one that has ended or does not get ready; after failed starts, not at once."""
        with self._lock:
            child = self._child
            if self._closed or (child is not None and child.fine()):
                return
            if child is not None:
                n_failed_starts = 0 if child.was_ready else self._n_failed_starts + 1
                if child.age() < min(MAX_PAUSE_SECONDS, 2.0**n_failed_starts - 1):
                    return
                self._n_failed_starts = n_failed_starts
                child.end()
            self._child = _Child(self._command, self._changed)

    def work(self, request: Message, tick: Tick) -> Message:
        """Have the child do it and return its last word. Failed when it fails, dies or hangs; or what `tick` raises."""
        child = self._child
        if child is None:
            raise Failed(Failure("worker", "died", "There was no device process."))
        try:
            child.send(request)
            return self._listen(child, request["id"], tick)
        except Failed as failed:
            if failed.failure.fault == "worker":
                self._replace(child)
            raise
        except BaseException:
            if not child.cancel(request["id"]):
                self._replace(child)
            raise

    def close(self) -> None:
        """End the child and start no other."""
        with self._lock:
            self._closed = True
            if self._child is not None:
                self._child.end()

    def _listen(self, child: _Child, work_id: int, tick: Tick) -> Message:
        heard, stage = time.monotonic(), ""
        while True:
            message = child.hear(TICK_SECONDS)
            if message is not None and message.get("id") == work_id:
                heard = time.monotonic()
                if message["say"] != "progress":
                    return _result(message)
                stage = message["stage"]
                tick(Step(stage, message["done"], message["total"]))
            elif message is None:
                if time.monotonic() - heard > self._no_progress_seconds:
                    raise Failed(failures.of_silence(self._no_progress_seconds, stage))
                tick(None)

    def _replace(self, child: _Child) -> None:
        child.end(patience_seconds=0.0)
        self.keep()


def _result(message: Message) -> Message:
    if message["say"] == "failed":
        raise Failed(Failure.from_json(message["failure"]))
    return message


class _Child:
    """One process. The thread that starts it also listens to it to the end: see `die_with_us`."""

    def __init__(self, command: Sequence[str], changed: Callable[[], None]) -> None:
        self.ready = self.was_ready = False
        self.description = ""
        self._command = command
        self._changed = changed
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._process: subprocess.Popen[str] | None = None
        self._started = time.monotonic()
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="device", daemon=True)
        self._thread.start()
        self._begun.wait()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def age(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self._started

    def fine(self) -> bool:
        """It runs, and is ready or may still become so in time."""
        return self._thread.is_alive() and (self.ready or self.age() < START_SECONDS)

    def send(self, message: Message) -> None:
        """A child that has ended does not hear; the message about its end is on its way."""
        process = self._process
        if process is None or process.stdin is None:
            return
        try:
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()
        except (BrokenPipeError, ValueError):
            log.warning("the device process does not listen any more")

    def hear(self, seconds: float) -> Message | None:
        """The next message, or None after so many seconds. Failed when the process has ended."""
        try:
            message = self._messages.get(timeout=seconds)
        except queue.Empty:
            return None
        if message["say"] == "ended":
            self._messages.put(message)
            raise Failed(failures.of_exit(message["code"]))
        return message

    def cancel(self, work_id: int) -> bool:
        """Ask it to give the work up. False when it did not in time."""
        self.send({"do": "cancel", "id": work_id})
        deadline = time.monotonic() + CANCEL_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            try:
                message = self.hear(left)
            except Failed:
                return False
            if message is not None and message.get("id") == work_id and message["say"] != "progress":
                return True
        return False

    def end(self, patience_seconds: float = CANCEL_SECONDS) -> None:
        """Close its input, wait, kill. Returns when it is gone."""
        process = self._process
        if process is None:
            return
        _close(process.stdin)
        try:
            process.wait(patience_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
        self._thread.join(timeout=CANCEL_SECONDS)

    def _keep(self) -> None:
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                preexec_fn=die_with_us(),
            )
        except OSError as error:
            log.error("the device process cannot be started: %s", error)
            return self._messages.put({"say": "ended", "code": 127})
        finally:
            self._begun.set()
        self._listen(self._process)
        code = self._process.wait()
        _close(self._process.stdin)
        _close(self._process.stdout)
        log.log(
            logging.WARNING if code else logging.INFO,
            "the device process %s ended with code %s",
            self._process.pid,
            code,
        )
        self.ready = False
        self._messages.put({"say": "ended", "code": code})
        self._changed()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        if process.stdout is None:
            return
        for line in process.stdout:
            message = json.loads(line)
            if message["say"] == "ready":
                self.description = message["device"]
                self.ready = self.was_ready = True
                log.info("the device process %s has loaded", process.pid)  # `up` looks for this
                self._changed()
            else:
                self._messages.put(message)


def _close(pipe: IO[str] | None) -> None:
    try:
        if pipe is not None:
            pipe.close()
    except BrokenPipeError:
        pass  # what was not sent is not needed

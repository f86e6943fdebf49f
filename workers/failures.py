"""Whose fault a failure is, and how to say it to a person. Both sides of the device pipe use it; imports neither torch nor rows.

candidate   this recipe cannot be scored, here or anywhere: failed, and the search is told the worst of its generation
run         nothing of this run can be computed until a person mends something (files, disk): the run pauses; while it
            finishes nothing can be paused, and it counts like a worker's
worker      this process or machine: the work goes back, and after three such attempts counts as poison
"""

from __future__ import annotations

import os
import re
import shutil
import signal
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self

from merging.errors import BenchmarkError, MergingError, ParentError, RoomError
from merging.folders import DISK_FULL
from merging.words import as_sentence, size
from webapp.env import data_folder

Fault = Literal["candidate", "run", "worker"]
OUT_OF_MEMORY: Final = "out_of_memory"
POISON: Final = "poison"
HUNG: Final = "hung"
PARENT: Final = "parent"
"""What `ParentError` is counted as."""
DISK: Final = "disk"
MORE_ROOM: Final = 64 * 2**20
_ASKED_FOR: Final = re.compile(r"[Tt]ried to allocate (?:([\d.]+ [KMGT]iB)|(\d+) bytes)")
_OUT_OF_MEMORY_WORDS: Final = ("out of memory", "not enough memory", "can't allocate memory")


@dataclass(frozen=True)
class Failure:
    """What went wrong. `kind` is a word to count by, `sentence` is for a person.

    With `needs_bytes` it is over when the data folder has so much room.
    """

    fault: Fault
    kind: str
    sentence: str
    needs_bytes: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types, the opposite of `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The failure that `to_json` wrote."""
        return cls(**value)


class Failed(Exception):
    """Work ended with a failure that is understood."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.sentence)
        self.failure = failure


def is_out_of_memory(error: BaseException) -> bool:
    """Also true of torch's errors, which are told by their words because this side does not import it."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in text for words in _OUT_OF_MEMORY_WORDS)
    )


def of_error(error: BaseException) -> Failure:
    """The failure behind an exception that the device process met."""
    if is_out_of_memory(error):
        return Failure("candidate", OUT_OF_MEMORY, _out_of_memory(error))
    if isinstance(error, (ParentError, BenchmarkError)):
        return Failure("run", _kind(error), _words(error))
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return _disk_full(error)
    if isinstance(error, RoomError):
        return Failure("run", DISK, as_sentence(str(error)), error.needed)
    if isinstance(error, MergingError):
        return Failure("candidate", _kind(error), _words(error))
    return Failure("worker", "error", f"{type(error).__name__}: {_words(error)}")


def of_exit(code: int) -> Failure:
    """The device process ended by itself."""
    if code == -signal.SIGKILL:
        return Failure(
            "worker",
            "killed",
            "The device process was killed (signal 9), most often because the machine ran out of memory.",
        )
    how = f"by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"with exit code {code}"
    return Failure("worker", "died", f"The device process ended {how}; the worker's log says more.")


def of_silence(seconds: float, stage: str) -> Failure:
    """The device process made no progress and was replaced."""
    return Failure(
        "worker", HUNG, f"No progress for {seconds:.0f} s in stage {stage or 'start'}; the device process was replaced."
    )


def poison(attempts: int, last: str) -> str:
    """Why a row is not tried again."""
    return f"Given up after {attempts} attempts that each ended without a result. The last one: {last}"


def _out_of_memory(error: BaseException) -> str:
    """With what was tried in vain, which the error's notes say, and what was asked for, if torch says so: in words or in bytes."""
    words, told = _words(error), ", ".join(["Out of memory", *getattr(error, "__notes__", ())])
    asked = _ASKED_FOR.search(words)
    needed = f" It asked for {asked[1] or size(int(asked[2]))} at once." if asked else ""
    return f"{told}.{needed} Use a device with more memory, smaller models or shorter answers. ({words})"


def _disk_full(error: OSError) -> Failure:
    """Nobody knows how much more was to be written. Where it is the disk of the data folder, a little more room is worth a try."""
    data = data_folder()
    above = Path(os.fsdecode(error.filename)).parents if error.filename else ()
    place = next((folder for folder in above if folder.is_dir()), data)
    free = shutil.disk_usage(place).free
    is_same = place.stat().st_dev == data.stat().st_dev
    return Failure(
        "run",
        DISK,
        as_sentence(str(RoomError(str(place), free + MORE_ROOM, free))),
        free + MORE_ROOM if is_same else None,
    )


def _kind(error: MergingError) -> str:
    """RecipeError -> recipe."""
    return type(error).__name__.removesuffix("Error").lower()


def _words(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__

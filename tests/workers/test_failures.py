"""Whose fault it was decides what happens next, and the sentence is for a person."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

from merging.errors import BenchmarkError, EvaluationError, ParentError, RecipeError, RoomError, TensorError
from workers import failures
from workers.failures import Failure


@pytest.mark.parametrize(
    ("error", "fault", "kind"),
    [
        (RecipeError("density is 0"), "candidate", "recipe"),
        (TensorError("q_proj holds NaN"), "candidate", "tensor"),
        (EvaluationError("the mean is nan"), "candidate", "evaluation"),
        (MemoryError(), "candidate", "out_of_memory"),
        (
            RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes"),
            "candidate",
            "out_of_memory",
        ),
        (ParentError("org/a lacks model.safetensors"), "run", "parent"),
        (BenchmarkError("sums.jsonl has changed"), "run", "benchmark"),
        (OSError(errno.ENOSPC, "No space left on device"), "run", "disk"),
        (RuntimeError("CUDA error: device-side assert triggered"), "worker", "error"),
        (KeyError("lm_head"), "worker", "error"),
    ],
)
def test_each_error_has_a_fault_and_a_kind(error: Exception, fault: str, kind: str) -> None:
    failure = failures.of_error(error)
    assert (failure.fault, failure.kind) == (fault, kind)


def test_torchs_own_error_is_out_of_memory() -> None:
    class OutOfMemoryError(RuntimeError):
        """As torch's, which is a RuntimeError."""

    assert failures.is_out_of_memory(OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"))


def test_a_sentence_of_merging_is_passed_on_as_it_is() -> None:
    assert failures.of_error(RecipeError("density is 0, expected more")).sentence == "density is 0, expected more"


@pytest.mark.parametrize(("code", "words"), [(-9, "signal 9"), (-11, "SIGSEGV"), (1, "exit code 1")])
def test_the_end_of_the_process_is_told_by_how_it_ended(code: int, words: str) -> None:
    assert words in failures.of_exit(code).sentence


def test_failures_travel_as_json() -> None:
    failure = Failure("run", "disk", "The disk is full.")
    assert Failure.from_json(failure.to_json()) == failure


def test_out_of_memory_names_what_was_tried_and_what_was_asked_for() -> None:
    on_gpu = RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 1.50 GiB free")
    on_gpu.add_note("also with half the batch")
    elsewhere = RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 4200000000 bytes.")
    assert failures.of_error(on_gpu).sentence.startswith(
        "Out of memory, also with half the batch. It asked for 2.00 GiB at once."
    )
    assert failures.of_error(elsewhere).sentence.startswith("Out of memory. It asked for 4.2 GB at once.")


def test_a_full_disk_names_what_is_needed_and_what_is_free() -> None:
    failure = failures.of_error(RoomError("/data/exports", 1_300_000_000, 12_000_000))
    assert (failure.fault, failure.kind, failure.needs_bytes) == ("run", "disk", 1_300_000_000)
    assert failure.sentence == (
        "The disk is full: 1.3 GB are needed in /data/exports, and 12.0 MB are free. Remove what is not needed there."
    )


def test_a_write_of_unknown_size_that_found_no_room_waits_for_a_little_more(tmp_path: Path) -> None:
    failure = failures.of_error(OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "cache" / "x")))
    assert failure.kind == "disk" and str(tmp_path) in failure.sentence
    assert failure.needs_bytes and failure.needs_bytes > shutil.disk_usage(tmp_path).free


def test_a_full_disk_that_is_not_the_data_folders_waits_for_a_person() -> None:
    failure = failures.of_error(OSError(errno.ENOSPC, "No space left on device", "/proc/1/x"))
    assert (failure.kind, failure.needs_bytes) == ("disk", None)

"""Whose fault it was decides what happens next, and the sentence is for a person."""

from __future__ import annotations

import errno

import pytest

from merging.errors import BenchmarkError, EvaluationError, ParentError, RecipeError, TensorError
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

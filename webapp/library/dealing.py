"""Cutting the questions of a benchmark into other splits, as long as no run has used it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from django.db import transaction

from merging.benchmarks import BenchmarkSpec, Questions
from merging.benchmarks.question_files import deal
from merging.errors import BenchmarkError
from webapp.library.actions import change, described
from webapp.library.models import Benchmark
from webapp.library.question_files import frozen
from webapp.library.uses import is_used
from webapp.quotas import hold

USED = (
    "a run has used these splits: what it scored would mean something else. Add the questions again under another name"
)


def can_be_dealt(row: Benchmark) -> bool:
    """Whether these are somebody's own questions that no run has used yet."""
    return row.owner_id is not None and bool(row.spec.get("sealed")) and not is_used(row.digest)


def deal_anew(row: Benchmark, seed: int, n_validation: int, n_final: int) -> Benchmark:
    """So many questions for validation and final, drawn by the seed from all, and the rest to search.

    The final split is opened, dealt and sealed again: nobody has been examined on it yet. BenchmarkError when a run has used the
    benchmark, or a split would be empty.
    """
    if row.owner is None or not can_be_dealt(row):
        raise BenchmarkError(USED)
    old = BenchmarkSpec.from_json(row.spec)
    dealt = _dealt(old, row.key, seed, (n_validation, n_final))
    with frozen(dealt) as (spec, key):
        hold(row.owner)
        row.refresh_from_db()  # dealt meanwhile, its key opens other questions
        if row.digest != old.digest or not can_be_dealt(row):
            raise BenchmarkError(USED)
        change(row, described(spec, dealt) | {"key": key})
        if old.sealed and spec != old and not Benchmark.objects.filter(digest=old.digest).exists():
            folder = Path(old.sealed.path)
            transaction.on_commit(lambda: shutil.rmtree(folder, ignore_errors=True))
    return row


def _dealt(spec: BenchmarkSpec, key: str, seed: int, held_out: tuple[int, int]) -> Questions:
    if spec.sealed is None:
        raise BenchmarkError(USED)
    questions = spec.sealed.read(spec.name, key)
    samples = [sample for split in questions.samples.values() for sample in split]
    return replace(questions, samples=deal(samples, seed, held_out), sealed={})

"""What a candidate costs beside merging and answering: claim, pipe, result, events, next generation.

    .venv/bin/python benchmarks/ledger_overhead.py [BUDGET]

Runs the quick demo with one real worker, on fresh services with the product's own settings or on DATABASE_URL and REDIS_URL, then reads
the rows: the overhead is the time between two results that follow each other, less what the device took for the second.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import django

if TYPE_CHECKING:
    from webapp.runs.models import Evaluation, Run

ROOT = Path(__file__).resolve().parent.parent
READY_SECONDS = 300


def main(budget: int) -> None:
    """Run and print the table."""
    from webapp.runs.models import Run
    from webapp.system.models import Worker
    from webapp.system.services import ensure_services

    with ensure_services(lambda words: print(words, file=sys.stderr), worker=True):
        deadline = time.monotonic() + READY_SECONDS
        while not Worker.objects.filter(ready=True, stopped=None).exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        evolve = [
            sys.executable,
            str(ROOT / "manage.py"),
            "evolve",
            "--preset",
            "quick",
            "--budget",
            str(budget),
            "--json",
        ]
        report = json.loads(subprocess.run(evolve, check=True, stdout=subprocess.PIPE).stdout)
        print_table(Run.objects.get(pk=report["run"]))


def print_table(run: Run) -> None:
    """Medians over every evaluation of the run, in the order of their results."""
    done = list(run.evaluations.filter(status="done").select_related("candidate").order_by("finished"))
    load = f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    print(f"{len(done)} evaluations on one worker, {load}\n")
    print("| milliseconds | median | 95 % are below | most |\n|---|---|---|---|")
    _print_row("merge", [evaluation.merge_seconds or 0.0 for evaluation in done])
    _print_row("answer and judge", [evaluation.evaluate_seconds or 0.0 for evaluation in done])
    _print_row("everything else", [_gap(before, after) for before, after in pairwise(done)])
    first = next(evaluation for evaluation in done if evaluation.candidate.kind == "evolved")
    print(
        f"\nAfter launch: first parent {_after(run, done[0]):.2f} s, first evolved candidate {_after(run, first):.2f} s."
    )
    attempts = sum(run.evaluations.values_list("attempts", flat=True))
    print(f"{attempts} attempts for {run.evaluations.count()} evaluations.")


def _gap(before: Evaluation, after: Evaluation) -> float:
    if before.finished is None or after.finished is None:
        raise ValueError("a done evaluation has no time")
    return (
        (after.finished - before.finished).total_seconds() - (after.merge_seconds or 0) - (after.evaluate_seconds or 0)
    )


def _after(run: Run, evaluation: Evaluation) -> float:
    if evaluation.finished is None:
        raise ValueError("a done evaluation has no time")
    return (evaluation.finished - run.created).total_seconds()


def _print_row(name: str, seconds: Sequence[float]) -> None:
    milliseconds = sorted(1000 * value for value in seconds)
    high = statistics.quantiles(milliseconds, n=20)[-1]
    print(f"| {name} | {statistics.median(milliseconds):.0f} | {high:.0f} | {milliseconds[-1]:.0f} |")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")
    with tempfile.TemporaryDirectory(prefix="progeny-overhead-") as folder:
        os.chmod(folder, 0o755)
        os.environ.setdefault("PROGENY_DATA", folder)
        django.setup()
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)

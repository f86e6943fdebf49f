"""Where a scenario plays: runs, the crew that computes them, and servers that crash. And the judgement on what became of the runs."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
import redis
from django.conf import settings
from django.contrib.auth.models import User
from django.db import InterfaceError, OperationalError, connection

from merging.recipes import Recipe
from tests.chaos.crew import Crew
from tests.chaos.report import Figures
from tests.ledger import world
from tests.ledger.shares import share
from tests.testenv import Services
from webapp.exports.models import Export
from webapp.leases import MAX_ATTEMPTS, live
from webapp.runs import invariants
from webapp.runs.models import ENDED, Attempt, Evaluation, Run

T = TypeVar("T")
WORKLESS = ("accepted", "failed")
"""Outcomes of attempts that were worth their time."""


@dataclass
class Stage:
    """`runs` are those that the scenario has launched."""

    owner: User
    folder: Path
    services: Services
    crew: Crew
    figures: Figures
    patience_seconds: float = 120.0
    runs: list[Run] = field(default_factory=list)

    def launch(self, seed: int, **changes: Any) -> Run:
        """A run that is watched."""
        run = answered(lambda: world.launch(self.owner, self.folder, seed=seed, **changes))
        self.runs.append(run)
        return run

    def restart_postgres(self) -> None:
        """At once, as by a power cut of the server; it has recovered when this returns."""
        self.services.crash_postgres()
        self.services.start()

    def restart_valkey(self) -> None:
        """All that it carried is gone."""
        self.services.crash_valkey()
        self.services.start()

    def flush_valkey(self) -> None:
        """As FLUSHALL."""
        with redis.Redis(unix_socket_path=str(self.services.sockets / "valkey.sock")) as client:
            client.flushall()

    def restore(self) -> None:
        """Servers that run, and a connection that works, for whoever comes next."""
        self.services.start()
        connection.close()

    def has_ended(self, run: Run) -> bool:
        """Whether it is over; read anew."""
        answered(run.refresh_from_db)
        return run.state in ENDED

    def wait_for_ends(self) -> None:
        """Until all runs are over, with invariants that hold all the while."""
        self.wait_for(lambda: all(self.has_ended(run) for run in self.runs), "every run ends")

    def wait_for(self, condition: Callable[[], object], claim: str) -> float:
        """Until it holds, with invariants that hold all the while. Returns how many seconds it took."""
        began = time.monotonic()
        while not answered(condition):
            if time.monotonic() - began > self.patience_seconds:
                pytest.fail(f"in {self.patience_seconds:.0f} s it did not come about that {claim}")
            self.check()
            time.sleep(0.05)
        return time.monotonic() - began

    def check(self) -> None:
        """The invariants, now."""
        found = answered(invariants.violations)
        assert not found, "\n".join(map(str, found))

    def judge(self, faults: int) -> dict[str, int]:
        """What became of the runs, each compared with the same run uninterrupted. Each fault may have cost an attempt. Returns what is
        worth telling.
        """
        found = answered(invariants.deep_violations)
        assert not found, "\n".join(map(str, found))
        assert not (errors := self.crew.tracebacks()), errors[0]
        for run in self.runs:
            answered(run.refresh_from_db)
            assert (run.state, run.message) == ("done", ""), (run.state, run.message)
            assert world.populations(run) == world.uninterrupted(run), (
                "populations are not those of the uninterrupted run"
            )
            assert run.candidates.filter(kind="evolved").count() == run.budget
            _check_scores(run)
        check_exports()
        outcomes = Counter(Attempt.objects.values_list("outcome", flat=True))
        wasted = sum(n for outcome, n in outcomes.items() if outcome not in WORKLESS)
        assert wasted <= faults, f"{faults} faults have wasted {wasted} attempts: {dict(outcomes)}"
        poisoned = Evaluation.objects.filter(failure_kind="poison").count()
        return {
            "evaluations": Evaluation.objects.filter(status="done").count(),
            "attempts wasted": wasted,
            "fenced": outcomes["fenced"],
            "poisoned": poisoned,
        }

    def n_done(self) -> int:
        """How much is done."""
        return answered(Evaluation.objects.filter(status="done").count)

    def busy(self) -> set[str]:
        """Workers that hold a lease."""
        leased = Evaluation.objects.filter(live())
        return set(answered(lambda: list(leased.values_list("lease_owner", flat=True))))

    def spared(self) -> set[str]:
        """Workers whose work another kill would end for good: a candidate that kills three is poison, by design."""
        leased = Evaluation.objects.filter(status="leased", attempts__gte=MAX_ATTEMPTS)
        return set(answered(lambda: list(leased.values_list("lease_owner", flat=True))))


def answered(question: Callable[[], T], seconds: float = 20.0) -> T:
    """The database's answer, asked for again while it is away."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return question()
        except (OperationalError, InterfaceError):
            connection.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def check_exports() -> None:
    """What is offered for download is there, whole."""
    for export in Export.objects.filter(status="done"):
        folder = Path(settings.DATA_DIR) / "exports" / str(export.pk)
        rows = {file.name: (file.n_bytes, file.sha256) for file in export.files.all()}
        assert {path.name: facts(path) for path in folder.iterdir()} == rows
        assert export.n_bytes == sum(n_bytes for n_bytes, _ in rows.values())


def facts(path: Path) -> tuple[int, str]:
    """Size and hash of a file."""
    content = path.read_bytes()
    return len(content), hashlib.sha256(content).hexdigest()


def _check_scores(run: Run) -> None:
    """Every score is that of its own recipe."""
    done = run.evaluations.filter(status="done").select_related("candidate")
    wrong = [e for e in done if e.mean != share(Recipe.from_json(e.candidate.recipe).to_json())]
    assert not wrong, wrong
    unfinished: Sequence[Evaluation] = list(run.evaluations.exclude(status__in=("done", "failed")))
    assert not unfinished, unfinished

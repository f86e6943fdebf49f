"""Runs from before scores were kept by benchmark: nothing of what was stored is lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.migrations.exceptions import IrreversibleError
from django.db.migrations.executor import MigrationExecutor

from webapp.runs.models import Outcomes
from webapp.runs.outcomes import unpacked

BEFORE = [("runs", "0002_ledger")]
SAMPLE = {"completion": "答え", "extracted": "2", "language": None, "right": True, "n_tokens": 3, "error": None}
SAMPLES = [{"id": f"s{i}", "score": float(i % 2), **SAMPLE} for i in range(4)]


def migrate_to_now() -> None:
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


@pytest.fixture
def before(transactional_db: None) -> Iterator[Any]:
    executor = MigrationExecutor(connection)
    executor.migrate(BEFORE)
    yield executor.loader.project_state(BEFORE).apps
    migrate_to_now()


def test_an_evaluation_of_one_benchmark_becomes_one_with_one_score(before: Any) -> None:
    owner = before.get_model("auth", "User").objects.create(username="owner")
    config = {"benchmark": {"name": "sums", "digest": "sha256:1", "file": None}}
    run = before.get_model("runs", "Run").objects.create(
        owner=owner, name="old", state="done", ended="2026-01-02T03:04:05Z", config=config, seed=1, budget=1
    )
    candidate = before.get_model("runs", "Candidate").objects.create(
        run=run, kind="parent", index=0, name="a", recipe={}
    )
    for split in ("search", "final"):
        done = {"status": "done", "mean": 0.5, "low": 0.2, "high": 0.8, "n": 4, "right": 1.0, "scorer": "last_number@1"}
        evaluation = before.get_model("runs", "Evaluation").objects.create(
            run=run,
            candidate=candidate,
            split=split,
            fitness=0.5 if split == "search" else None,
            evaluate_seconds=2.0,
            **done,
        )
        before.get_model("runs", "Outcomes").objects.create(evaluation=evaluation, samples=SAMPLES)
    migrate_to_now()
    row = Outcomes.objects.select_related("score__evaluation__run").get(score__evaluation__split="search")
    assert (row.score.benchmark, row.score.digest, row.score.scorer) == ("sums", "sha256:1", "last_number@1")
    assert (row.score.mean, row.score.right, row.score.seconds, row.scores) == (0.5, 1.0, 2.0, [0.0, 1.0, 0.0, 1.0])
    assert [sample.to_json() for sample in unpacked(row)] == [
        sample | {"prompt_hash": "", "seconds": 0.0, "finished": True} for sample in SAMPLES
    ]
    assert row.score.evaluation.run.examined == row.score.evaluation.run.ended
    with pytest.raises(IrreversibleError, match="restore the database from a backup"):
        MigrationExecutor(connection).migrate(BEFORE)
    migrate_to_now()
    assert Outcomes.objects.count() == 2
    User.objects.all().delete()

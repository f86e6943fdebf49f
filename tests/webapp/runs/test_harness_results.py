"""`./progeny results`: stored scores on a task of lm-eval, in lm-eval's own files."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from merging.benchmarks import BenchmarkSpec, Sample, harness
from merging.benchmarks.harness import HarnessFolder, folder_of
from merging.benchmarks.sealed import new_key
from merging.harness import frozen, index
from merging.objectives import Objective
from merging.outcomes import SampleOutcome
from tests.ledger import world
from webapp.library.actions import keep_task
from webapp.runs import harness_results, outcomes
from webapp.runs.management.commands import results
from webapp.runs.models import Evaluation, Outcomes, Run

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).resolve().parents[3]
TASKS = ROOT / "tests" / "merging" / "harness_tasks"
N = 5


@pytest.fixture(autouse=True)
def services(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the tests: nothing is started for the command."""
    monkeypatch.setattr(results, "ensure_services", lambda say: nullcontext())


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What would be exported, without the process that does."""
    asked: list[dict[str, Any]] = []

    def export(
        folder: HarnessFolder,
        key: str | None,
        answered: list[SampleOutcome],
        model: str,
        settings: dict[str, Any],
        **times: float,
    ) -> dict[str, bytes]:
        asked.append({"key": key, "ids": [one.id for one in answered], "model": model, **settings})
        return {"results_now.json": b"{}"}

    monkeypatch.setattr(harness_results, "export_results", export)
    return asked


def handmade(folder: Path, key: str) -> HarnessFolder:
    """A frozen task that the harness has never seen."""
    about = ("sums.yaml", "exact_match,none", index.harness_version(), "1.0", "generate_until", True, True, False)
    sources, n_docs = {"search": "train", "validation": "train", "final": "test"}, {"train": 2 * N, "test": N}
    task = frozen.Task("local_sums", *about, 0, 0, sources, n_docs, 0, ("question",), 0, 0)  # type: ignore[arg-type]
    samples = {
        split: [frozen.Frozen(Sample(f"{split}:{i}", "1?", "1"), {"question": "1?"}, ("1?",), ()) for i in range(N)]
        for split in frozen.SPLITS
    }
    frozen.write(folder, task, samples, key)
    return folder_of(folder)


def scored_run(owner: User, folder: Path, task: HarnessFolder, key: str, *, only_task: bool = False) -> Run:
    """A run that has ended, on a sealed task and on questions from a file; its winner answered the task's samples."""
    row = keep_task(owner, "a task", task, key)
    spec = BenchmarkSpec.from_json(row.spec)
    others = () if only_task else world.config(folder).objectives
    run = world.launch(owner, folder, objectives=(Objective(spec, 1.0, N, N, N), *others), budget=4)
    n = 1 + len(others)
    while (claim := world.claims.claim("w1", "test")) or world.generations.advance(run.pk, world.Searches()):
        if claim:
            assert world.results.finish(claim, world.result(claim, *[0.4] * n))
    run.refresh_from_db()
    for split, samples in spec.load(key).samples.items():
        answered = [answer(sample.id, sample.answer, i % 2 == 0) for i, sample in enumerate(samples[:N])]
        stored = Outcomes.objects.filter(score__index=0, score__evaluation__candidate=run.winner)
        stored.filter(score__evaluation__split=split).update(**outcomes.packed(answered))
    return run


def answer(sample_id: str, expected: str, is_right: bool) -> dict[str, Any]:
    said = expected if is_right else "none"
    return SampleOutcome(
        sample_id, "0" * 16, said, said, None, is_right, float(is_right), 1, 0.01, True, None
    ).to_json()


def said(*words: object) -> str:
    out = io.StringIO()
    call_command("results", *map(str, words), stdout=out)
    return out.getvalue()


def test_each_split_of_a_task_is_written_and_other_benchmarks_are_named(
    owner: User, tmp_path: Path, exported: list[dict[str, Any]]
) -> None:
    key = new_key()
    run = scored_run(owner, tmp_path, handmade(tmp_path / "task", key), key)
    text = said(run.pk, tmp_path / "out")
    assert [(one["split"], one["key"]) for one in exported] == [("search", None), ("validation", None), ("final", key)]
    assert exported[2]["ids"] == [f"final:{i}" for i in range(N)] and exported[0]["parents"] == ["a", "b", "c"]
    assert run.winner and {one["model"] for one in exported} == {f"a run/{run.winner.name}"}
    assert {path.parent.name for path in tmp_path.glob("out/*/results_now.json")} == {"search", "validation", "final"}
    assert "sums is no task of lm-eval" in text and "a task, final: " in text


def test_the_final_split_is_written_only_after_the_exam(
    owner: User, tmp_path: Path, exported: list[dict[str, Any]]
) -> None:
    key = new_key()
    run = scored_run(owner, tmp_path, handmade(tmp_path / "task", key), key, only_task=True)
    Run.objects.filter(pk=run.pk).update(examined=None)
    text = said(run.pk, run.winner, tmp_path / "out")
    assert [one["split"] for one in exported] == ["search", "validation"] and "exam has not been held" in text


def test_a_candidate_is_found_by_its_name(owner: User, tmp_path: Path, exported: list[dict[str, Any]]) -> None:
    key = new_key()
    run = scored_run(owner, tmp_path, handmade(tmp_path / "task", key), key, only_task=True)
    said(run.pk, "b", tmp_path / "out")
    assert {one["candidate"] for one in exported} == {"b"}
    with pytest.raises(CommandError, match=r"has no candidate 'g9.9': expected a name on its leaderboard"):
        said(run.pk, "g9.9", tmp_path / "out")


def test_a_run_without_a_task_of_lm_eval_says_where_its_scores_are(owner: User, tmp_path: Path) -> None:
    run = world.work(world.launch(owner, tmp_path, budget=4))
    with pytest.raises(CommandError, match=r"^sums is no task of lm-eval, whose format is for its own tasks: .*--json"):
        said(run.pk, tmp_path / "out")
    with pytest.raises(CommandError, match="there is no run 00000000-"):
        said("00000000-0000-0000-0000-000000000000", tmp_path / "out")
    Run.objects.filter(pk=run.pk).update(winner=None)
    with pytest.raises(CommandError, match="has no winner yet: name a candidate"):
        said(run.pk, tmp_path / "out")


@pytest.mark.slow
def test_the_harness_writes_what_is_stored(owner: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A local task, frozen and written by the harness in this process, where its folder of tasks can be ours."""
    import datasets

    from merging.harness import freezing
    from merging.harness.results import main

    def here(module: str, asked: dict[str, Any], *_: object) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(asked)))
        main()
        return subprocess.CompletedProcess([module], 0)

    monkeypatch.setattr(harness, "_apart", here)
    monkeypatch.setattr(index, "tasks_folder", lambda: TASKS)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    monkeypatch.chdir(ROOT)
    index.make_index(tmp_path)
    key, folder = new_key(), tmp_path / "frozen"
    freezing.freeze(index.read_index(tmp_path).get("local_sums"), "exact_match,strict-match", folder, 7, key)
    run = scored_run(owner, tmp_path, folder_of(folder), key, only_task=True)
    said(run.pk, tmp_path / "out")
    for split in frozen.SPLITS:
        [written] = tmp_path.glob(f"out/{split}/results_*.json")
        [samples] = tmp_path.glob(f"out/{split}/samples_local_sums_*.jsonl")
        found = json.loads(written.read_text())
        assert found["results"]["local_sums"]["exact_match,strict-match"] == pytest.approx(3 / 5)
        assert found["config"]["model_args"]["split"] == split
        assert len(samples.read_text().splitlines()) == 2 * N  # under both filters
    assert Evaluation.objects.filter(candidate=run.winner, split="final", status="done").exists()

"""What a candidate scored on tasks of lm-eval, as files in lm-eval's own format, from stored rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merging.benchmarks.harness import HarnessFolder, export_results
from merging.recipes import Recipe
from webapp.library.actions import key_of
from webapp.runs import outcomes
from webapp.runs.board.standing import SPLITS, by_split
from webapp.runs.config import RunConfig
from webapp.runs.models import Candidate, Evaluation, Outcomes, Run, SplitName


@dataclass(frozen=True)
class Scored:
    """A candidate's stored score on a task of the harness. `key` opens the final split; None for the others."""

    split: SplitName
    benchmark: str
    folder: HarnessFolder
    key: str | None
    outcomes: Outcomes
    evaluation: Evaluation


def scored_tasks(run: Run, candidate: Candidate) -> Iterator[Scored]:
    """Everything that can be written, by split and benchmark. The final split is among it once the run was examined."""
    specs = [objective.spec for objective in RunConfig.from_json(run.config).objectives]
    found = by_split(candidate.evaluations.filter(status="done"))
    for split in SPLITS if run.examined else SPLITS[:-1]:
        evaluation = found.get((candidate.pk, split))
        for row in _outcomes(evaluation) if evaluation else ():
            spec = specs[row.score.index]
            if evaluation and spec.harness:
                yield Scored(
                    split, spec.name, spec.harness, key_of(spec) if split == "final" else None, row, evaluation
                )


def write(run: Run, candidate: Candidate, scored: Scored, folder: Path) -> list[Path]:
    """Write `results_<time>.json` and `samples_<task>_<time>.jsonl`. BenchmarkError when that cannot be done."""
    finished, seconds = scored.evaluation.finished, scored.outcomes.score.seconds
    files = export_results(
        scored.folder,
        scored.key,
        outcomes.unpacked(scored.outcomes),
        f"{run.name}/{candidate.name}",
        _settings(run, candidate, scored.split),
        began=finished.timestamp() - seconds if finished else 0.0,
        seconds=seconds,
    )
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in files]


def _outcomes(evaluation: Evaluation) -> list[Outcomes]:
    return list(Outcomes.objects.filter(score__evaluation=evaluation).select_related("score").order_by("score__index"))


def _settings(run: Run, candidate: Candidate, split: SplitName) -> dict[str, Any]:
    """What the model is, and of which questions this is."""
    recipe = Recipe.from_json(candidate.recipe)
    return {
        "run": str(run.pk),
        "candidate": candidate.name,
        "split": split,
        "parents": [parent.name for parent in recipe.parents],
        "base": recipe.base.name if recipe.base else None,
        "method": recipe.method,
        "recipe": candidate.recipe_digest,
    }

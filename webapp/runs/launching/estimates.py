"""What a run will take: time, memory and room, from what was measured on this installation. Says nothing where nothing was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from django.db.models import Avg, F, FloatField, Func, Q

from merging.recipes import Parent as Model
from webapp.library.models import Parent
from webapp.runs.actions import n_references
from webapp.runs.config import RunConfig
from webapp.runs.launching.plans import Plan
from webapp.runs.models import Evaluation, Score
from webapp.system.status import workers

LATEST: Final = 100
CANDIDATES_PER_NUMBER: Final = 10
"""Fewer than so many candidates for every number to find is thin for an evolution strategy."""
ITEM_BYTES: Final = {"float32": 4, "bfloat16": 2, "float16": 2}
SCORE_BYTES: Final = 4
"""Of an answer; all else of it is compressed and measured."""


@dataclass(frozen=True)
class Tried:
    """What was measured of one candidate that was tried before the launch: seconds to merge it, and per question by benchmark's digest."""

    merge_seconds: float
    question_seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Memory:
    """What one worker holds: the model that is asked, and the models that it is made from, which it reads again where there is less."""

    model_bytes: int
    kept_bytes: int

    @property
    def n_bytes(self) -> int:
        return self.model_bytes + self.kept_bytes


@dataclass(frozen=True)
class Cost:
    """What a run takes. None is what nobody knows; `gpu_hours` is None as well where no GPU works.

    `is_tried`: the time is that of one candidate's few questions, which take longer one by one than many at once. `result_bytes` are of
    answers and scores, which are kept; candidates are not.
    """

    seconds: float | None
    gpu_hours: float | None
    is_tried: bool
    memory: Memory | None
    result_bytes: int | None


def cost(plan: Plan, tried: Tried | None = None) -> Cost:
    """The cost of the whole run with the workers that take work now.

    What was measured in other runs of these parents counts first, then what was `tried`.
    """
    hired = [seen for seen in workers() if seen.takes_work]
    n_others = n_references(plan.config)
    work, is_tried = _work_seconds(plan, n_others, None), False
    if work is None and tried is not None:
        work, is_tried = _work_seconds(plan, n_others, tried), True
    n_gpus = sum(seen.worker.has_gpu for seen in hired)
    return Cost(
        seconds=None if work is None else work / max(1, len(hired)),
        gpu_hours=work / 3600 * n_gpus / len(hired) if work is not None and n_gpus else None,
        is_tried=is_tried and work is not None,
        memory=_memory(plan.config, on_gpu=n_gpus > 0),
        result_bytes=_result_bytes(plan, n_others),
    )


def built_bytes(config: RunConfig) -> int | None:
    """The size of a model of this run on disk; None when its parents are not in the library any more."""
    rows = _rows(config.parents)
    return max(row.n_parameters for row in rows) * ITEM_BYTES[config.dtype] if rows else None


def _work_seconds(plan: Plan, n_others: int, tried: Tried | None) -> float | None:
    """The time of all workers together, for `n_others` references too; None when these parents were never measured on these benchmarks.

    Of paths that were not measured either, from how long model A takes and how many times its layers a path has in the first generation.
    """
    config = plan.config
    merge = tried.merge_seconds if tried else _merge_seconds(config)
    questions = [
        tried.question_seconds.get(asked.spec.digest) if tried else _question_seconds(plan, asked.spec.digest)
        for asked in config.objectives
    ]
    if merge is None or None in questions:
        return None
    n_merges = config.budget + plan.n_generations + 3 * n_others + 2 * config.n_finalists
    asking = sum(n * (question or 0.0) for n, question in zip(_n_answers(plan, n_others), questions, strict=True))
    return float(n_merges * merge + asking)


def _n_answers(plan: Plan, n_others: int) -> list[int]:
    """How many questions are asked in the whole run, by benchmark. Every generation has a validation score of its best."""
    config, n_finalists = plan.config, plan.config.n_finalists
    return [
        (config.budget + n_others) * asked.n_search
        + (plan.n_generations + n_others + n_finalists) * asked.n_validation
        + (n_others + n_finalists) * asked.n_final
        for asked in config.objectives
    ]


def _merge_seconds(config: RunConfig) -> float | None:
    """0 for paths, which are not merged, as long as none was measured."""
    done = Evaluation.objects.filter(_like(config, "run"), status="done", merge_seconds__isnull=False)
    mean: float | None = done.order_by("-finished")[:LATEST].aggregate(mean=Avg("merge_seconds"))["mean"]
    return 0.0 if mean is None and config.path else mean


def _question_seconds(plan: Plan, digest: str) -> float | None:
    measured = _mean_of(_like(plan.config, "evaluation__run"), digest)
    if measured is not None or plan.route is None:
        return measured
    model_a = plan.config.to_json()["parents"][0]
    of_model_a = Q(evaluation__run__config__parents__0=model_a) & ~Q(evaluation__run__config__has_key="path")
    alone = _mean_of(of_model_a, digest)
    return None if alone is None else alone * plan.route.times_at_first


def _mean_of(which: Q, digest: str) -> float | None:
    latest = Score.objects.filter(which, digest=digest).order_by("-evaluation__finished")[:LATEST]
    mean: float | None = latest.aggregate(mean=Avg(F("seconds") / F("n")))["mean"]
    return mean


def _like(config: RunConfig, run: str) -> Q:
    """Runs of the same parents over the same kind of space; `run` is the way to them."""
    found = config.to_json()
    same = Q(**{f"{run}__config__parents": found["parents"]})
    return same & (
        Q(**{f"{run}__config__path": found["path"]}) if config.path else ~Q(**{f"{run}__config__has_key": "path"})
    )


def _memory(config: RunConfig, on_gpu: bool) -> Memory | None:
    """By the rules of the workbench: models compute in float32 on a processor, parents lie beside them as they are stored; of a path the
    layers of all parents are the model.
    """
    models = {*config.parents, *([config.base] if config.base else [])}
    rows = _rows(models)
    if len(rows) < len(models):
        return None
    item_bytes = ITEM_BYTES[config.dtype] if on_gpu else ITEM_BYTES["float32"]
    sizes = [row.n_parameters * item_bytes for row in rows]
    return Memory(sum(sizes), 0) if config.path else Memory(max(sizes), sum(row.n_bytes for row in rows))


def _rows(models: tuple[Model, ...] | set[Model]) -> list[Parent]:
    """What the library knows of these models, one row each."""
    found = Parent.objects.filter(fingerprint__in=[model.fingerprint for model in models])
    return list({row.fingerprint: row for row in found}.values())


def _result_bytes(plan: Plan, n_others: int) -> int | None:
    """From how many bytes an answer to these benchmarks takes in the database."""
    found = [_answer_bytes(asked.spec.digest) for asked in plan.config.objectives]
    known = [(n, each) for n, each in zip(_n_answers(plan, n_others), found, strict=True) if each is not None]
    return round(sum(n * each for n, each in known)) if len(known) == len(found) else None


def _answer_bytes(digest: str) -> float | None:
    rest = Func(F("outcomes__rest"), function="octet_length", output_field=FloatField())
    latest = Score.objects.filter(digest=digest, outcomes__isnull=False).order_by("-evaluation__finished")[:LATEST]
    mean: float | None = latest.aggregate(mean=Avg(rest / F("n")))["mean"]
    return None if mean is None else mean + SCORE_BYTES

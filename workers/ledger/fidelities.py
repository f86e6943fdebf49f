"""What the candidates of a generation are asked, when that is less than everything: a plan made from terminal rows, stored with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from merging.benchmarks import Sample
from merging.fidelity import DEFAULT as FULL
from merging.fidelity import Answers, History, Scored, fidelities
from webapp.runs import outcomes
from webapp.runs.config import RunConfig
from webapp.runs.models import Evaluation, Generation, Outcomes, Run
from webapp.runs.transitions import OPEN
from workers.reach import Reach

Told = Mapping[int, float]
NOTHING_LESS: Final = None


def waits(run: Run) -> bool:
    """Whether the next plan needs the scores of parents that are not known yet."""
    kind = fidelities.get(RunConfig.from_json(run.config).fidelity)
    parents = run.evaluations.filter(split="search", candidate__kind="parent", status__in=OPEN)
    return kind.needs_parents and parents.exists()


def plan(run: Run, newest: Generation | None, told: Told, reach: Reach) -> dict[str, Any] | None:
    """The plan of the generation after `newest`, whose candidates are `told`; None when everything is asked.

    `reach` knows where questions are.

    A function of terminal rows: whoever computes it comes to the same.
    """
    config = RunConfig.from_json(run.config)
    if config.fidelity == FULL:
        return NOTHING_LESS
    kind, number = fidelities.get(config.fidelity), 0 if newest is None else newest.number + 1
    samples = [reach.spec(objective.spec).load().take("search", objective.n_search) for objective in config.objectives]
    parents = _answers(config, samples, run.evaluations.filter(candidate__kind="parent")) if kind.needs_parents else {}
    past = run.generations.filter(number__lt=number, number__gte=number - kind.looks_back).order_by("number")
    generations = tuple(_scored(config, samples, generation, newest, told) for generation in past)
    history = History(tuple(parents.values()), generations)
    made = kind.plan(config.pool, history, dict(config.fidelity_settings), config.seed, number)
    return made.to_json()


def _scored(
    config: RunConfig,
    samples: Sequence[Sequence[Sample]],
    generation: Generation,
    newest: Generation | None,
    told: Told,
) -> tuple[Scored, ...]:
    """The candidates that did not fail, in index order."""
    stored = {pk: value for pk, value in generation.candidates.values_list("pk", "told") if value is not None}
    fitnesses = told if newest is not None and generation.pk == newest.pk and told else stored
    asked = Evaluation.objects.filter(candidate__generation=generation).order_by("candidate__index")
    return tuple(Scored(found, fitnesses[pk]) for pk, found in _answers(config, samples, asked).items())


def _answers(config: RunConfig, samples: Sequence[Sequence[Sample]], evaluations: Any) -> dict[int, Answers]:
    """By candidate, in the order of the evaluations: what was answered on the search split, as positions in the pool."""
    done = evaluations.filter(split="search", status="done").order_by("candidate__generation", "candidate__index")
    rows = Outcomes.objects.filter(score__evaluation__in=done).select_related("score__evaluation")
    found: dict[int, Answers] = {pk: Answers() for pk in done.values_list("candidate_id", flat=True)}
    for row in rows.order_by("score__evaluation", "score__index"):
        index = row.score.index
        part = _part(row, samples[index], config.pool.ranges[index].start)
        found[row.score.evaluation.candidate_id] += part
    return found


def _part(row: Outcomes, samples: Sequence[Sample], start: int) -> Answers:
    """One benchmark's; `start` is where its samples begin in the pool."""
    places, answered = outcomes.places(row), outcomes.unpacked(row)
    gated = row.score.in_language is not None
    languages = [
        float(o.language == samples[place].language) if gated else None
        for o, place in zip(answered, places, strict=True)
    ]
    return Answers(
        positions=tuple(start + place for place in places),
        score=tuple(row.scores),
        right=tuple(float(outcome.right) for outcome in answered),
        in_language=tuple(languages),
    )

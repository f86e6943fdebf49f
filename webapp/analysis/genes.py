"""The genes of a run and the scores of its candidates, as the charts of its page need them. Reads rows only.

Of very many candidates every k-th is shown and the best: charts of `MOST_SHOWN` say as much, and a page stays light.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import numpy as np
from django.db.models import QuerySet
from numpy.typing import NDArray

from merging.errors import EvaluationError, MergingError
from merging.importance import Importances, importances
from webapp.runs.config import RunConfig
from webapp.runs.live.genes import parameter_space
from webapp.runs.models import Candidate, Evaluation, Run
from webapp.runs.pictures import paths

MOST_SHOWN: Final = 2000
N_BEST_KEPT: Final = 100
N_PARALLEL: Final = 7
N_BARS: Final = 24
N_CELLS: Final = 32
N_CURVE: Final = 41
REACH: Final = 0.06
"""How far a candidate speaks for its surroundings, of a gene's range: the standard deviation of a Gaussian."""
LEAST_SAID: Final = 1.0
"""Of a place in the contour: fewer candidates' worth within reach, and nothing is known there."""
DIGITS: Final = 4
LEAST_R2: Final = 0.05
"""Below it the genes do not tell the scores, and no order of theirs means anything."""
Numbers = NDArray[np.float64]
Json = dict[str, Any]


@dataclass(frozen=True)
class Gene:
    """One of them: `number` is its place in the genome; a switch is on above 0.5."""

    number: int
    name: str
    low: float
    high: float
    is_switch: bool


@dataclass(frozen=True)
class Shown:
    """Candidates with their genes, [candidates, genes] as the search has them, and their search scores. `n` were scored in all."""

    ids: list[int]
    names: list[str]
    scores: Numbers
    genomes: Numbers
    n: int


def genes_of(run: Run) -> list[Gene]:
    """The genes that a page shows: all of a recipe's numbers; of a path its switches. Empty before the first candidate."""
    config = RunConfig.from_json(run.config)
    if config.path is not None:
        space = paths.space_of(config)
        return [] if space is None else [Gene(i, space.genes[i].name, 0, 1, True) for i in space.axes.switches]
    around = parameter_space(run, config)
    genes = around.genes if around else ()
    return [Gene(i, gene.name, gene.low, gene.high, False) for i, gene in enumerate(genes)]


def n_scored(run: Run) -> int:
    """How many candidates have a search score."""
    return _scored(run.pk).count()


@lru_cache(maxsize=64)
def importance(run_id: UUID, n: int, genes: tuple[Gene, ...]) -> Importances:
    """Of these genes of a run after `n` scores. EvaluationError where it cannot be told. Scores never change, so what was computed of so
    many is kept.
    """
    found = shown(run_id, genes)
    switches = [i for i, gene in enumerate(genes) if gene.is_switch]
    return importances(found.genomes, list(found.scores), switches)


def shown(run_id: UUID, genes: Sequence[Gene]) -> Shown:
    """The candidates of a chart, in the order in which they were scored; `genomes` has the columns of these genes. Two queries."""
    scored = list(_scored(run_id).order_by("finished", "id").values_list("candidate", "fitness", "mean"))
    kept = _thinned(len(scored), [fitness or 0.0 for _, fitness, _ in scored])
    ids = [scored[i][0] for i in kept]
    rows = Candidate.objects.filter(pk__in=ids).values_list("pk", "name", "genome")
    found = {pk: (name, genome or []) for pk, name, genome in rows}
    genomes = [[found[pk][1][gene.number] for gene in genes] for pk in ids]
    return Shown(
        ids=ids,
        names=[found[pk][0] for pk in ids],
        scores=np.array([scored[i][2] for i in kept], dtype=np.float64),
        genomes=np.array(genomes, dtype=np.float64).reshape(len(ids), len(genes)),
        n=len(scored),
    )


def _scored(run_id: UUID) -> QuerySet[Evaluation]:
    """Of candidates whose answers can be trusted."""
    return Evaluation.objects.filter(
        run=run_id, split="search", status="done", is_healthy=True, candidate__kind="evolved"
    ).order_by()


def _thinned(n: int, fitness: Sequence[float]) -> list[int]:
    if n <= MOST_SHOWN:
        return list(range(n))
    best = sorted(range(n), key=lambda i: -fitness[i])[:N_BEST_KEPT]
    step = -(-n // (MOST_SHOWN - N_BEST_KEPT))
    return sorted({*range(0, n, step), *best})


# charts, as the modules of static/js/plots/ read them


def bars(run: Run) -> Json:
    """The importance of the genes that have most of it."""
    genes = genes_of(run)
    try:
        found = importance(run.pk, n_scored(run), tuple(genes))
    except MergingError as error:
        return {"nothing": f"What matters cannot be told yet: {error}."}
    if found.r2 < LEAST_R2:
        return {
            "nothing": f"The genes of {found.n} candidates do not tell their scores (cross-validated R² {found.r2:.2f}), so no order of "
            "them means anything. Either luck decides between these candidates, or genes matter only together."
        }
    rows = sorted(zip(genes, found.genes, strict=True), key=lambda row: -row[1].value)
    items = [
        {
            "name": gene.name,
            "value": _round(one.value),
            "low": _round(one.low),
            "high": _round(one.high),
            "is_clear": one.is_clear,
        }
        for gene, one in rows
    ]
    note = f"{found.n} candidates; cross-validated R² {found.r2:.2f}: so much of how they rank is told by {len(genes)} genes."
    return {"value": "fall of R²", "items": items, "n_shown": N_BARS, "note": note}


def parallel(run: Run, numbers: Sequence[int]) -> Json:
    """A line through the chosen genes for every candidate; without any, through those that matter most."""
    genes = genes_of(run)
    chosen = [gene for gene in genes if gene.number in numbers] or _most(run, genes, N_PARALLEL)
    found = shown(run.pk, chosen)
    if not found.ids:
        return _nothing()
    values = np.column_stack([_values(gene, found.genomes[:, i]) for i, gene in enumerate(chosen)])
    return {
        "axes": [{"name": gene.name, "low": gene.low, "high": gene.high} for gene in chosen],
        "score": "score",
        "lines": [[*_rounded(row), _round(score)] for row, score in zip(values, found.scores, strict=True)],
        **_who(found),
    }


def scatter(run: Run, number: int | None) -> Json:
    """Every candidate by one gene and its score, and the mean score around each value; without a gene, by the one that matters most."""
    genes = genes_of(run)
    chosen = [gene for gene in genes if gene.number == number] or _most(run, genes, 1)
    found = shown(run.pk, chosen)
    if not found.ids:
        return _nothing()
    gene, column = chosen[0], found.genomes[:, 0]
    at = np.linspace(column.min(), column.max(), N_CURVE)
    near = _near(at, column)
    curve = near @ found.scores / near.sum(axis=1)  # the estimate of Nadaraya and Watson
    return {
        "x": {"title": gene.name, "low": gene.low, "high": gene.high},
        "y": {"title": "score"},
        "points": _pairs(_values(gene, column), found.scores),
        "curve": _pairs(_values(gene, at), curve),
        **_who(found),
    }


def contour(run: Run, numbers: tuple[int | None, int | None]) -> Json:
    """The mean score around each place of two genes, where any candidate was near; without genes, of the two that matter most."""
    genes = genes_of(run)
    if len(genes) < 2:
        return {"nothing": "This run has one gene, so there are no two to look at together."}
    asked = [gene for number in numbers for gene in genes if gene.number == number]
    rest = [gene for gene in _most(run, genes, 4) if gene not in asked]
    x, y = (*dict.fromkeys(asked), *rest)[:2]
    found = shown(run.pk, [x, y])
    if not found.ids:
        return _nothing()
    middles = (np.arange(N_CELLS) + 0.5) / N_CELLS
    by_x, by_y = (_near(middles, found.genomes[:, i]) for i in (0, 1))
    said = by_y @ by_x.T  # [rows, columns]: how many candidates' worth are near
    scores = (by_y * found.scores) @ by_x.T / np.maximum(said, LEAST_SAID)
    known = said >= LEAST_SAID
    cells = [
        [int(column), int(row), _round(scores[row, column])] for row, column in zip(*np.nonzero(known), strict=True)
    ]
    low, high = (scores[known].min(), scores[known].max()) if cells else (0.0, 1.0)
    return {
        "x": {"title": x.name, "low": x.low, "high": x.high},
        "y": {"title": y.name, "low": y.low, "high": y.high},
        "z": {"title": "score", "low": _round(low), "high": _round(high)},
        "n_cells": N_CELLS,
        "cells": cells,
        "points": _pairs(_values(x, found.genomes[:, 0]), _values(y, found.genomes[:, 1])),
        "scores": _rounded(found.scores),
        **_who(found),
    }


def _most(run: Run, genes: Sequence[Gene], n: int) -> list[Gene]:
    """Those that matter most, as far as that can be told; else the first."""
    try:
        found = importance(run.pk, n_scored(run), tuple(genes))
    except EvaluationError:
        return list(genes[:n])
    order = sorted(range(len(genes)), key=lambda i: -found.genes[i].value)
    return [genes[i] for i in order[:n]]


def _near(at: Numbers, column: Numbers) -> Numbers:
    """How much each candidate says about each of these places of a gene: [places, candidates]; a Gaussian of `REACH`."""
    return np.asarray(np.exp(-((at[:, None] - column[None, :]) ** 2) / (2 * REACH**2)))


def _who(found: Shown) -> Json:
    n = len(found.ids)
    return {
        "ids": found.ids,
        "names": found.names,
        "note": f"{n} candidates" if n == found.n else f"{n} of {found.n} candidates: every so-manieth, and the best",
    }


def _nothing() -> Json:
    return {"nothing": "No candidate has a score yet that can be trusted."}


def _values(gene: Gene, column: Numbers) -> Numbers:
    return np.asarray(gene.low + column * (gene.high - gene.low))


def _pairs(x: Numbers, y: Numbers) -> list[list[float]]:
    return [[_round(a), _round(b)] for a, b in zip(x, y, strict=True)]


def _rounded(row: Numbers) -> list[float]:
    return [_round(value) for value in row]


def _round(value: float) -> float:
    return round(float(value), DIGITS)

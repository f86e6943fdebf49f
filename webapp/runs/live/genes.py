"""How the genes of a run move: each gene's mean and spread in every generation, as numbers for a heat map (`static/js/plots/heatmap.js`).

Rows are genes, called after what they stand for; of very many the ones that have moved most. Reads rows, and no model's folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypedDict

from merging.genomes import Gene, GenomeSpace
from merging.recipes import Recipe
from webapp.runs.config import RunConfig
from webapp.runs.live import spreads
from webapp.runs.live.spreads import Spread
from webapp.runs.models import Candidate, Run
from webapp.runs.pictures import paths

MAX_GENES: Final = 128
DIGITS: Final = 3


class Nothing(TypedDict):
    """Why there is no picture."""

    nothing: str


def trajectories(run: Run, config: RunConfig) -> dict[str, Any] | Nothing:
    """The heat map of a run as its rows stand."""
    generations = spreads.shown(run)
    found = spreads.spreads(generations)
    columns = [(generation.number, found[generation.pk]) for generation in generations if generation.pk in found]
    if not columns:
        return {"nothing": "The first generation is on its way: every gene then has a mean and a spread."}
    names = gene_names(run, config, len(columns[0][1].means))
    chosen = _moved_most([spread for _, spread in columns])
    return {
        "x": {"title": "generation", "labels": [str(number) for number, _ in columns]},
        "y": {"title": "gene", "labels": [names[gene] for gene in chosen]},
        "z": {"title": "mean", "low": 0, "high": 1, "beside": "spread"},
        "cells": [
            [column, row, round(spread.means[gene], DIGITS), round(spread.deviations[gene], DIGITS)]
            for row, gene in enumerate(chosen)
            for column, (_, spread) in enumerate(columns)
        ],
        "n_genes": len(names),
    }


def gene_names(run: Run, config: RunConfig, n: int) -> list[str]:
    """What the `n` genes of a run stand for, in order: `layer 3 / japanese / weight, 0 to 1`. Numbers where nobody knows any more."""
    space = paths.space_of(config) if config.path else parameter_space(run, config)
    if space is None or space.n_genes != n:
        return [f"gene {number}" for number in range(n)]
    return [_name(gene) for gene in space.genes]


def parameter_space(run: Run, config: RunConfig) -> GenomeSpace | None:
    """The space around any recipe of the run: all that are evolved have the same groups, parents and method. None before the first."""
    recipe = Candidate.objects.filter(run=run, kind="evolved").order_by("pk").values_list("recipe", flat=True).first()
    return None if recipe is None else GenomeSpace.around(Recipe.from_json(recipe), config.groups)


def _name(gene: Any) -> str:
    """Parents by the last part of their names: there is little room beside a row."""
    if not isinstance(gene, Gene):
        return str(gene.name)
    owner = gene.parent.rpartition("/")[2] if gene.parent else None
    return f"{' / '.join(part for part in (gene.group, owner, gene.parameter) if part)}, {gene.low:g} to {gene.high:g}"


def _moved_most(columns: Sequence[Spread]) -> list[int]:
    """The numbers of the genes that are shown, in order."""
    first, last = columns[0].means, columns[-1].means
    n = min(len(first), len(last))
    moved = sorted(range(n), key=lambda gene: -abs(last[gene] - first[gene]))
    return sorted(moved[:MAX_GENES])

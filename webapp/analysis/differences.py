"""Where the genes of candidates differ, and where the settings of runs do: only what is not the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from merging.fidelity import DEFAULT as FULL
from merging.fidelity import fidelities
from merging.genomes import GenomeSpace
from merging.methods import methods
from merging.objectives import shares
from merging.search import searches
from webapp.analysis.chosen import Side
from webapp.runs.config import RunConfig
from webapp.runs.models import Run
from webapp.system.templatetags.figures import percent

LEAST: Final = 0.005
"""Genes that are closer than this, of their range, count as the same: a hundredth of what the pages write."""
WIDTH: Final = 160.0  # of a gene's strip, in its own units
MARGIN: Final = 8.0


@dataclass(frozen=True)
class Value:
    """A gene of one candidate: its value, and where it stands on the gene's strip."""

    side: Side
    value: float
    x: float


@dataclass(frozen=True)
class GeneRow:
    """One gene that differs: from `low` to `high` the search could reach, `spread` is how far apart the candidates are, of that range."""

    group: str
    parent: str | None
    parameter: str
    low: float
    high: float
    spread: float
    values: list[Value]


@dataclass(frozen=True)
class Genes:
    """The genes that differ, the most different first, of `n` in all. `why` says why there is nothing to set side by side, if so."""

    rows: list[GeneRow]
    n: int
    why: str = ""


def genes(sides: Sequence[Side]) -> Genes | None:
    """Of those with genes; None when these are fewer than two, or paths, whose routes say more."""
    evolved = [side for side in sides if side.candidate.genome and side.recipe.path is None]
    if len(evolved) < 2:
        return None
    spaces = [GenomeSpace.around(side.recipe, side.config.groups) for side in evolved]
    if any(space.genes != spaces[0].genes for space in spaces):
        words = " and ".join(
            dict.fromkeys(f"{methods.get(s.config.method).title}, {s.config.groups_in_words}" for s in evolved)
        )
        return Genes([], 0, f"They were searched in different spaces, so no gene of one is a gene of another: {words}.")
    columns = zip(*(side.candidate.genome or () for side in evolved), strict=True)
    rows = []
    for gene, column in zip(spaces[0].genes, columns, strict=True):
        if (spread := max(column) - min(column)) < LEAST:
            continue
        of_sides = zip(evolved, column, strict=True)
        values = [Value(side, gene.value(x), round(MARGIN + (WIDTH - 2 * MARGIN) * x, 1)) for side, x in of_sides]
        rows.append(GeneRow(gene.group, gene.parent, gene.parameter, gene.low, gene.high, spread, values))
    return Genes(sorted(rows, key=lambda row: -row.spread), len(spaces[0].genes))


def settings(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """The settings that are not the same for all of these runs, and what each has."""
    columns = [_facts(run, RunConfig.from_json(run.config)) for run in runs]
    names = dict.fromkeys(name for facts in columns for name in facts)
    rows = [(name, [facts.get(name, "–") for facts in columns]) for name in names]
    return [(name, found) for name, found in rows if len(set(found)) > 1]


def _facts(run: Run, config: RunConfig) -> dict[str, str]:
    """A run's configuration in words, setting by setting."""
    parents = {f"Parent {i}": parent.name for i, parent in enumerate(config.parents, 1)}
    measured = {
        f"Benchmark {objective.spec.name}": f"{percent(share, 0)} of the score; {objective.n_search} search, "
        f"{objective.n_validation} validation, {objective.n_final} final questions"
        for objective, share in zip(config.objectives, shares(config.weights), strict=True)
    }
    path = config.path
    how = (
        {"Layer path": f"{path.repeats} times over, at most {path.max_hops} hops, scales: {path.scales}"}
        if path
        else {"Method": methods.get(config.method).title, "Layer groups": config.groups_in_words}
    )
    return {
        **parents,
        "Base model": config.base.name if config.base else "none",
        **measured,
        **how,
        **{name.replace("_", " ").capitalize(): _said(value) for name, value in config.settings},
        "Search": searches.get(config.search).title,
        "Per generation": str(config.population_size or "as the search has it"),
        "Candidates": str(run.budget),
        "Cheaper fitness": "none" if config.fidelity == FULL else fidelities.get(config.fidelity).title,
        **{f"Cheaper fitness: {name.replace('_', ' ')}": _said(value) for name, value in config.fidelity_settings},
        "Tokenizer": config.tokenizer,
        "Numbers": config.dtype,
        "Finalists": str(config.n_finalists),
        "Seed": str(run.seed),
    }


def _said(value: float | bool) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else f"{value:g}"

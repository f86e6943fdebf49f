"""What a run that can be launched amounts to, in numbers and in plain words. Knows no rows and checks nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

from merging.fidelity import DEFAULT as FULL
from merging.fidelity import fidelities
from merging.methods import methods
from merging.objectives import shares
from merging.path_genomes import PathSpace
from merging.search import searches
from merging.search.cma_es import SIGMA
from merging.words import counted, joined
from webapp.runs.config import RunConfig

TIMES: Final = {2: "twice"}


@dataclass(frozen=True)
class Plan:
    """A run that can be launched. `route` is what a path may be, where one evolves; otherwise there are `n_groups` groups of layers."""

    config: RunConfig
    n_groups: int
    n_genes: int
    population_size: int
    route: RoutePlan | None = None

    @property
    def name(self) -> str:
        """What the run is called when nobody gives it a name."""
        what = "Layer path" if self.route else methods.get(self.config.method).title
        return f"{what} on {self.config.benchmark_names}"[:200]

    @property
    def n_generations(self) -> int:
        return math.ceil(self.config.budget / self.population_size)

    @property
    def n_per_number(self) -> float:
        """How many candidates are scored for every number to find."""
        return self.config.budget / self.n_genes

    @property
    def sentence(self) -> str:
        """The run in one sentence."""
        search = searches.get(self.config.search).title
        return (
            f"{self.route.sentence if self.route else self._mix}; {search}, {self.population_size} per generation, "
            f"up to {self.config.budget} candidates{self._scored_on}{self._asked}."
        )

    @property
    def _mix(self) -> str:
        method = methods.get(self.config.method).title
        are_told = self.n_groups > 1 and not self.config.is_gradient
        groups = f"{self.n_groups} layer groups{self.config.apart}" if are_told else self.config.groups_in_words
        return f"Mix {len(self.config.parents)} models with {method} in {groups}: {counted(self.n_genes, 'number')} to find"

    @property
    def _scored_on(self) -> str:
        """With several benchmarks, how much each counts, as the end of a sentence."""
        objectives = self.config.objectives
        if len(objectives) == 1:
            return ""
        weighed = [
            f"{share:.0%} {objective.spec.name}"
            for share, objective in zip(shares(self.config.weights), objectives, strict=True)
        ]
        return f", scored on {joined(weighed)}"

    @property
    def _asked(self) -> str:
        """With a cheaper fitness, which."""
        kind = fidelities.get(self.config.fidelity)
        return "" if kind.name == FULL else f"; cheaper fitness by {kind.title}"


@dataclass(frozen=True)
class RoutePlan:
    """The paths that a search may find, and what they cost: a question takes time and cache in proportion to a path's layers."""

    space: PathSpace

    @property
    def n_scales(self) -> int:
        """Genes that scales are made from."""
        return self.space.n_genes - self.space.n_switches

    @property
    def n_hops_at_first(self) -> float:
        """How many layers a path of the first generation has, on average; where that is more than it may have, so many."""
        starts = self.space.axes.starts[: self.space.n_switches]
        likely = sum(1 - NormalDist(start, SIGMA).cdf(0.5) for start in starts)
        return min(self.space.max_hops, 2 + likely)

    @property
    def times_at_first(self) -> float:
        """How many times the computing of model A a question takes, on average in the first generation."""
        return self.n_hops_at_first / self.space.n_layers[0]

    @property
    def times_at_most(self) -> float:
        return self.space.max_hops / self.space.n_layers[0]

    @property
    def sentence(self) -> str:
        """Without its full stop."""
        (a, *others), (n_a, *n_others) = self.space.parents, self.space.n_layers
        if others:
            through = (
                f"{counted(n_a, 'layer')} of {a.name}, which begin and end it, and {n_others[0]} of {others[0].name}"
            )
        else:
            through = f"{counted(n_a, 'layer')} of {a.name} alone, skipped or repeated"
        often = (
            f", the list {TIMES.get(self.space.repeats, f'{self.space.repeats} times')}"
            if self.space.repeats > 1
            else ""
        )
        found = f"{counted(self.space.n_switches, 'switch', 'switches')}{self._scales} to find"
        return (
            f"Find a path through the {through}{often}: {found}, at most {counted(self.space.max_hops, 'layer')} in all"
        )

    @property
    def _scales(self) -> str:
        words = {
            "one": " without scales",
            "network": f" and the {self.n_scales} numbers of a network that makes the scales",
        }
        return words.get(self.space.scales, f" and {counted(self.n_scales, 'scale')}")

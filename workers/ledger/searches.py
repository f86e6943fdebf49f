"""The searches of live runs, kept between two generations. A cache: what is lost here is replayed from rows, exactly."""

from __future__ import annotations

import os
import platform
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from operator import attrgetter
from typing import Final
from uuid import UUID

from merging.path_genomes import PathSpace
from merging.recipes import Recipe
from merging.search import Axes, Search, searches
from merging.spaces import Genome, Space, population_digest
from webapp.runs.config import RunConfig
from webapp.runs.models import Generation, Run
from workers.reach import Reach

Told = Mapping[int, float]
"""Candidate id -> what the search is told of it."""

N_KEPT: Final = 8


@dataclass(frozen=True)
class Proposal:
    """The next generation, as it will be written. `digest` is of the genomes, exactly; `passed` is how many paths pass each slot."""

    number: int
    genomes: tuple[Genome, ...]
    recipes: tuple[Recipe, ...]
    sigma: float | None
    digest: str
    environment: dict[str, str]
    passed: list[int] | None = None


@dataclass(frozen=True)
class _Warm:
    """A search that asked for generation `number` and has not been told of it."""

    number: int
    search: Search
    space: Space


class Searches:
    """One process's memory. A search is taken out while it is used, so two threads never share one. `reach` knows where files are."""

    def __init__(self, reach: Reach | None = None) -> None:
        self.reach = reach or Reach()
        self._warm: OrderedDict[UUID, _Warm] = OrderedDict()

    def propose(self, run: Run, newest: Generation | None, told: Told) -> Proposal | None:
        """What follows `newest`, whose candidates are `told`; cut to the budget, None when that is spent."""
        n_left = run.budget - run.candidates.filter(kind="evolved").count()
        if n_left <= 0:
            return None
        number = 0 if newest is None else newest.number + 1
        search, space = self._told(run, newest, told)
        genomes = tuple(search.ask(number)[:n_left])
        self._keep(run.pk, _Warm(number, search, space))
        recipes = tuple(space.decode(genome) for genome in genomes)
        passed = n_passed(space, genomes)
        return Proposal(number, genomes, recipes, search.sigma, population_digest(genomes), environment(), passed)

    def _told(self, run: Run, newest: Generation | None, told: Told) -> tuple[Search, Space]:
        """The run's search, told of every generation up to `newest`."""
        warm = self._warm.pop(run.pk, None)
        if warm and newest and told and warm.number == newest.number:
            warm.search.tell(*_columns(newest, told))
            return warm.search, warm.space
        config = RunConfig.from_json(run.config)
        space = config.space(self.reach.folder)
        search = searches.get(config.search).start(space.axes, config.seed, config.population_size)
        past = run.generations.filter(number__lte=newest.number if newest else -1)
        for generation in past.order_by("number").prefetch_related("candidates"):
            search.ask(generation.number)
            known = told if generation == newest and told else _stored(generation)
            if known:
                search.tell(*_columns(generation, known))
        return search, space

    def _keep(self, run_id: UUID, warm: _Warm) -> None:
        self._warm[run_id] = warm
        while len(self._warm) > N_KEPT:
            self._warm.popitem(last=False)


def n_passed(space: Space, genomes: Sequence[Genome]) -> list[int] | None:
    """Of a space of paths: how many of these genomes pass each slot; None for another space."""
    if not isinstance(space, PathSpace):
        return None
    counts = [0] * len(space.slots)
    for genome in genomes:
        for number in space.passed(genome):
            counts[number] += 1
    return counts


def load_libraries() -> None:
    """Import what the searches need, half a second, now and not while somebody waits for a first generation."""
    for kind in searches:
        kind.start(Axes((0.5, 0.5), switches=(0,)), seed=0)


def _stored(generation: Generation) -> Told:
    """What the search was told of a closed generation; nothing when all of it had failed."""
    return {c.pk: c.told for c in generation.candidates.all() if c.told is not None}


def _columns(generation: Generation, told: Told) -> tuple[list[Genome], list[float]]:
    candidates = sorted(generation.candidates.all(), key=attrgetter("index"))
    return [tuple(c.genome or ()) for c in candidates], [told[c.pk] for c in candidates]


def environment() -> dict[str, str]:
    """What bit-reproducibility of a population depends on."""
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "numpy": version("numpy"),
        "cma": version("cma"),
        "cmaes": version("cmaes"),
        "threads": os.environ.get("OMP_NUM_THREADS", ""),
    }

"""The searches of live runs, kept between two generations. A cache: what is lost here is replayed from rows, exactly."""

from __future__ import annotations

import os
import platform
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from operator import attrgetter
from typing import Final
from uuid import UUID

from django.db.models import F, QuerySet

from merging.path_genomes import PathSpace
from merging.recipes import Recipe
from merging.search import Axes, Search, searches
from merging.spaces import Genome, Space, population_digest
from merging.steady import ahead, n_asked
from webapp.runs.config import RunConfig
from webapp.runs.models import Candidate, Generation, Run
from workers.reach import Reach

Told = Mapping[int, float]
"""Candidate id -> what the search is told of it."""

N_KEPT: Final = 8


@dataclass(frozen=True)
class Proposal:
    """The next generation, as it will be written. `digest` is of the genomes, exactly; `passed` is how many paths pass each slot. Those
    from `ahead_from` on are told with the generation after it.
    """

    number: int
    genomes: tuple[Genome, ...]
    recipes: tuple[Recipe, ...]
    sigma: float | None
    digest: str
    environment: dict[str, str]
    passed: list[int] | None = None
    ahead_from: int | None = None


@dataclass(frozen=True)
class _Warm:
    """A search that asked for generation `number` and has not been told of it."""

    number: int
    search: Search
    space: Space
    n_ahead: int


class Searches:
    """One process's memory. A search is taken out while it is used, so two threads never share one. `reach` knows where files are."""

    def __init__(self, reach: Reach | None = None) -> None:
        self.reach = reach or Reach()
        self._warm: OrderedDict[UUID, _Warm] = OrderedDict()

    def propose(self, run: Run, newest: Generation | None, told: Told) -> Proposal | None:
        """What follows `newest`, with which candidates are `told`; cut to the budget, None when that is spent."""
        n_left = run.budget - run.candidates.filter(kind="evolved").count()
        if n_left <= 0:
            return None
        number = 0 if newest is None else newest.number + 1
        known = self._told(run, newest, told)
        search, space = known.search, known.space
        genomes = tuple(search.ask(number, n_asked(search.population_size, known.n_ahead, number))[:n_left])
        self._keep(run.pk, replace(known, number=number))
        recipes = tuple(space.decode(genome) for genome in genomes)
        passed = n_passed(space, genomes)
        ahead_from = len(genomes) - known.n_ahead if known.n_ahead and len(genomes) < n_left else None
        digest = population_digest(genomes)
        return Proposal(number, genomes, recipes, search.sigma, digest, environment(), passed, ahead_from)

    def _told(self, run: Run, newest: Generation | None, told: Told) -> _Warm:
        """The run's search, told of everything up to `newest`."""
        warm = self._warm.pop(run.pk, None)
        if warm and newest and told and warm.number == newest.number:
            warm.search.tell(*_columns(told_with(newest), told))
            return warm
        config = RunConfig.from_json(run.config)
        space = config.space(self.reach.folder)
        search = searches.get(config.search).start(space.axes, config.seed, config.population_size)
        n_ahead = ahead(search.population_size) if config.steady else 0
        past = run.generations.filter(number__lte=newest.number if newest else -1)
        behind: list[Candidate] = []
        for generation in past.order_by("number").prefetch_related("candidates"):
            search.ask(generation.number, n_asked(search.population_size, n_ahead, generation.number))
            members = sorted(generation.candidates.all(), key=attrgetter("index"))
            due, behind = [*behind, *members[: generation.ahead_from]], members[len(members[: generation.ahead_from]) :]
            known = told if generation == newest and told else _stored(due)
            if known:
                search.tell(*_columns(due, known))
        return _Warm(newest.number if newest else -1, search, space, n_ahead)

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


def told_with(generation: Generation) -> QuerySet[Candidate]:
    """Whom the search is told of at once, in order: the last of the generation before, where it left them to this one, then this one's own
    but for those that it leaves to the next.
    """
    last = Candidate.objects.filter(
        generation__run=generation.run_id,
        generation__number=generation.number - 1,
        index__gte=F("generation__ahead_from"),
    )
    own = Candidate.objects.filter(generation=generation)
    if generation.ahead_from is not None:
        own = own.filter(index__lt=generation.ahead_from)
    return (last | own).order_by("generation__number", "index")


def _stored(due: Sequence[Candidate]) -> Told:
    """What the search was told of these; nothing when all of them had failed."""
    return {c.pk: c.told for c in due if c.told is not None}


def _columns(due: Iterable[Candidate], told: Told) -> tuple[list[Genome], list[float]]:
    candidates = list(due)
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

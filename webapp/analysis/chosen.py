"""What somebody has chosen to compare: up to six candidates or parents, or up to six runs, as the address names them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final
from uuid import UUID

from django.contrib.auth.models import User

from merging.recipes import Recipe
from webapp.addresses import number
from webapp.runs.config import RunConfig
from webapp.runs.models import Candidate, Run
from webapp.sharing.access import runs_of

MOST: Final = 6
LETTERS: Final = "ABCDEF"


@dataclass(frozen=True)
class Side:
    """One of those that are compared. `letter` stands for it in pictures, `sign` is its colour, from 1."""

    number: int
    candidate: Candidate
    config: RunConfig

    @property
    def letter(self) -> str:
        return LETTERS[self.number]

    @property
    def sign(self) -> int:
        return self.number + 1

    @property
    def name(self) -> str:
        return self.candidate.name

    @property
    def run(self) -> Run:
        return self.candidate.run

    @cached_property
    def recipe(self) -> Recipe:
        return Recipe.from_json(self.candidate.recipe)


@dataclass(frozen=True)
class Chosen:
    """Of what was asked for, in that order: what this person may see, how many they may not, and how many are too many."""

    sides: list[Side]
    runs: list[Run]
    n_missing: int
    n_too_many: int


def chosen(user: User, candidates: Iterable[str], runs: Iterable[str]) -> Chosen:
    """What an address names. Whoever may not see one learns only that it is not there."""
    numbers, ids = _numbers(candidates), _uuids(runs)
    visible = runs_of(user)
    found = {
        candidate.pk: candidate
        for candidate in Candidate.objects.filter(pk__in=numbers[:MOST], run__in=visible)
        .exclude(kind="probe")
        .select_related("run", "generation")
    }
    configs = {candidate.run_id: RunConfig.from_json(candidate.run.config) for candidate in found.values()}
    there = [found[number] for number in numbers[:MOST] if number in found]
    sides = [Side(i, candidate, configs[candidate.run_id]) for i, candidate in enumerate(there)]
    of_runs = {run.pk: run for run in visible.filter(pk__in=ids[:MOST]).select_related("winner", "owner")}
    seen = [of_runs[pk] for pk in ids[:MOST] if pk in of_runs]
    return Chosen(
        sides=sides,
        runs=seen,
        n_missing=min(len(numbers), MOST) + min(len(ids), MOST) - len(sides) - len(seen),
        n_too_many=max(0, len(numbers) - MOST) + max(0, len(ids) - MOST),
    )


def address_of(sides: Sequence[Side], runs: Sequence[Run] = ()) -> list[tuple[str, str]]:
    """The words of an address that names these, in this order."""
    return [*(("c", str(side.candidate.pk)) for side in sides), *(("run", str(run.pk)) for run in runs)]


def _numbers(words: Iterable[str]) -> list[int]:
    """Each once; what is no number at all counts as one that nobody has."""
    return list(dict.fromkeys(number(word) or 0 for word in words))


def _uuids(words: Iterable[str]) -> list[UUID]:
    return list(dict.fromkeys(_uuid(word) for word in words))


def _uuid(word: str) -> UUID:
    try:
        return UUID(word)
    except ValueError:
        return UUID(int=0)

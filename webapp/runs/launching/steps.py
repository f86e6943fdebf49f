"""The steps from an intention to a launch, and to which of them each field of the form belongs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, get_args

Name = Literal["goal", "parents", "benchmarks", "search", "review"]
State = Literal["open", "done", "wrong", "next"]
NAMES: Final[tuple[Name, ...]] = get_args(Name)
OF_GOAL: Final = ("name", "space")
OF_PARENTS: Final = ("parents", "base", "tokenizer", "model_a", "model_b")
OF_BENCHMARKS: Final = ("benchmarks", "override", "n_finalists")
OF_A_BENCHMARK: Final = ("weight", "n_search", "n_validation", "n_final")
"""Followed by the number of the benchmark's row."""


@dataclass(frozen=True)
class Step:
    """A step, and how many things in it stand in the way. It is `open` as long as nobody looked, and `next` is the review when nothing
    stands in the way.
    """

    name: Name
    n_problems: int
    state: State

    @property
    def title(self) -> str:
        return self.name.capitalize()


def step_of(field: str) -> Name:
    """Where a field is chosen; what belongs to no field is seen in the review."""
    if not field:
        return "review"
    if field in OF_GOAL:
        return "goal"
    if field in OF_PARENTS:
        return "parents"
    if field in OF_BENCHMARKS or field.rpartition("-")[0] in OF_A_BENCHMARK:
        return "benchmarks"
    return "search"


UNSEEN: Final = [Step(name, 0, "open") for name in NAMES]


def steps(problems: Iterable[str]) -> list[Step]:
    """All steps, for the fields that have problems: one name for each problem."""
    wrong = [step_of(field) for field in problems]
    return [Step(name, wrong.count(name), _state(name, wrong)) for name in NAMES]


def _state(name: Name, wrong: list[Name]) -> State:
    if name in wrong:
        return "wrong"
    if name == "review":
        return "open" if wrong else "next"
    return "done"

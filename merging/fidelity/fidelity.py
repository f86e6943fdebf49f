"""What a fidelity is: how much of the search split a candidate is asked, and what the search is told of the rest.

For each generation a fidelity makes one `Plan` from stored rows alone. Workers ask by the plan, block by block, until it
says stop, and the plan turns the answers into estimates. Knows no models, no benchmarks, no rows.

Several benchmarks are one `Pool`: their search samples one after the other, so that one plan serves them all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import accumulate
from statistics import NormalDist
from typing import TYPE_CHECKING, ClassVar, Final, Literal, Protocol

import numpy as np

from merging import plain
from merging.errors import EvaluationError
from merging.fitness import SHAPING
from merging.statistics import score_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

Positions = tuple[int, ...]
"""Of samples in the pool, in the order in which they are asked."""
Column = Literal["score", "right", "in_language"]
COLUMNS: Final[tuple[Column, ...]] = ("score", "right", "in_language")


@dataclass(frozen=True)
class Part:
    """One benchmark's share of the pool: `n` search samples, and its weight in the fitness, above 0."""

    n: int
    weight: float = 1.0


@dataclass(frozen=True)
class Pool:
    """All samples that a candidate is asked in full: the first n of every benchmark's search split, one after the other."""

    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        if not self.parts or any(part.n < 1 or not 0 < part.weight < math.inf for part in self.parts):
            raise EvaluationError(
                f"the pool is {self.parts}; expected at least one part, each with samples and a weight above 0"
            )

    @cached_property
    def n(self) -> int:
        return sum(part.n for part in self.parts)

    @cached_property
    def ranges(self) -> tuple[range, ...]:
        """The positions of every part."""
        ends = list(accumulate(part.n for part in self.parts))
        return tuple(range(end - part.n, end) for part, end in zip(self.parts, ends, strict=True))

    @cached_property
    def shares(self) -> tuple[float, ...]:
        """The parts' weights, scaled to the sum 1."""
        total = sum(part.weight for part in self.parts)
        return tuple(part.weight / total for part in self.parts)

    def by_part(self, positions: Positions) -> tuple[Positions, ...]:
        """The positions of a block, told apart: those of each benchmark, counted from 0 in its own search split."""
        return tuple(tuple(p - found.start for p in positions if p in found) for found in self.ranges)

    def to_json(self) -> list[list[float]]:
        return [[part.n, part.weight] for part in self.parts]

    @staticmethod
    def from_json(value: object) -> Pool:
        return Pool(plain.items(value, "the pool", EvaluationError, _part))


@dataclass(frozen=True)
class Answers:
    """What came of the samples that one model was asked: a number from 0 to 1 for each, in every column.

    `positions` are those of the pool, each once. `in_language` is None for a sample without a language gate.
    """

    positions: Positions = ()
    score: tuple[float, ...] = ()
    right: tuple[float, ...] = ()
    in_language: tuple[float | None, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.positions) == len(set(self.positions)) == len(self.score) == len(self.right):
            raise EvaluationError(
                f"answers at {plain.show(self.positions)} do not have one of each column for each sample"
            )
        if len(self.in_language) != len(self.positions):
            raise EvaluationError(
                f"{len(self.in_language)} languages of {len(self.positions)} answers; expected as many"
            )

    def __add__(self, other: Answers) -> Answers:
        return Answers(
            self.positions + other.positions,
            self.score + other.score,
            self.right + other.right,
            self.in_language + other.in_language,
        )

    def __len__(self) -> int:
        return len(self.positions)

    @cached_property
    def columns(self) -> NDArray[np.float64]:
        """[columns, asked]; NaN where there is no language gate."""
        languages = [math.nan if value is None else value for value in self.in_language]
        return np.array([self.score, self.right, languages], dtype=np.float64)

    def over(self, n: int) -> NDArray[np.float64]:
        """[columns, n], NaN where nothing was asked."""
        found = np.full((len(COLUMNS), n), np.nan)
        found[:, list(self.positions)] = self.columns
        return found

    def at(self, positions: Positions) -> Answers:
        """The answers at these positions, in their order; EvaluationError where nothing was asked."""
        rows = dict(zip(self.positions, zip(self.score, self.right, self.in_language, strict=True), strict=True))
        if missing := [position for position in positions if position not in rows]:
            raise EvaluationError(f"no answers at {plain.show(missing)}; there are {len(self)} at other positions")
        if not positions:
            return Answers()
        score, right, languages = zip(*(rows[position] for position in positions), strict=True)
        return Answers(positions, score, right, languages)

    def to_json(self) -> dict[str, object]:
        return {name: list(values) for name, values in asdict(self).items()}

    @staticmethod
    def from_json(value: object) -> Answers:
        found = plain.fields(value, tuple(Answers.__dataclass_fields__), "the answers", EvaluationError)
        return Answers(
            integers(found["positions"], "positions"),
            reals(found["score"], "score"),
            reals(found["right"], "right"),
            plain.items(
                found["in_language"],
                "in_language",
                EvaluationError,
                lambda v, what: plain.optional_real(v, what, EvaluationError),
            ),
        )


@dataclass(frozen=True)
class Scored:
    """A candidate of a closed generation: what it answered, and the fitness that the search was told."""

    answers: Answers
    fitness: float


@dataclass(frozen=True)
class History:
    """What a plan may be made from. Never anything of the generation that it is for: candidates finish in any order.

    `generations` are closed, the latest last, at least the last `looks_back` of them; their candidates in index order,
    without those that failed. `parents` are asked in full before the first generation; there may be none.
    """

    parents: tuple[Answers, ...] = ()
    generations: tuple[tuple[Scored, ...], ...] = ()

    def last(self, n: int) -> History:
        return History(self.parents, self.generations[max(0, len(self.generations) - n) :])


@dataclass(frozen=True)
class Estimate:
    """What the search is told of one benchmark: means over the whole pool's part, asked or estimated.

    `low` and `high` bound the mean score with 95 % confidence; they are those of the `n` samples that were asked, so an
    estimate never looks surer than its samples. `is_estimate` is False exactly when all samples were asked.
    """

    n: int
    mean: float
    low: float
    high: float
    right: float
    in_language: float | None
    is_estimate: bool

    @property
    def fitness(self) -> float:
        """As `merging.fitness.fitness` of an evaluation with these means."""
        shaping = 0.0 if self.in_language is None else SHAPING * min(self.right, self.in_language)
        return self.mean + shaping


class Judge(Protocol):
    """The part of a plan that differs from fidelity to fidelity: when it stops, and what it makes of answers.

    Pure functions of their arguments. `KIND` is the name in JSON.
    """

    KIND: ClassVar[str]

    def stops(self, answers: Answers, pool: Pool) -> bool:
        """Whether no more of the plan's blocks need to be asked; called after every block, never after the last one."""
        ...

    def estimate(self, answers: Answers, pool: Pool) -> tuple[Estimate, ...]:
        """One for each part of the pool. Called only when something is left unasked."""
        ...

    def to_json(self) -> dict[str, object]: ...


@dataclass(frozen=True)
class Plan:
    """What every candidate of one generation is asked: the same samples in the same order, up to where it stops.

    Stored with the generation: what needs linear algebra is computed once, so all workers go by the same numbers.
    """

    fidelity: str
    pool: Pool
    blocks: tuple[Positions, ...]
    judge: Judge

    def __post_init__(self) -> None:
        asked = [position for block in self.blocks for position in block]
        if not asked or len(set(asked)) != len(asked) or not all(0 <= position < self.pool.n for position in asked):
            raise EvaluationError(f"a plan asks {plain.show(asked)}; expected positions below {self.pool.n}, each once")

    @property
    def n_asked(self) -> int:
        """Samples at most."""
        return sum(map(len, self.blocks))

    def stops(self, answers: Answers) -> bool:
        """Whether a candidate with these answers, whole blocks in the plan's order, is asked no more.

        Never before every benchmark was asked something.
        """
        if len(answers) >= self.n_asked:
            return True
        return all(self.pool.by_part(answers.positions)) and self.judge.stops(answers, self.pool)

    def estimate(self, answers: Answers) -> tuple[Estimate, ...]:
        """One for each benchmark of the pool, in its order. EvaluationError for one that was asked nothing."""
        if not all(self.pool.by_part(answers.positions)):
            raise EvaluationError("a candidate that was asked nothing of a benchmark has no estimate")
        if len(answers) == self.pool.n:
            return exact(answers, self.pool)
        return self.judge.estimate(answers, self.pool)

    def to_json(self) -> dict[str, object]:
        """Plain JSON types; `merging.fidelity.plan_from_json` is the opposite."""
        return {
            "fidelity": self.fidelity,
            "pool": self.pool.to_json(),
            "blocks": [list(block) for block in self.blocks],
            "judge": {"kind": self.judge.KIND, **self.judge.to_json()},
        }


@dataclass(frozen=True)
class Setting:
    """One number that a fidelity can be told, from `low` to `high`."""

    name: str
    low: float
    high: float
    default: float
    help: str
    is_whole: bool = False

    def check(self, value: object) -> float:
        """The value, or an EvaluationError that says what is expected."""
        found = plain.real(value, self.name, EvaluationError)
        if not self.low <= found <= self.high or (self.is_whole and found != int(found)):
            number = "a whole number" if self.is_whole else "a number"
            raise EvaluationError(f"{self.name} is {found:g}; expected {number} from {self.low:g} to {self.high:g}")
        return found


Settings = Mapping[str, float]


class MakePlan(Protocol):
    """The plan of a generation: a pure function of rows, the run's seed and the generation's number."""

    def __call__(
        self, pool: Pool, history: History, settings: Settings, rng: np.random.Generator, generation: int
    ) -> Plan: ...


@dataclass(frozen=True)
class Fidelity:
    """A way of asking less. `source` is a citation with its address, empty where there is nothing to cite.

    `looks_back` is how many closed generations a plan reads at most; `needs_parents` whether it reads parents' answers.
    `wins_by_validation`: the winner is the best on the validation split among the best of every generation.
    """

    name: str
    title: str
    summary: str
    source: str
    settings: tuple[Setting, ...]
    looks_back: int
    needs_parents: bool
    make: MakePlan
    wins_by_validation: bool = False

    def checked(self, settings: Mapping[str, object]) -> dict[str, float]:
        """Every setting, defaults where none is given; EvaluationError for unknown names and values out of range."""
        known = {setting.name: setting for setting in self.settings}
        unknown = sorted(set(settings) - set(known))
        if unknown:
            raise EvaluationError(
                f"{self.title} has no setting {', '.join(unknown)}; it has {', '.join(known) or 'none'}"
            )
        return {name: setting.check(settings.get(name, setting.default)) for name, setting in known.items()}

    def plan(self, pool: Pool, history: History, settings: Mapping[str, object], seed: int, generation: int) -> Plan:
        """The plan of a generation, the same for the same rows. Older generations than `looks_back` change nothing."""
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, generation, *self.name.encode()])))
        return self.make(pool, history.last(self.looks_back), self.checked(settings), rng, generation)


def ask_by(plan: Plan, ask: Callable[[Positions], Answers]) -> Answers:
    """The worker's loop: blocks until the plan stops. `ask` answers the samples at these positions, in their order."""
    answers = Answers()
    for block in plan.blocks:
        found = ask(block)
        if found.positions != block:
            raise EvaluationError(f"asked samples {plain.show(block)}; answered were {plain.show(found.positions)}")
        answers += found
        if plan.stops(answers):
            break
    return answers


def exact(answers: Answers, pool: Pool) -> tuple[Estimate, ...]:
    """What is known when all was asked."""
    values = answers.over(pool.n)
    return tuple(_estimate(values[:, list(found)].mean(axis=1), len(found), len(found), False) for found in pool.ranges)


def guessed(
    means: Sequence[float] | NDArray[np.float64], n: int, centre: float, n_effective: float, looks: int = 1
) -> Estimate:
    """An estimate with these means (score, right, in language) of which n samples were asked.

    The interval is Wilson's around `centre`, the mean score of what was asked, with the number of plain samples that
    it is worth; it is stretched to hold the estimate, so it stands whether or not a model behind the estimate is right.
    With `looks` > 1, times at which asking could have ended, it is widened by Bonferroni's correction.
    """
    low, high = interval(min(1.0, max(0.0, centre)), n_effective, looks)
    found = _estimate(means, n, n, True)
    return replace(found, low=min(low, found.mean), high=max(high, found.mean))


def interval(mean: float, n: float, looks: int = 1) -> tuple[float, float]:
    """Wilson's 95 % interval for a mean of n numbers from 0 to 1: exact in form for 0 and 1, wide for what lies between.

    `n` may be an effective number, so not a whole one.
    """
    found = score_interval(mean, n, NormalDist().inv_cdf(1 - 0.025 / looks))
    return max(0.0, min(mean, found.low)), min(1.0, max(mean, found.high))


def integers(value: object, what: str) -> tuple[int, ...]:
    return plain.items(value, what, EvaluationError, lambda item, name: plain.integer(item, name, EvaluationError))


def reals(value: object, what: str) -> tuple[float, ...]:
    return plain.items(value, what, EvaluationError, lambda item, name: plain.real(item, name, EvaluationError))


def _estimate(means: Sequence[float] | NDArray[np.float64], n: int, n_for_interval: int, is_estimate: bool) -> Estimate:
    score, right, language = (min(1.0, max(0.0, float(mean))) for mean in means)
    low, high = interval(score, n_for_interval)
    no_gate = math.isnan(float(means[2]))
    return Estimate(n, score, low, high, right, None if no_gate else language, is_estimate)


def _part(value: object, what: str) -> Part:
    n, weight = plain.items(value, what, EvaluationError, lambda item, name: plain.real(item, name, EvaluationError))
    return Part(int(n), weight)

"""Is it still improving? How much better the best became in the last generations, told against its interval, and how far the search still
looks around. Reads rows; computes the geometry of small pictures, which the template draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from webapp.runs import listing
from webapp.runs.listing import Difference
from webapp.runs.live import spreads
from webapp.runs.models import Evaluation, Run

LOOKED_BACK: Final = 5
"""Generations: what a search of a few dozen has at least some of, and more than luck needs."""
NARROW: Final = 0.25
"""Of the step size at the start."""
WIDTH, HEIGHT, MARGIN = 240.0, 48.0, 3.0  # of a picture, in its own units

Verdict = Literal["unknown", "early", "yes", "perhaps", "no"]


@dataclass(frozen=True)
class Line:
    """A series over generations as an SVG path, with its first and its newest value; `end_x`, `end_y` is where it ends."""

    path: str
    end_x: float
    end_y: float
    first: float
    last: float


@dataclass(frozen=True)
class Gauge:
    """The answer. `gain` is that of the best over the best of `LOOKED_BACK` generations before; `since` counts the generations after the
    one that has the best. `best` steps up; `since_x` is where the generations begin that the gain is of. `sigma` is the search's step size,
    `diversity` how far the genomes of a generation are apart: the root mean square of their genes' standard deviations.
    """

    verdict: Verdict
    n_generations: int
    since: int
    gain: Difference | None
    best: Line | None
    since_x: float
    sigma: Line | None
    diversity: Line | None

    @property
    def looked_back(self) -> int:
        return LOOKED_BACK

    @property
    def looked_back_width(self) -> float:
        return WIDTH - MARGIN - self.since_x

    @property
    def sigma_share(self) -> float | None:
        """The newest step size as a share of the first."""
        return self.sigma.last / self.sigma.first if self.sigma and self.sigma.first > 0 else None

    @property
    def is_narrow(self) -> bool:
        """Whether the search hardly moves any more."""
        return self.sigma_share is not None and self.sigma_share < NARROW


def gauge(run: Run) -> Gauge:
    """The gauge of a run as its rows stand: two queries, and one for the genomes that no page has asked for before."""
    bests = _bests(run)
    leading = _leading(bests)
    since = len(bests) - 1 - max((i for i, best in enumerate(leading) if i == 0 or best != leading[i - 1]), default=0)
    gain = _gain(leading)
    generations = spreads.shown(run)
    spread = spreads.spreads(generations)
    return Gauge(
        verdict=_verdict(len(bests), since, gain),
        n_generations=len(bests),
        since=since,
        gain=gain,
        best=line([best.mean or 0.0 for best in leading], steps=True),
        since_x=_x(max(0, len(bests) - 1 - LOOKED_BACK), len(bests)),
        sigma=line([generation.sigma for generation in generations if generation.sigma is not None]),
        diversity=line([found.diversity for generation in generations if (found := spread.get(generation.pk))]),
    )


def line(values: Sequence[float], steps: bool = False) -> Line | None:
    """A line through values at even distances, from the least to the greatest; None for fewer than two."""
    if len(values) < 2:
        return None
    low, high = min(values), max(values)
    xs = [_x(i, len(values)) for i in range(len(values))]
    ys = [_y(value, low, high) for value in values]
    between = [f"H{x:g}V{y:g}" if steps else f"L{x:g} {y:g}" for x, y in zip(xs[1:], ys[1:], strict=True)]
    return Line("".join([f"M{xs[0]:g} {ys[0]:g}", *between]), xs[-1], ys[-1], values[0], values[-1])


def _bests(run: Run) -> list[Evaluation]:
    """The best of every generation that has a score, in order: by what the search maximises, answers that can be trusted first."""
    scored = Evaluation.objects.filter(run=run, split="search", status="done", candidate__kind="evolved")
    best = scored.order_by("candidate__generation__number", "-is_healthy", "-fitness", "candidate__index")
    fields = ("mean", "low", "high", "fitness", "is_healthy")
    return list(best.distinct("candidate__generation__number").only(*fields))


def _leading(bests: Sequence[Evaluation]) -> list[Evaluation]:
    """The best so far at the end of every generation."""
    found: list[Evaluation] = []
    for best in bests:
        found.append(max([*found[-1:], best], key=lambda one: (one.is_healthy, one.fitness or 0.0)))
    return found


def _gain(leading: Sequence[Evaluation]) -> Difference | None:
    return listing.difference(leading[-1], leading[-1 - LOOKED_BACK]) if len(leading) > LOOKED_BACK else None


def _verdict(n: int, since: int, gain: Difference | None) -> Verdict:
    if gain is None:
        return "early" if n else "unknown"
    if since >= LOOKED_BACK:
        return "no"
    return "yes" if gain.low > 0 else "perhaps"


def _x(i: int, n: int) -> float:
    return round(MARGIN + (WIDTH - 2 * MARGIN) * (i / (n - 1) if n > 1 else 0.0), 1)


def _y(value: float, low: float, high: float) -> float:
    share = (value - low) / (high - low) if high > low else 0.5
    return round(HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * share, 1)

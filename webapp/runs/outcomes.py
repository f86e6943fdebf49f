"""Sample by sample: how outcomes are stored, what each sample scored, and how two candidates differ on the same ones.

Outcomes of a done evaluation never change, so what was read once is kept.
"""

from __future__ import annotations

import json
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from statistics import fmean
from typing import Any, Final

from merging.objectives import shares
from merging.outcomes import RIGHT_FROM, SampleOutcome
from merging.statistics import correlation, mcnemar, paired_p
from webapp.runs.kept import keep
from webapp.runs.models import Outcomes

KEPT: Final = 1000
COMPARED: Final = 512
"""Pairs whose comparison is kept: some leaderboards. A bootstrap takes milliseconds, and a live page asks every second."""
COLUMNS: Final = tuple(field.name for field in fields(SampleOutcome) if field.name != "score")


@dataclass(frozen=True, eq=False)
class Marks:
    """What each sample of one benchmark scored, in [0, 1], by its place in the split. Equal to itself alone: comparisons are kept so."""

    scores: Mapping[int, float]

    @property
    def is_binary(self) -> bool:
        return all(score in (0.0, 1.0) for score in self.scores.values())


Card = tuple[Marks, ...]
"""The marks of one evaluation, in the order of its run's objectives."""

_kept: dict[int, Card] = {}


@dataclass(frozen=True)
class Comparison:
    """One evaluation against another on the `n` samples that both were asked, all benchmarks together. `difference` is that of their
    means over these, by the benchmarks' weights; of benchmarks without such samples nothing is known, and they do not count. `p` is of
    McNemar's exact test where every score is 0 or 1 and there is one benchmark, else of a paired bootstrap of the difference.
    """

    gained: int
    lost: int
    p: float
    n: int
    difference: float
    is_exact: bool = True

    @property
    def is_clear(self) -> bool:
        """The difference is unlikely to be luck: p < 0.05."""
        return self.p < 0.05

    @property
    def p_words(self) -> str:
        """`p < 0.001`, `p = 0.034`."""
        return "p < 0.001" if self.p < 0.001 else f"p = {self.p:.3f}"


def is_right(score: float) -> bool:
    """Whether this sample counts: with a language gate, the right answer in the wrong language does not."""
    return score >= RIGHT_FROM


def packed(samples: Sequence[Mapping[str, Any]], positions: Sequence[int] | None = None) -> dict[str, Any]:
    """The columns of an `Outcomes` row for outcomes as JSON."""
    columns = {name: [sample[name] for sample in samples] for name in COLUMNS}
    text = json.dumps(columns, ensure_ascii=False, separators=(",", ":"))
    return {
        "positions": None if positions is None else list(positions),
        "scores": [sample["score"] for sample in samples],
        "rest": zlib.compress(text.encode()),
    }


def unpacked(row: Outcomes) -> list[SampleOutcome]:
    """The outcomes of a row, in the order of the split."""
    columns = json.loads(zlib.decompress(row.rest)) | {"score": row.scores}
    names = list(columns)
    return [SampleOutcome(**dict(zip(names, values, strict=True))) for values in zip(*columns.values(), strict=True)]


def places(row: Outcomes) -> Sequence[int]:
    """Where in the split each outcome of a row stands."""
    return range(len(row.scores)) if row.positions is None else row.positions


def cards(evaluation_ids: Iterable[int]) -> dict[int, Card]:
    """Per done evaluation: its marks. One query for those that were not read before."""
    wanted = list(evaluation_ids)
    known = {pk: found for pk in wanted if (found := _kept.get(pk)) is not None}
    if len(known) == len(wanted):
        return known
    read = _read([pk for pk in wanted if pk not in known])
    keep(_kept, read, KEPT)
    return known | read


@lru_cache(maxsize=COMPARED)
def compare(first: Card, second: Card, weights: tuple[float, ...]) -> Comparison:
    """How `first` differs from `second` on the samples that both were asked; `weights` are those of the run's objectives."""
    pairs = [_common(mine, other) for mine, other in zip(first, second, strict=True)]
    gained = sum(a > b for pair in pairs for a, b in pair)
    lost = sum(a < b for pair in pairs for a, b in pair)
    n, difference = sum(map(len, pairs)), _difference(pairs, weights)
    if len(pairs) == 1 and first[0].is_binary and second[0].is_binary:
        return Comparison(gained, lost, mcnemar(gained, lost), n, difference)
    mine, other = _pooled(pairs, weights)
    p = paired_p(mine, other) if gained or lost else 1.0
    return Comparison(gained, lost, p, n, difference, is_exact=False)


def correlated(first: Card, second: Card, weights: tuple[float, ...]) -> float:
    """How far two evaluations agree on the samples that both were asked: `merging.statistics.correlation`, 0 without such samples."""
    mine, other = _pooled([_common(a, b) for a, b in zip(first, second, strict=True)], weights)
    return correlation(mine, other) if mine else 0.0


def _difference(pairs: Sequence[Sequence[tuple[float, float]]], weights: Sequence[float]) -> float:
    known = [(weight, fmean(a - b for a, b in pair)) for weight, pair in zip(weights, pairs, strict=True) if pair]
    total = sum(weight for weight, _ in known)
    return sum(weight * mean for weight, mean in known) / total if known else 0.0


def _common(first: Marks, second: Marks) -> list[tuple[float, float]]:
    return [(score, second.scores[place]) for place, score in first.scores.items() if place in second.scores]


def _pooled(
    pairs: Sequence[Sequence[tuple[float, float]]], weights: Sequence[float]
) -> tuple[list[float], list[float]]:
    """Samples of all benchmarks together, scaled so that the plain mean of each column is the weighted mean of its benchmarks."""
    n = sum(map(len, pairs))
    scales = [share * n / len(pair) if pair else 0.0 for share, pair in zip(shares(weights), pairs, strict=True)]
    scaled = [(scale * a, scale * b) for scale, pair in zip(scales, pairs, strict=True) for a, b in pair]
    return [a for a, _ in scaled], [b for _, b in scaled]


def _read(evaluation_ids: list[int]) -> dict[int, Card]:
    rows = Outcomes.objects.filter(score__evaluation__in=evaluation_ids).order_by("score__evaluation", "score__index")
    found: defaultdict[int, list[Marks]] = defaultdict(list)
    for pk, scores, positions in rows.values_list("score__evaluation", "scores", "positions"):
        found[pk].append(
            Marks(dict(enumerate(scores)) if positions is None else dict(zip(positions, scores, strict=True)))
        )
    return {pk: tuple(card) for pk, card in found.items()}

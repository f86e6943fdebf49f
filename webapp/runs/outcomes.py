"""Sample by sample: which ones a candidate got right, and how two candidates differ on the same ones.

A sample counts as right when its score is full: with a language gate, the right answer in the wrong language is wrong. Outcomes of a done
evaluation never change, so what was read once is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import F, Func, JSONField, Value

from merging.statistics import PairedTest, paired_test
from webapp.runs.models import Outcomes

FULL_SCORE: Final = 1.0
KEPT: Final = 1000
Flags = tuple[bool, ...]

_kept: dict[int, Flags] = {}


@dataclass(frozen=True)
class Comparison:
    """One evaluation against another on the same samples; `p` is of McNemar's exact test."""

    gained: int
    lost: int
    p: float

    @property
    def is_clear(self) -> bool:
        """The difference is unlikely to be luck: p < 0.05."""
        return self.p < 0.05

    @property
    def p_words(self) -> str:
        """`p < 0.001`, `p = 0.034`."""
        return "p < 0.001" if self.p < 0.001 else f"p = {self.p:.3f}"


def is_right(outcome: dict[str, Any]) -> bool:
    """Whether this sample counts."""
    return float(outcome["score"]) >= FULL_SCORE


def flags(evaluation_ids: Iterable[int]) -> dict[int, Flags]:
    """Per evaluation, in the order of the split: which samples are right. One query for those that were not read before."""
    wanted = list(evaluation_ids)
    known = {pk: found for pk in wanted if (found := _kept.get(pk)) is not None}
    if len(known) == len(wanted):
        return known
    read = _read([pk for pk in wanted if pk not in known])
    _keep(read)
    return known | read


def compare(first: Flags, second: Flags) -> Comparison:
    """How `first` differs from `second`."""
    test: PairedTest = paired_test(first, second)
    return Comparison(test.only_first, test.only_second, test.p)


def _read(evaluation_ids: list[int]) -> dict[int, Flags]:
    scores = Func(F("samples"), Value("$[*].score"), function="jsonb_path_query_array", output_field=JSONField())
    rows = Outcomes.objects.filter(pk__in=evaluation_ids).values_list("pk", scores)
    return {pk: tuple(score >= FULL_SCORE for score in found) for pk, found in rows}


def _keep(found: dict[int, Flags]) -> None:
    _kept.update(found)
    for pk in list(_kept)[: max(0, len(_kept) - KEPT)]:
        _kept.pop(pk, None)

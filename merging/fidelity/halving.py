"""Rungs of 1/8, 1/4, 1/2 and all samples: a candidate climbs on while it is at least level with its reference.

Successive halving without barriers: the usual form waits for all candidates of a rung and keeps the better half of
them, so what one is asked depends on when the others finish. Here the bar is set by closed generations, as in racing: what
about half of the last generation would pass. Cheaper than racing, and without its bound: a good candidate with bad
luck on the first rung is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from merging import plain
from merging.errors import EvaluationError
from merging.fidelity.fidelity import Answers, Estimate, Fidelity, History, Plan, Pool, Settings
from merging.fidelity.full import in_full
from merging.fidelity.racing import LOOKS_BACK, against, cut, gains, reference_of

RUNGS: Final = (1 / 8, 1 / 4, 1 / 2)


@dataclass(frozen=True)
class Climb:
    """See `Judge`. `reference` is the candidate to keep level with, asked in full."""

    reference: Answers
    KIND: ClassVar[str] = "climb"

    def stops(self, answers: Answers, pool: Pool) -> bool:
        d, _ = gains(answers, self.reference, pool)
        return float(d.sum()) < 0

    def estimate(self, answers: Answers, pool: Pool) -> tuple[Estimate, ...]:
        return against(self.reference, answers, pool, len(RUNGS) + 1)

    def to_json(self) -> dict[str, object]:
        return {"reference": self.reference.to_json()}

    @staticmethod
    def from_json(value: Mapping[str, object]) -> Climb:
        """The opposite of `to_json`."""
        found = plain.fields(value, ("kind", "reference"), "the judge", EvaluationError)
        return Climb(Answers.from_json(found["reference"]))


def make(pool: Pool, history: History, settings: Settings, rng: np.random.Generator, generation: int) -> Plan:
    reference = reference_of(history, pool, share=0.5)
    if reference is None:
        return in_full(pool, FIDELITY.name)
    ends = sorted({round(rung * pool.n) for rung in RUNGS} - {0, pool.n})
    return Plan(FIDELITY.name, pool, cut(rng.permutation(pool.n).tolist(), ends), Climb(reference))


JUDGES = (Climb,)
FIDELITY = Fidelity(
    name="halving",
    title="Successive halving",
    summary="A candidate answers an eighth of the samples, then a quarter, half and all, while it keeps level with the middle of the "
    "generation before. The first generation answers everything.",
    source="After Jamieson and Talwalkar, Non-stochastic best arm identification, 2016, https://arxiv.org/abs/1502.07943",
    settings=(),
    looks_back=LOOKS_BACK,
    needs_parents=False,
    make=make,
)

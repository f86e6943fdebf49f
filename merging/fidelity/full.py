"""Everything is asked: what a run does unless it is told otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from merging.fidelity.fidelity import Answers, Estimate, Fidelity, History, Plan, Pool, Settings, exact


@dataclass(frozen=True)
class Everything:
    """See `Judge`. Never stops and never guesses."""

    KIND: ClassVar[str] = "everything"

    def stops(self, answers: Answers, pool: Pool) -> bool:
        return False

    def estimate(self, answers: Answers, pool: Pool) -> tuple[Estimate, ...]:
        return exact(answers, pool)

    def to_json(self) -> dict[str, object]:
        return {}

    @staticmethod
    def from_json(value: Mapping[str, object]) -> Everything:
        return Everything()


def in_full(pool: Pool, fidelity: str) -> Plan:
    """One block of all samples: also what other fidelities ask while they have nothing to go by."""
    return Plan(fidelity, pool, (tuple(range(pool.n)),), Everything())


def make(pool: Pool, history: History, settings: Settings, rng: np.random.Generator, generation: int) -> Plan:
    return in_full(pool, FIDELITY.name)


JUDGES = (Everything,)
FIDELITY = Fidelity(
    name="full",
    title="All samples",
    summary="Every candidate answers every search sample. Nothing is estimated.",
    source="",
    settings=(),
    looks_back=0,
    needs_parents=False,
    make=make,
)

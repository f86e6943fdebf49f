"""Batches: every generation answers some hundred samples of its own, and the winner is the best on validation.

Scores of two generations are of different samples, so the highest of a run is partly the luckiest batch. That is why the
best of each generation is scored on the validation split, all on the same samples, and the best there wins. 200 samples
an evaluation, and keeping the best on validation, are the paper's; it does not say how its 200 were chosen.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from merging.fidelity.fidelity import Fidelity, History, Plan, Pool, Setting, Settings
from merging.fidelity.subset import of_some

SAMPLES: Final = Setting(
    "samples",
    5,
    10_000,
    200,
    "Search samples for each generation, over all benchmarks; all of them where there are no more.",
    is_whole=True,
)


def make(pool: Pool, history: History, settings: Settings, rng: np.random.Generator, generation: int) -> Plan:
    return of_some(FIDELITY.name, pool, int(settings["samples"]), rng)


FIDELITY = Fidelity(
    name="batch",
    title="Batches, winner by validation",
    summary="Every generation answers a batch of its own, the same for all its candidates. The best of each is scored on the validation "
    "questions, and the best there wins.",
    source="Akiba et al., Evolutionary Optimization of Model Merging Recipes, 2025, https://arxiv.org/abs/2403.13187",
    settings=(SAMPLES,),
    looks_back=0,
    needs_parents=False,
    make=make,
    wins_by_validation=True,
)

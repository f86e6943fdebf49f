"""Between the mean of a random subset and mp-IRT: the mean cannot be led astray by a model, mp-IRT is less noisy."""

from __future__ import annotations

import numpy as np

from merging.fidelity.fidelity import Fidelity, History, Plan, Pool, Setting, Settings
from merging.fidelity.mp_irt import LOOKS_BACK, planned
from merging.fidelity.subset import SAMPLES


def make(pool: Pool, history: History, settings: Settings, rng: np.random.Generator, generation: int) -> Plan:
    return planned(FIDELITY.name, pool, history, int(settings["samples"]), settings["trust"], rng)


FIDELITY = Fidelity(
    name="gmp_irt",
    title="gmp-IRT",
    summary="A random subset; told is a blend of its mean and of what mp-IRT predicts for all samples. "
    "The first candidates answer everything.",
    source="Mencattini et al., MERGE3, 2025, https://arxiv.org/abs/2502.10436",
    settings=(SAMPLES, Setting("trust", 0, 1, 0.5, "Share of the subset's plain mean in the blend.")),
    looks_back=LOOKS_BACK,
    needs_parents=True,
    make=make,
)

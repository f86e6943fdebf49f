"""The same merges by mergekit 0.1.5 (float32, `--random-seed 0`), to the six digits that were noted.

DARE-TIES is compared at density 1: below it, both draw their own masks, and mergekit matches L1 norms where the paper divides by density.
"""

from __future__ import annotations

import pytest
import torch

from merging.draws import Draws
from merging.methods import methods

BASE = [1.12, 1.24, 1.3, 1.44, 1.24, 1.42, 0.53, 0.97, 1.44, 1.15, 1.4, 0.61, 0.97, 0.75, 1.04, 1.07]
ONE = [1.12, 1.24, 1.55, 1.44, 1.023, 1.42, 0.53, 0.97, 1.44, 1.373, 1.4, 0.61, 0.97, 1.03, 0.919, 1.07]
TWO = [0.978, 1.139, 1.49, 1.492, 1.298, 1.545, 0.27, 0.883, 1.324, 1.268, 1.211, 0.594, 0.776, 0.604, 1.303, 1.34]
WEIGHTS, LAMBDA = (0.7, 1.1), 0.9

MERGEKIT = [
    (
        "linear",
        1.0,
        False,
        [
            1.8598,
            2.1209,
            2.724,
            2.6492,
            2.1439,
            2.6935,
            0.668,
            1.6503,
            2.4644,
            2.3559,
            2.3121,
            1.0804,
            1.5326,
            1.3854,
            2.0766,
            2.223,
        ],
    ),
    (
        "linear",
        1.0,
        True,
        [
            1.033222,
            1.178278,
            1.513333,
            1.471778,
            1.191056,
            1.496389,
            0.371111,
            0.916833,
            1.369111,
            1.308833,
            1.2845,
            0.600222,
            0.851444,
            0.769667,
            1.153667,
            1.235,
        ],
    ),
    (
        "task_arithmetic",
        1.0,
        False,
        [
            0.97942,
            1.14001,
            1.6456,
            1.49148,
            1.16071,
            1.54375,
            0.2726,
            0.88387,
            1.32516,
            1.40731,
            1.21289,
            0.59416,
            0.77794,
            0.78186,
            1.22414,
            1.3373,
        ],
    ),
    (
        "task_arithmetic",
        1.0,
        True,
        [
            1.0419,
            1.18445,
            1.492,
            1.4686,
            1.19595,
            1.48875,
            0.387,
            0.92215,
            1.3762,
            1.29295,
            1.29605,
            0.6012,
            0.8633,
            0.7677,
            1.1423,
            1.2185,
        ],
    ),
    (
        "ties",
        0.5,
        False,
        [
            0.97942,
            1.24,
            1.6456,
            1.44,
            1.10329,
            1.42,
            0.2726,
            0.97,
            1.44,
            1.29049,
            1.21289,
            0.61,
            0.77794,
            0.9264,
            1.30037,
            1.3373,
        ],
    ),
    (
        "ties",
        0.5,
        True,
        [
            0.9922,
            1.24,
            1.492,
            1.44,
            1.0447,
            1.42,
            0.296,
            0.97,
            1.44,
            1.3507,
            1.2299,
            0.61,
            0.7954,
            1.002,
            1.2767,
            1.313,
        ],
    ),
    (
        "ties",
        0.25,
        False,
        [
            1.12,
            1.24,
            1.4575,
            1.44,
            1.10329,
            1.42,
            0.2726,
            0.97,
            1.44,
            1.29049,
            1.4,
            0.61,
            0.77794,
            0.9264,
            1.30037,
            1.3373,
        ],
    ),
    (
        "ties",
        0.25,
        True,
        [1.12, 1.24, 1.525, 1.44, 1.0447, 1.42, 0.296, 0.97, 1.44, 1.3507, 1.4, 0.61, 0.7954, 1.002, 1.2767, 1.313],
    ),
    (
        "dare_ties",
        1.0,
        False,
        [
            0.97942,
            1.14001,
            1.6456,
            1.49148,
            1.10329,
            1.54375,
            0.2726,
            0.88387,
            1.32516,
            1.40731,
            1.21289,
            0.59416,
            0.77794,
            0.9264,
            1.30037,
            1.3373,
        ],
    ),
    (
        "dare_ties",
        1.0,
        True,
        [
            0.9922,
            1.1491,
            1.492,
            1.4868,
            1.0447,
            1.5325,
            0.296,
            0.8917,
            1.3356,
            1.29295,
            1.2299,
            0.5956,
            0.7954,
            1.002,
            1.2767,
            1.313,
        ],
    ),
]


@pytest.mark.parametrize(("name", "density", "normalize", "expected"), MERGEKIT)
def test_merges_equal_mergekit_s(name: str, density: float, normalize: bool, expected: list[float]) -> None:
    method = methods.get(name)
    known = {parameter.name for parameter in method.per_parent()}
    values = [{k: v for k, v in {"weight": weight, "density": density}.items() if k in known} for weight in WEIGHTS]
    settings = method.default_settings() | {"normalize": normalize} | ({"lambda": LAMBDA} if method.needs_base else {})
    base = torch.tensor(BASE) if method.needs_base else None
    merged = method.merge(base, [torch.tensor(ONE), torch.tensor(TWO)], values, settings, Draws(0, "t"))
    assert merged.tolist() == pytest.approx(expected, abs=1e-6)

"""What is kept of one tensor's task vectors, as numbers for a kernel: the rules of `merging.masks`. Imports numba."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from merging import spheres
from merging.draws import Draws, limit_of
from merging.elements import AnyTensor
from merging.errors import TensorError
from merging.kernels.passes import BLOCK_BITS, Keep, Keys, Lottery, RankedLottery, Window
from merging.kernels.spectra import AnySpectrum
from merging.masks import kept_places, row_of


@dataclass(frozen=True)
class TensorKeepers:
    """`Keepers` for the task vectors of some parents over a base.

    `spectrum_of` counts the magnitudes of the task vector of a parent, by its number; `ranks_of` tells their ranks in their
    rows if it keeps them.
    """

    base: AnyTensor | None
    parents: Sequence[AnyTensor]
    draws: Draws
    spectrum_of: Callable[[int, AnyTensor], AnySpectrum]
    ranks_of: Callable[[int], NDArray[np.uint16] | None] = lambda parent: None

    def largest(self, parent: int, density: float) -> Keep:
        return self.middle(parent, density, gamma=0.0)

    def middle(self, parent: int, density: float, gamma: float) -> Keep:
        if self.base is None:
            raise TensorError("task vectors are measured from a base model, and there is none")
        low, high = kept_places(math.prod(self.base.shape), density, gamma)
        if low is None and high is None:
            return Window(0.0)
        tensors = self.base, self.parents[parent]
        spectrum = self.spectrum_of(parent, self.base)
        return Window(
            0.0 if low is None else spectrum.nth_largest(low, *tensors),
            math.inf if high is None else spectrum.nth_largest(high, *tensors),
        )

    def random(self, parent: int, density: float, rescale: bool) -> Keep:
        return Lottery(limit_of(density), density if rescale else 1.0, self._keys(parent))

    def ranked(self, parent: int, density: float, epsilon: float, rescale: bool) -> Keep:
        row = max(1, row_of(self.parents[parent].shape))
        return RankedLottery(density, epsilon, rescale, row, self._keys(parent), self.ranks_of(parent))

    def products(self) -> NDArray[np.float64]:
        return spheres.products(self.parents, self.base)

    def _keys(self, parent: int) -> Keys:
        n_blocks = -(-math.prod(self.parents[parent].shape) // (1 << BLOCK_BITS))
        return tuple(self.draws.keys(parent, block) for block in range(n_blocks))

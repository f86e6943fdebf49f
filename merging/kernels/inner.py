"""Inner products of tensors on a CPU, read once. Imports numba."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from merging.elements import Elements
from merging.kernels.cpu import SPAN, equal_spans, in_threads
from merging.kernels.loops import add_products, write_differences

WIDTH: Final = 1 << 14
"""Elements of each vector that are float64 at a time: with three vectors, in the second cache of most processors."""


def products(tensors: Sequence[Elements], base: Elements | None) -> NDArray[np.float64]:
    """What `merging.spheres.products` says. Elements that were widened before give the same
    bits, and so does every number of threads.
    """
    below, vectors = None if base is None else base.words, [tensor.words for tensor in tensors]
    n = len(vectors)

    def of_span(start: int, stop: int) -> NDArray[Any]:
        found, block = np.zeros((n, n)), np.empty((n, WIDTH))
        for first in range(start, stop, WIDTH):
            here = slice(first, min(first + WIDTH, stop))
            for row, vector in zip(block, vectors, strict=True):
                write_differences(None if below is None else below[here], vector[here], row)
            add_products(block.reshape(n, -1, 16), found)
        return found

    total = np.zeros((n, n))
    for of_one_span in in_threads(of_span, equal_spans(len(vectors[0]), SPAN)):
        total += of_one_span
    return np.tril(total) + np.tril(total, -1).T

"""The rules of `merging.peer_rules` for mergekit's task arithmetic family, in one pass over memory on a CPU. Imports numba.

Equal to the rules to the bit. What torch adds up in an order of its own is added up in that order; where that is not known,
torch itself is asked.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from merging.elements import Elements, as_tensor, rounded, torch_dtype
from merging.kernels.cpu import (
    INFINITE,
    LONGEST_KEPT,
    SAMPLES,
    equal_spans,
    in_threads,
    of_one_dtype,
    spans_of_rows,
    tapering_spans,
)
from merging.kernels.loops import (
    N_VECTORS,
    draw_mask,
    f4,
    merge_as_peer,
    rank_rows,
    rank_short_rows,
    sum_as_torch,
    sum_magnitudes,
)
from merging.kernels.passes import Pass
from merging.kernels.spectra import AnySpectrum
from merging.masks import row_of
from merging.methods.method import Settings, Values
from merging.peer_draws import PeerDraws, shares_by_rank
from merging.recipes import Dtype
from merging.spheres import peer_arc, products
from merging.threads import n_threads

ELECTING: Final = ("ties", "breadcrumbs_ties", "dare_ties", "della")
FAMILY: Final = ("linear", "task_arithmetic", "breadcrumbs", "dare_linear", "della_linear", *ELECTING)
MOST_PARENTS: Final = 16
"""Torch adds so many tensors one by one; more, in parts."""
TORCH_GRAIN: Final = 32768
"""Elements that it does not divide among threads."""
PAIRED: Final[dict[Dtype, Any]] = {"float32": None, "bfloat16": True, "float16": True}
ORDER_IS_KNOWN: Final = platform.machine() in ("x86_64", "AMD64")
"""Of torch's sums."""

NO_BOUNDS: Final = (0.0, math.inf)


@dataclass(frozen=True)
class PeerMerge:
    """One tensor's merge by the rule of a method, in a dtype. `spectrum_of` is that of `TensorKeepers`."""

    method: str
    base: Elements | None
    parents: Sequence[Elements]
    values: Sequence[Values]
    settings: Settings
    dtype: Dtype
    draws: PeerDraws
    spectrum_of: Callable[[int, Elements], AnySpectrum]

    @property
    def is_possible(self) -> bool:
        """Whether this is one pass, of models of which `reads` is true."""
        return self.method in FAMILY and len(self.parents) <= MOST_PARENTS

    def into(self, target: Elements, dtype: Dtype) -> bool:
        """Writes the merged tensor, rounded to `dtype` in the end, and tells whether all of it is finite."""
        out, below = target.words, None if self.base is None else self.base.words
        above = tuple(parent.words for parent in of_one_dtype(self.parents))
        bounds, masks, factors = self._bounds(), *self._masks()
        weights, numbers = self._numbers(SAMPLES[dtype])

        def of_span(start: int, stop: int) -> int:
            here = slice(start, stop)
            models = None if below is None else below[here], tuple(array[here] for array in above)
            of_masks = tuple(mask[here] for mask in masks) or None
            return int(merge_as_peer(out[here], *models, weights, *bounds, of_masks, factors, *numbers))

        return max(in_threads(of_span, tapering_spans(len(out))), default=0) < INFINITE[dtype]

    def _numbers(self, sample: Any) -> tuple[Any, Any]:
        """The weights, and what comes after the masks."""
        is_average = self.base is None
        step: Dtype = "float32" if is_average else self.dtype
        weights = rounded(np.array([value["weight"] for value in self.values], np.float32), step)
        elects, divides = self.method in ELECTING, bool(self.settings["normalize"])
        total = _added_up(weights, step)
        if not is_average and abs(total) < 1e-8:
            total = 1.0
        scale = 1.0 if is_average else self.settings["lambda"]
        return tuple(weights), (
            elects or None,
            (elects and divides) or None,
            f4(total) if divides and not elects else None,
            None if scale == 1 else f4(scale),
            SAMPLES[step],
            SAMPLES[self.dtype],
            sample,
        )

    def _bounds(self) -> tuple[Any, Any]:
        """The least and the largest magnitude to keep, by parent."""
        if self.base is None or not self.method.startswith(("ties", "breadcrumbs")):
            return None, None
        found = [self._bounds_of(parent, self.base) for parent in range(len(self.parents))]
        return tuple(f4(low) for low, _ in found), tuple(f4(high) for _, high in found)

    def _bounds_of(self, parent: int, base: Elements) -> tuple[float, float]:
        density, n = self.values[parent]["density"], len(base.words)
        if density >= 1 or not n:
            return NO_BOUNDS
        spectrum, tensors = self.spectrum_of(parent, base), (base, self.parents[parent])
        if self.method == "ties":
            return spectrum.nth_largest(max(1, int(density * n)), *tensors, self.dtype), math.inf
        n_kept, n_top = int(density * n), int(self.settings["gamma"] * n)
        lowest = max(0, n - n_kept - n_top)
        if not n_kept:
            return math.inf, math.inf
        places = n - lowest, n - lowest - n_kept + 1
        low, high = (spectrum.nth_largest(place, *tensors, self.dtype) for place in places)
        return low, high

    def _masks(self) -> tuple[Sequence[NDArray[np.uint8]], Any]:
        """What is kept of each parent, and what that is multiplied with."""
        if self.base is None or not self.method.startswith(("dare", "della")):
            return (), None
        masks: list[NDArray[np.uint8]] = []
        sums: list[Iterator[tuple[float, float]] | None] = []
        for parent, value in zip(self.parents, self.values, strict=True):
            if value["density"] >= 1 or not len(parent.words):
                masks.append(np.ones(len(parent.words), np.uint8))
                sums.append(None)
                continue
            masks.append(self._mask(parent, self.base, value["density"]))
            sums.append(self._sums(parent, self.base, masks[-1]) if self.settings["rescale"] else None)
        return masks, tuple(f4(1 if of is None else self._factor(of)) for of in sums)

    def _mask(self, parent: Elements, base: Elements, density: float) -> NDArray[np.uint8]:
        mask = np.empty(len(parent.words), np.uint8)
        if self.method.startswith("dare"):
            self._draw(_limits(rounded(np.array([density], np.float32), self._work)), mask)
            return mask
        row, below, above = row_of(parent.shape), base.words, parent.words
        of_rank = _limits(shares_by_rank(row, density, self.settings["epsilon"], self._work))
        rank = rank_short_rows if self.dtype == "bfloat16" and row <= LONGEST_KEPT else rank_rows

        def of_span(start: int, stop: int) -> NDArray[np.uint32]:
            limits = np.empty(stop - start, np.uint32)
            rank(below[start:stop], above[start:stop], row, SAMPLES[self.dtype], of_rank, limits)
            return limits

        start = 0
        for limits in in_threads(of_span, spans_of_rows(len(above), row)):
            self._draw(limits, mask[start : start + len(limits)])
            start += len(limits)
        return mask

    def _draw(self, limits: NDArray[np.uint32], mask: NDArray[np.uint8]) -> None:
        """`torch.bernoulli`, of one share for all elements or of each its own."""
        self.draws.place = int(draw_mask(self.draws.words, self.draws.place, limits, mask))

    @property
    def _work(self) -> Dtype:
        return "float32" if self.dtype == "float16" else self.dtype

    def _sums(self, parent: Elements, base: Elements, mask: NDArray[np.uint8]) -> Iterator[tuple[float, float]]:
        """The L1 norms of the whole and of what is kept, in torch's parts. Other threads find them while the next mask is drawn."""
        if not ORDER_IS_KNOWN:
            return iter([_asked(parent, base, mask)])
        below, above = base.words, parent.words

        def of_span(start: int, stop: int) -> tuple[float, float]:
            here = slice(start, stop)
            found: tuple[float, float] = sum_magnitudes(
                below[here], above[here], mask[here], SAMPLES[self.dtype], PAIRED[self._work]
            )
            return found

        n_parts = min(n_threads(), -(-len(above) // TORCH_GRAIN))
        return in_threads(of_span, equal_spans(len(above), -(-len(above) // n_parts)))

    def _factor(self, parts: Iterable[tuple[float, float]]) -> float:
        """By which what is kept has the L1 norm of the whole. Torch rounds the sums of its threads to the dtype and adds them up."""
        norms = rounded(np.array(list(parts), np.float32), self._work)  # [parts, 2]
        if len(norms) > 1:
            norms = np.concatenate([norms, np.zeros((n_threads() - len(norms), 2), np.float32)])  # a number for each
        whole, left = (_added_up(np.ascontiguousarray(of), self._work) for of in norms.T)
        least = rounded(np.array([1e-7], np.float32), self._work)
        if whole < least or left < least:
            return 1.0
        return rounded(np.array([whole], np.float32) / np.float32(left), self._work).item()


def _limits(shares: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Below which a word of 24 bits keeps its element."""
    return np.ceil(shares.astype(np.float64) * 2**24).astype(np.uint32)


def _added_up(values: NDArray[np.float32], dtype: Dtype) -> float:
    """Torch's sum of numbers of a dtype: of fewer than four in their order on every processor."""
    if len(values) < N_VECTORS:
        total = sum(values, np.float32(0))
        return rounded(np.array([total], np.float32), dtype).item()
    if not ORDER_IS_KNOWN:
        import torch

        return float(torch.from_numpy(values).to(torch_dtype(dtype)).sum())
    return rounded(np.array([sum_as_torch(values, PAIRED[dtype])], np.float32), dtype).item()


def _asked(parent: Elements, base: Elements, mask: NDArray[np.uint8]) -> tuple[float, float]:
    """The same norms by torch itself."""
    import torch

    tau = as_tensor(parent) - as_tensor(base)
    work = tau.float() if tau.dtype == torch.float16 else tau
    kept = work * torch.from_numpy(mask).view(work.shape)
    return float(work.abs().sum()), float(kept.abs().sum())


def reads(stored: Sequence[Elements], dtype: Dtype) -> bool:
    """Whether what is read is what is merged: models that are stored otherwise are rounded before."""
    return dtype == "float32" or all(one.dtype == dtype for one in stored)


def as_pass(method: str, parents: Sequence[Elements], values: Sequence[Values], settings: Settings) -> Pass | None:
    """The rules that are float32 and round once, as our own methods do."""
    if method == "passthrough":
        return Pass((values[0]["scale"],))
    if method != "slerp":
        return None
    return Pass(peer_arc(products(parents), settings["t"]))

"""The rules of `merging.peer_rules` for mergekit's task arithmetic family, in one pass over memory on a CPU. Imports torch
and numba.

Equal to the rules to the bit, but for what they leave to torch: the last bit of a sum over a whole tensor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from merging.kernels.cpu import INFINITE, SAMPLES, SPAN, as_array, in_threads, of_one_dtype, span_of_rows, takes
from merging.kernels.loops import MT_WORDS, draw_mask, f4, merge_as_peer, rank_rows, sum_magnitudes, write_magnitudes
from merging.kernels.passes import Pass
from merging.kernels.spectra import AnySpectrum
from merging.masks import row_of
from merging.methods.method import Settings, Values
from merging.peer_rules import PeerDraws, shares_by_rank, slerp_shares

ELECTING: Final = ("ties", "breadcrumbs_ties", "dare_ties", "della")
FAMILY: Final = ("linear", "task_arithmetic", "breadcrumbs", "dare_linear", "della_linear", *ELECTING)
MOST_PARENTS: Final = 16
"""Torch sums so many numbers one by one; more, in parts."""
SUM_ERROR: Final = 1e-4
"""Relative; more than torch's sums in float32 and ours are wrong together, a fortieth of a step of bfloat16."""
TORCH_GRAIN: Final = 32768
"""Elements that it does not divide among threads."""

NO_BOUNDS: Final = (0.0, math.inf)


@dataclass(frozen=True)
class PeerMerge:
    """One tensor's merge by the rule of a method, in a dtype. `spectrum_of` is that of `TensorKeepers`."""

    method: str
    base: Tensor | None
    parents: Sequence[Tensor]
    values: Sequence[Values]
    settings: Settings
    dtype: torch.dtype
    draws: PeerDraws
    spectrum_of: Callable[[int, Tensor], AnySpectrum]

    @property
    def is_possible(self) -> bool:
        """Whether this is one pass. Where models are stored otherwise than they are merged, they round before they are read."""
        stored = self.parents if self.base is None else [self.base, *self.parents]
        return self.method in FAMILY and reads(stored, self.dtype) and len(self.parents) <= MOST_PARENTS

    def into(self, target: Tensor, dtype: torch.dtype) -> bool:
        """Writes the merged tensor, rounded to `dtype` in the end, and tells whether all of it is finite."""
        out, below = as_array(target), None if self.base is None else as_array(self.base)
        above = tuple(as_array(parent) for parent in of_one_dtype(self.parents))
        bounds, masks, factors = self._bounds(), *self._masks()
        weights, numbers = self._numbers(SAMPLES[dtype])

        def of_span(start: int, stop: int) -> int:
            here = slice(start, stop)
            models = None if below is None else below[here], tuple(array[here] for array in above)
            of_masks = tuple(mask[here] for mask in masks) or None
            return int(merge_as_peer(out[here], *models, weights, *bounds, of_masks, factors, *numbers))

        return max(in_threads(of_span, target.numel(), SPAN), default=0) < INFINITE[dtype]

    def _numbers(self, sample: Any) -> tuple[Any, Any]:
        """The weights, and what comes after the masks."""
        is_average = self.base is None
        step = torch.float32 if is_average else self.dtype
        weights = torch.tensor([value["weight"] for value in self.values], dtype=step)
        elects, divides = self.method in ELECTING, bool(self.settings["normalize"])
        total = weights.sum().float().item()
        if not is_average and abs(total) < 1e-8:
            total = 1.0
        scale = 1.0 if is_average else self.settings["lambda"]
        return tuple(f4(weight) for weight in weights.float().tolist()), (
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

    def _bounds_of(self, parent: int, base: Tensor) -> tuple[float, float]:
        density, n = self.values[parent]["density"], base.numel()
        if density >= 1 or not n:
            return NO_BOUNDS
        spectrum, tensors = self.spectrum_of(parent, base), (base, self.parents[parent])
        if self.method == "ties":
            return self._rounded(spectrum.nth_largest(max(1, int(density * n)), *tensors)), math.inf
        n_kept, n_top = int(density * n), int(self.settings["gamma"] * n)
        lowest = max(0, n - n_kept - n_top)
        if not n_kept:
            return math.inf, math.inf
        low, high = (spectrum.nth_largest(place, *tensors) for place in (n - lowest, n - lowest - n_kept + 1))
        return self._rounded(low), self._rounded(high)

    def _rounded(self, magnitude: float) -> float:
        """Rounding keeps the order, so the n-th of the rounded is the rounded n-th."""
        return torch.tensor(magnitude, dtype=torch.float32).to(self.dtype).item()

    def _masks(self) -> tuple[Sequence[NDArray[np.uint8]], Any]:
        """What is kept of each parent, and what that is multiplied with."""
        if self.base is None or not self.method.startswith(("dare", "della")):
            return (), None
        masks: list[NDArray[np.uint8]] = []
        sums: list[Iterator[tuple[float, float]] | None] = []
        for parent, value in zip(self.parents, self.values, strict=True):
            if value["density"] >= 1 or not parent.numel():
                masks.append(np.ones(parent.numel(), np.uint8))
                sums.append(None)
                continue
            masks.append(self._mask(parent, self.base, value["density"]))
            sums.append(self._sums(parent, self.base, masks[-1]) if self.settings["rescale"] else None)
        drawn = zip(self.parents, masks, sums, strict=True)
        return masks, tuple(
            f4(1 if of is None else self._factor(parent, self.base, mask, of)) for parent, mask, of in drawn
        )

    def _mask(self, parent: Tensor, base: Tensor, density: float) -> NDArray[np.uint8]:
        words = TorchWords(self.draws.generator)
        mask = np.empty(parent.numel(), np.uint8)
        if self.method.startswith("dare"):
            words.draw(None, torch.full((1,), density, dtype=self._work), mask)
        else:
            row, below, above = row_of(parent.shape), as_array(base), as_array(parent)
            shares = shares_by_rank(torch.arange(row).to(self._work), density, self.settings["epsilon"])

            def of_span(start: int, stop: int) -> NDArray[np.uint32]:
                ranks = np.empty(stop - start, np.uint32)
                rank_rows(below[start:stop], above[start:stop], row, SAMPLES[self.dtype], ranks)
                return ranks

            start = 0
            for ranks in in_threads(of_span, len(above), span_of_rows(row)):
                words.draw(ranks, shares, mask[start : start + len(ranks)])
                start += len(ranks)
        words.give_back()
        return mask

    @property
    def _work(self) -> torch.dtype:
        return torch.float32 if self.dtype == torch.float16 else self.dtype

    def _sums(self, parent: Tensor, base: Tensor, mask: NDArray[np.uint8]) -> Iterator[tuple[float, float]]:
        """The L1 norms of the whole and of what is kept, in torch's parts. Other threads find them while the next mask is drawn."""
        below, above, step = as_array(base), as_array(parent), SAMPLES[self.dtype]

        def of_span(start: int, stop: int) -> tuple[float, float]:
            here = slice(start, stop)
            whole, left = sum_magnitudes(below[here], above[here], mask[here], step)
            return float(whole), float(left)

        n_parts = min(torch.get_num_threads(), -(-len(above) // TORCH_GRAIN))
        return in_threads(of_span, len(above), -(-len(above) // n_parts))

    def _factor(
        self, parent: Tensor, base: Tensor, mask: NDArray[np.uint8], parts: Iterable[tuple[float, float]]
    ) -> float:
        """By which what is kept has the L1 norm of the whole, as torch sums both: it rounds its sums to the dtype, those of its
        parts as well, so ours will do where a last bit of them cannot matter.
        """
        norms = torch.tensor(list(parts), dtype=torch.float64)  # [parts, 2]
        least, ours, most = ((norms * factor).to(self._work) for factor in (1 - SUM_ERROR, 1, 1 + SUM_ERROR))
        is_certain = torch.equal(least, ours) and torch.equal(ours, most)
        sums = ours.sum(dim=0) if is_certain else self._torch_sums(parent, base, mask)
        return (sums[0] / sums[1]).item() if bool((sums >= 1e-7).all()) else 1.0

    def _torch_sums(self, parent: Tensor, base: Tensor, mask: NDArray[np.uint8]) -> Tensor:
        below, above = as_array(base), as_array(parent)
        whole, left = torch.empty(len(above), dtype=self._work), torch.empty(len(above), dtype=self._work)
        into = as_array(whole), as_array(left)

        def of_span(start: int, stop: int) -> None:
            here = slice(start, stop)
            write_magnitudes(below[here], above[here], mask[here], SAMPLES[self.dtype], into[0][here], into[1][here])

        list(in_threads(of_span, len(above), SPAN))
        return torch.stack([whole.sum(), left.sum()])


def reads(stored: Sequence[Tensor], dtype: torch.dtype) -> bool:
    """Whether what is read is what is merged: no tensor would be rounded first."""
    return takes(stored) and (dtype == torch.float32 or all(one.dtype == dtype for one in stored))


def as_pass(method: str, parents: Sequence[Tensor], values: Sequence[Values], settings: Settings) -> Pass | None:
    """The rules that are float32 and round once, as our own methods do."""
    if method == "passthrough":
        return Pass((values[0]["scale"],))
    return Pass(tuple(slerp_shares(parents, settings["t"]))) if method == "slerp" else None


@dataclass
class TorchWords:
    """The words of a torch generator on the CPU, taken from where it is; what was taken, it is told in the end.

    Its state as torch gives it: the seed, how many words are left of the last 624, the place of the next one, and these
    624, in words of 64 bits.
    """

    generator: torch.Generator
    _given: NDArray[np.uint64] = field(init=False)
    _words: NDArray[np.uint32] = field(init=False)
    _place: int = field(init=False)

    def __post_init__(self) -> None:
        self._given = self.generator.get_state().numpy().view(np.uint64).copy()
        self._words = self._given[3 : 3 + MT_WORDS].astype(np.uint32)
        n_left = int(self._given[1:2].view(np.int32)[0])
        self._place = MT_WORDS if n_left == 1 else int(self._given[2])

    def draw(self, ranks: NDArray[np.uint32] | None, shares: Tensor, mask: NDArray[np.uint8]) -> None:
        """`torch.bernoulli` of the shares, one for all elements or by their ranks."""
        limits = np.ceil(shares.double().numpy() * 2**24).astype(np.uint32)
        self._place = int(draw_mask(self._words, self._place, ranks, limits, mask))

    def give_back(self) -> None:
        self._given[1:2].view(np.int32)[0] = MT_WORDS + 1 - self._place
        self._given[2] = self._place
        self._given[3 : 3 + MT_WORDS] = self._words
        self.generator.set_state(torch.from_numpy(self._given.view(np.uint8)))

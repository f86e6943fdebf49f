"""From a recipe to merged tensors, one at a time. Imports torch.

Knows recipes, plans and where parents' tensors come from; not what the merged tensors become: a model in memory or a
folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from merging.draws import Draws
from merging.embeddings import RowSource
from merging.errors import TensorError
from merging.kernels import cpu, gpu
from merging.kernels.keepers import TensorKeepers
from merging.kernels.passes import Pass
from merging.kernels.peer import PeerMerge, as_pass, reads
from merging.kernels.spectra import AnySpectrum, Spectra, spectrum
from merging.methods import methods
from merging.peer_rules import PeerDraws, rules
from merging.plans import TensorJob
from merging.recipes import Parent, Recipe
from merging.tensors import torch_dtype

NamedTensor = tuple[str, Tensor]


class TensorSource(Protocol):
    """Where parents' tensors come from."""

    def tensor(self, parent: Parent, name: str) -> Tensor:
        """The tensor as it is stored, on the device that computes. It belongs to the source: nobody may write to it."""
        ...


@dataclass(frozen=True)
class Place:
    """Memory that merged tensors go to, by their names, and what is known of the parents from merges before.

    A tensor that fits its target is merged there and nowhere else; others come in memory of their own.
    """

    targets: Mapping[str, Tensor] = field(default_factory=dict)
    spectra: Spectra | None = None


ANYWHERE: Final = Place()


def assemble(
    recipe: Recipe, jobs: Sequence[TensorJob], source: TensorSource, place: Place = ANYWHERE
) -> Iterator[NamedTensor]:
    """Every merged tensor, in the recipe's dtype; a target of float32 holds the same numbers.

    One is computed at a time; a caller that keeps none needs memory for one.

    Arithmetic is float32 and rounds once, at the end; mergekit's where the recipe says so, and then jobs come in the order
    of `merging.shards.in_order`, by which its random numbers are drawn.

    TensorError for a merged tensor that is not finite: such a model must not be scored. From a GPU the error comes after
    the last tensor, because a look at any other would wait for the GPU.
    """
    peer = None if recipe.as_mergekit is None else _Peer(torch_dtype(recipe.as_mergekit), PeerDraws(recipe.seed))
    rows = RowSource(source, jobs)
    promised: list[tuple[TensorJob, Tensor]] = []
    for job in jobs:
        merge = _Merge(recipe, job, rows, place, peer)
        merged, is_finite = merge.result()
        if isinstance(is_finite, Tensor):
            promised.append((job, is_finite))
        elif not is_finite:
            raise merge.refusal()
        yield job.name, merged
    if promised and not torch.stack([is_finite for _, is_finite in promised]).all():
        broken = next(job for job, is_finite in promised if not is_finite)
        raise _Merge(recipe, broken, rows, place, peer).refusal()


_IsFinite = bool | Tensor
"""Of a merged tensor; from a GPU a tensor there, which is not looked at before it has to be."""


class _Kernel(Protocol):
    """What merges tensors of one kind of processor in one pass; see `merging.kernels.cpu`."""

    def takes(self, tensors: Sequence[Tensor]) -> bool: ...

    def knows(self, task: Pass) -> bool: ...

    def merge(
        self, target: Tensor, base: Tensor | None, parents: Sequence[Tensor], dtype: torch.dtype, task: Pass
    ) -> _IsFinite: ...


_KERNELS: Final[tuple[_Kernel, ...]] = (cpu, gpu)


def _kernel_for(tensors: Sequence[Tensor]) -> _Kernel | None:
    """None: there are only torch's own operations."""
    return next((kernel for kernel in _KERNELS if kernel.takes(tensors)), None)


@dataclass(frozen=True)
class _Peer:
    """mergekit's dtype and its random numbers, of a whole merge."""

    dtype: torch.dtype
    draws: PeerDraws


class _Merge:
    """The merge of one tensor: in one pass where there is a kernel for it, otherwise as its method writes it."""

    def __init__(self, recipe: Recipe, job: TensorJob, source: TensorSource, place: Place, peer: _Peer | None) -> None:
        self._recipe, self._job, self._place, self._peer = recipe, job, place, peer
        self._method = methods.get(recipe.method)
        self._base = None if job.base is None else source.tensor(job.base.parent, job.base.name)
        stored = [source.tensor(of.parent, of.name) for of in job.sources]
        self._parents = stored if job.scaling is None else [job.scaling.of(tensor) for tensor in stored]
        self._values = recipe.values[job.group]
        self._settings = {**recipe.settings, **(recipe.shared[job.group] if recipe.shared else {})}
        self._draws = Draws(recipe.seed, job.name)
        self._dtype = torch_dtype(recipe.dtype)

    def result(self) -> tuple[Tensor, _IsFinite]:
        return self._as_method() if self._peer is None else self._as_peer(self._peer)

    def refusal(self) -> TensorError:
        told = f"{self._job.name} is not finite after merging: {self._recipe.sentence()}"
        return TensorError(f"{told} {self._origin()}")

    def _origin(self) -> str:
        """Whose numbers were not finite before."""
        named = [*([] if self._job.base is None else [self._job.base]), *self._job.sources]
        for of, tensor in zip(named, self._stored, strict=True):
            if n := int((~torch.isfinite(tensor)).sum()):
                return f"{of.parent.name} is damaged: {n} numbers of its {of.name} are not finite."
        return "All numbers of its parents are finite: the recipe's values are too large for its dtype, or sum to 0 and divide."

    def _as_method(self) -> tuple[Tensor, _IsFinite]:
        kernel = _kernel_for(self._stored)
        if self._method.as_pass is not None and kernel is not None:
            keepers = TensorKeepers(self._base, self._parents, self._draws, self._spectrum, self._ranks)
            task = self._method.as_pass(self._values, self._settings, keepers)
            if task is not None and kernel.knows(task):
                target = self._target()
                return target, kernel.merge(target, self._base, self._parents, self._dtype, task)
        base, parents = self._all_as(torch.float32)
        return self._rounded(self._method.merge(base, parents, self._values, self._settings, self._draws))

    def _as_peer(self, peer: _Peer) -> tuple[Tensor, _IsFinite]:
        fused = PeerMerge(
            self._method.name,
            self._base,
            self._parents,
            self._values,
            self._settings,
            peer.dtype,
            peer.draws,
            self._spectrum,
        )
        if fused.is_possible:
            target = self._target()
            return target, fused.into(target, self._dtype)
        if reads(self._stored, peer.dtype) and peer.dtype in (self._dtype, torch.float32):
            task = as_pass(self._method.name, self._parents, self._values, self._settings)
            if task is not None:
                target = self._target()
                return target, cpu.merge(target, None, self._parents, self._dtype, task)
        base, parents = self._all_as(peer.dtype)
        rule = rules[self._method.name]
        return self._rounded(rule(base, parents, self._values, self._settings, peer.draws))

    @property
    def _stored(self) -> list[Tensor]:
        return self._parents if self._base is None else [self._base, *self._parents]

    def _all_as(self, dtype: torch.dtype) -> tuple[Tensor | None, list[Tensor]]:
        base = None if self._base is None else self._base.to(dtype)
        return base, [parent.to(dtype) for parent in self._parents]

    def _rounded(self, merged: Tensor) -> tuple[Tensor, _IsFinite]:
        merged = merged.contiguous()
        if (kernel := _kernel_for([merged])) is not None:
            target = self._target()
            return target, kernel.merge(target, None, [merged], self._dtype, Pass((1.0,)))
        rounded = merged.to(self._dtype)
        return rounded, torch.isfinite(rounded).all()

    def _target(self) -> Tensor:
        like = self._stored[0]
        found = self._place.targets.get(self._job.name)
        fits = found is not None and found.shape == like.shape and found.dtype in (self._dtype, torch.float32)
        if found is not None and fits and found.device == like.device and found.is_contiguous():
            return found
        return torch.empty(like.shape, dtype=self._dtype, device=like.device)

    def _spectrum(self, parent: int, base: Tensor) -> AnySpectrum:
        if self._place.spectra is None or self._job.base is None or self._job.tokens is not None:
            return spectrum(base, self._parents[parent])
        return self._place.spectra.of(self._job.base, self._job.sources[parent], base, self._parents[parent])

    def _ranks(self, parent: int) -> NDArray[np.uint16] | None:
        kept, of, base = self._place.spectra, self._job.base, self._base
        if kept is None or of is None or base is None or base.device.type != "cpu" or self._job.tokens is not None:
            return None
        return kept.ranks_of(of, self._job.sources[parent], base, self._parents[parent])

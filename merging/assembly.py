"""From a recipe to merged tensors, one at a time. Imports numba, and torch where a tensor is torch's or a method has no pass.

Knows recipes, plans and where parents' tensors come from; not what the merged tensors become: a model in memory or a
folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray

from merging.draws import Draws
from merging.elements import AnyTensor, Elements, as_elements, as_tensor, empty, torch_dtype
from merging.errors import TensorError
from merging.kernels import cpu
from merging.kernels.keepers import TensorKeepers
from merging.kernels.passes import Pass
from merging.kernels.peer import PeerMerge, as_pass, reads
from merging.kernels.spectra import AnySpectrum, Spectra, spectrum
from merging.methods import methods
from merging.peer_draws import PeerDraws
from merging.plans import TensorJob
from merging.recipes import Dtype, Parent, Recipe

if TYPE_CHECKING:
    from torch import Tensor

NamedTensor = tuple[str, AnyTensor]


class TensorSource(Protocol):
    """Where parents' tensors come from."""

    def tensor(self, parent: Parent, name: str) -> AnyTensor:
        """The tensor as it is stored, on the device that computes. It belongs to the source: nobody may write to it."""
        ...


@dataclass(frozen=True)
class Place:
    """Memory that merged tensors go to, by their names, and what is known of the parents from merges before.

    A tensor that fits its target is merged there and nowhere else; others come in memory of their own.
    """

    targets: Mapping[str, AnyTensor] = field(default_factory=dict)
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
    peer = None if recipe.as_mergekit is None else _Peer(recipe.as_mergekit, PeerDraws(recipe.seed))
    if any(job.tokens for job in jobs):
        from merging.embeddings import RowSource  # which imports torch

        source = RowSource(source, jobs)
    promised: list[tuple[TensorJob, Tensor]] = []
    for job in jobs:
        merge = _Merge(recipe, job, source, place, peer)
        merged, is_finite = merge.result()
        if not isinstance(is_finite, bool):
            promised.append((job, is_finite))
        elif not is_finite:
            raise merge.refusal()
        yield job.name, merged
    if not _all_true([is_finite for _, is_finite in promised]):
        broken = next(job for job, is_finite in promised if not is_finite)
        raise _Merge(recipe, broken, source, place, peer).refusal()


def _all_true(answers: Sequence[Tensor]) -> bool:
    """Looked at once."""
    if not answers:
        return True
    import torch

    return bool(torch.stack([*answers]).all())


_IsFinite: TypeAlias = "bool | Tensor"
"""Of a merged tensor; from a GPU a tensor there, which is not looked at before it has to be."""


class _Kernel(Protocol):
    """What merges tensors of one kind of processor in one pass; see `merging.kernels.cpu`."""

    def knows(self, task: Pass) -> bool: ...

    def merge(self, target: Any, base: Any, parents: Sequence[Any], dtype: Dtype, task: Pass) -> _IsFinite: ...


def _kernel_for(tensors: Sequence[AnyTensor]) -> _Kernel | None:
    """None: there are only torch's own operations."""
    if _are_elements(tensors):
        return cpu
    if any(isinstance(tensor, Elements) for tensor in tensors):
        return None
    from merging.kernels import gpu  # which imports torch

    return gpu if gpu.takes([as_tensor(tensor) for tensor in tensors]) else None


def _are_elements(tensors: Sequence[AnyTensor]) -> TypeGuard[list[Elements]]:
    return all(isinstance(tensor, Elements) for tensor in tensors)


@dataclass(frozen=True)
class _Peer:
    """mergekit's dtype and its random numbers, of a whole merge."""

    dtype: Dtype
    draws: PeerDraws


class _Merge:
    """The merge of one tensor: in one pass where there is a kernel for it, otherwise as its method writes it."""

    def __init__(self, recipe: Recipe, job: TensorJob, source: TensorSource, place: Place, peer: _Peer | None) -> None:
        self._recipe, self._job, self._place, self._peer = recipe, job, place, peer
        self._method = methods.get(recipe.method)
        self._base = None if job.base is None else as_elements(source.tensor(job.base.parent, job.base.name))
        stored = [source.tensor(of.parent, of.name) for of in job.sources]
        if job.scaling is not None:
            stored = [job.scaling.of(as_tensor(tensor)) for tensor in stored]
        self._parents = [as_elements(tensor) for tensor in stored]
        self._values = recipe.values[job.group]
        self._settings = {**recipe.settings, **(recipe.shared[job.group] if recipe.shared else {})}
        self._draws = Draws(recipe.seed, job.name)

    def result(self) -> tuple[AnyTensor, _IsFinite]:
        return self._as_method() if self._peer is None else self._as_peer(self._peer)

    def refusal(self) -> TensorError:
        told = f"{self._job.name} is not finite after merging: {self._recipe.sentence()}"
        return TensorError(f"{told} {self._origin()}")

    def _origin(self) -> str:
        """Whose numbers were not finite before."""
        named = [*([] if self._job.base is None else [self._job.base]), *self._job.sources]
        for of, tensor in zip(named, self._stored, strict=True):
            if n := int((~as_tensor(tensor).isfinite()).sum()):
                return f"{of.parent.name} is damaged: {n} numbers of its {of.name} are not finite."
        return "All numbers of its parents are finite: the recipe's values are too large for its dtype, or sum to 0 and divide."

    def _as_method(self) -> tuple[AnyTensor, _IsFinite]:
        kernel = _kernel_for(self._stored)
        if self._method.as_pass is not None and kernel is not None:
            keepers = TensorKeepers(self._base, self._parents, self._draws, self._spectrum, self._ranks)
            task = self._method.as_pass(self._values, self._settings, keepers)
            if task is not None and kernel.knows(task):
                return self._by(kernel, self._base, self._parents, task)
        base, parents = self._all_as("float32")
        return self._rounded(self._method.merge(base, parents, self._values, self._settings, self._draws))

    def _as_peer(self, peer: _Peer) -> tuple[AnyTensor, _IsFinite]:
        stored, dtype = self._stored, peer.dtype
        if _are_elements(stored) and reads(stored, dtype):
            base, parents = (None, stored) if self._base is None else (stored[0], stored[1:])
            fused = PeerMerge(
                self._method.name, base, parents, self._values, self._settings, dtype, peer.draws, self._spectrum
            )
            if fused.is_possible:
                target, memory = self._target()
                return target, fused.into(memory, self._recipe.dtype)
            if dtype in (self._recipe.dtype, "float32"):
                task = as_pass(self._method.name, parents, self._values, self._settings)
                if task is not None:
                    return self._by(cpu, None, parents, task)
        from merging.peer_rules import rules  # which imports torch

        plain_base, plain_parents = self._all_as(dtype)
        rule = rules[self._method.name]
        return self._rounded(rule(plain_base, plain_parents, self._values, self._settings, peer.draws))

    @property
    def _stored(self) -> list[AnyTensor]:
        return self._parents if self._base is None else [self._base, *self._parents]

    def _all_as(self, dtype: Dtype) -> tuple[Tensor | None, list[Tensor]]:
        base = None if self._base is None else as_tensor(self._base).to(torch_dtype(dtype))
        return base, [as_tensor(parent).to(torch_dtype(dtype)) for parent in self._parents]

    def _rounded(self, merged: Tensor) -> tuple[AnyTensor, _IsFinite]:
        made = as_elements(merged.contiguous())
        if (kernel := _kernel_for([made])) is not None:
            return self._by(kernel, None, [made], Pass((1.0,)))
        rounded = merged.to(torch_dtype(self._recipe.dtype))
        return rounded, rounded.isfinite().all()

    def _by(
        self, kernel: _Kernel, base: AnyTensor | None, parents: Sequence[AnyTensor], task: Pass
    ) -> tuple[AnyTensor, _IsFinite]:
        target, memory = self._target()
        return target, kernel.merge(memory, base, parents, self._recipe.dtype, task)

    def _target(self) -> tuple[AnyTensor, Any]:
        """The tensor to write to, and the same as kernels take it."""
        like, dtype = self._stored[0], self._recipe.dtype
        found = self._place.targets.get(self._job.name)
        if found is not None and _fits(memory := as_elements(found), like, dtype):
            return found, memory
        made = empty(like.shape, dtype) if isinstance(like, Elements) else _empty(like, dtype)
        return made, as_elements(made)

    def _spectrum(self, parent: int, base: AnyTensor) -> AnySpectrum:
        if self._place.spectra is None or self._job.base is None or self._job.tokens is not None:
            return spectrum(base)
        return self._place.spectra.of(self._job.base, self._job.sources[parent], base, self._parents[parent])

    def _ranks(self, parent: int) -> NDArray[np.uint16] | None:
        kept, of, base, above = self._place.spectra, self._job.base, self._base, self._parents[parent]
        if kept is None or of is None or self._job.tokens is not None:
            return None
        if not isinstance(base, Elements) or not isinstance(above, Elements):
            return None
        return kept.ranks_of(of, self._job.sources[parent], base, above)


def _fits(memory: AnyTensor, like: AnyTensor, dtype: Dtype) -> bool:
    """Whether a merged tensor can be written there."""
    if memory.shape != like.shape:
        return False
    if isinstance(memory, Elements) or isinstance(like, Elements):
        return _are_elements([memory, like]) and memory.dtype in (dtype, "float32")
    dtypes = [torch_dtype(name) for name in (dtype, "float32")]
    return memory.device == like.device and memory.dtype in dtypes and memory.is_contiguous()


def _empty(like: Tensor, dtype: Dtype) -> Tensor:
    return like.new_empty(like.shape, dtype=torch_dtype(dtype))

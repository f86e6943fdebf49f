"""From a recipe to merged tensors, one at a time. Imports torch.

Knows recipes, plans and where parents' tensors come from; not what the merged tensors become: a model in memory or a
folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import torch
from torch import Tensor

from merging.draws import Draws
from merging.errors import TensorError
from merging.kernels import cpu
from merging.kernels.keepers import TensorKeepers
from merging.kernels.spectra import Spectra, Spectrum
from merging.methods import methods
from merging.methods.method import Settings
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

    Arithmetic is float32 and rounds once, at the end.
    TensorError for a merged tensor that is not finite: such a model must not be scored.
    """
    for job in jobs:
        yield job.name, _Merge(recipe, job, source, place).result()


class _Merge:
    """The merge of one tensor: in one pass where there is a kernel for it, otherwise as its method writes it."""

    def __init__(self, recipe: Recipe, job: TensorJob, source: TensorSource, place: Place) -> None:
        self._recipe, self._job, self._place = recipe, job, place
        self._method = methods.get(recipe.method)
        self._base = None if job.base is None else source.tensor(job.base.parent, job.base.name)
        self._parents = [source.tensor(of.parent, of.name) for of in job.sources]
        self._draws = Draws(recipe.seed, job.name)
        self._dtype = torch_dtype(recipe.dtype)

    def result(self) -> Tensor:
        stored = self._parents if self._base is None else [self._base, *self._parents]
        is_fused = self._method.as_pass is not None and cpu.takes(stored)
        merged, is_finite = self._in_one_pass() if is_fused else self._as_written()
        if not is_finite:
            raise TensorError(f"{self._job.name} is not finite after merging: {self._recipe.sentence()}")
        return merged

    def _in_one_pass(self) -> tuple[Tensor, bool]:
        if self._method.as_pass is None:
            raise TypeError(f"{self._method.name} has no pass")
        keepers = TensorKeepers(self._base, self._parents, self._draws, self._spectrum)
        task = self._method.as_pass(self._recipe.values[self._job.group], self._settings, keepers)
        target = self._target(self._parents[0])
        return target, cpu.merge(target, self._base, self._parents, self._dtype, task)

    def _as_written(self) -> tuple[Tensor, bool]:
        base = None if self._base is None else self._base.float()
        parents = [parent.float() for parent in self._parents]
        merged = self._method.merge(base, parents, self._recipe.values[self._job.group], self._settings, self._draws)
        rounded = merged.to(self._dtype)
        return rounded, bool(torch.isfinite(rounded).all())

    @property
    def _settings(self) -> Settings:
        shared = self._recipe.shared[self._job.group] if self._recipe.shared else {}
        return {**self._recipe.settings, **shared}

    def _target(self, like: Tensor) -> Tensor:
        found = self._place.targets.get(self._job.name)
        fits = found is not None and found.shape == like.shape and found.dtype in (self._dtype, torch.float32)
        if found is not None and fits and cpu.takes([found]):
            return found
        return torch.empty(like.shape, dtype=self._dtype)

    def _spectrum(self, parent: int, base: Tensor) -> Spectrum:
        if self._place.spectra is None or self._job.base is None:
            return Spectrum(base, self._parents[parent])
        return self._place.spectra.of(self._job.base, self._job.sources[parent], base, self._parents[parent])

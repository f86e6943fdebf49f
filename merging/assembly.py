"""From a recipe to merged tensors, one at a time. Imports torch.

Knows recipes, plans and where parents' tensors come from; not what the merged tensors become: a model in memory or a
folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from merging.draws import Draws
from merging.errors import TensorError
from merging.methods import methods
from merging.plans import TensorJob
from merging.recipes import Parent, Recipe
from merging.tensors import torch_dtype

NamedTensor = tuple[str, Tensor]


class TensorSource(Protocol):
    """Where parents' tensors come from."""

    def tensor(self, parent: Parent, name: str) -> Tensor:
        """The tensor as it is stored, on the device that computes. It belongs to the source: nobody may write to it."""
        ...


def assemble(recipe: Recipe, jobs: Sequence[TensorJob], source: TensorSource) -> Iterator[NamedTensor]:
    """Every merged tensor, in the recipe's dtype.

    One is computed at a time; a caller that keeps none needs memory for one.

    Arithmetic is float32 and rounds once, at the end. A result that is the parent's own tensor is not copied.
    TensorError for a merged tensor that is not finite: such a model must not be scored.
    """
    for job in jobs:
        yield job.name, _merged(recipe, job, source)


def _merged(recipe: Recipe, job: TensorJob, source: TensorSource) -> Tensor:
    base = None if job.base is None else source.tensor(job.base.parent, job.base.name).float()
    parents = [source.tensor(of.parent, of.name).float() for of in job.sources]
    settings = {**recipe.settings, **(recipe.shared[job.group] if recipe.shared else {})}
    merge = methods.get(recipe.method).merge
    tensor = merge(base, parents, recipe.values[job.group], settings, Draws(recipe.seed, job.name))
    rounded = tensor.to(torch_dtype(recipe.dtype))
    if not torch.isfinite(rounded).all():
        raise TensorError(f"{job.name} is not finite after merging: {recipe.sentence()}")
    return rounded

"""Embeddings of models with different vocabularies, made to have the same rows. Imports torch.

Knows plans and where tensors come from. What is merged afterwards knows nothing of it: all tensors of a job have one
shape again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from merging.elements import AnyTensor, as_tensor
from merging.plans import TensorJob, TensorOf
from merging.recipes import Parent
from merging.token_rows import TokenRows


class _Source(Protocol):
    def tensor(self, parent: Parent, name: str) -> AnyTensor: ...


class RowSource:
    """A `TensorSource` whose embeddings have the rows of the result, in its order. All else is that of another source.

    A row that a model lacks is the base model's, or the mean of the parents that have it; where nobody has it, which only
    happens to numbers without a token, it is 0. With such rows the embedding is float32, because a mean need not be a
    number of the model's own dtype.
    """

    def __init__(self, source: _Source, jobs: Sequence[TensorJob]) -> None:
        self._source = source
        self._jobs = {(of.parent, of.name): (job, job.tokens) for job in jobs if job.tokens for of in _inputs(job)}

    def tensor(self, parent: Parent, name: str) -> AnyTensor:
        """See `TensorSource`."""
        job, tokens = self._jobs.get((parent, name), (None, None))
        if job is None or tokens is None:
            return self._source.tensor(parent, name)
        stored = self._stored(parent, name)
        own = torch.from_numpy(tokens.own[parent])
        placed = stored.index_select(0, own.clamp(min=0).to(stored.device))  # [n_rows, width]
        lacking = (own < 0).nonzero().flatten()
        if not len(lacking):
            return placed
        placed = placed.float()
        placed[lacking.to(stored.device)] = self._rows_for_all(job, tokens, lacking)
        return placed

    def _rows_for_all(self, job: TensorJob, tokens: TokenRows, numbers: Tensor) -> Tensor:
        """What every model that lacks these rows takes, in float32: `[numbers, width]`."""
        rows = [(tokens.own[of.parent][numbers.numpy()], self._stored(of.parent, of.name)) for of in job.sources]
        width, device = rows[0][1].shape[1], rows[0][1].device
        total, count = torch.zeros(len(numbers), width, device=device), torch.zeros(len(numbers), 1, device=device)
        for own, stored in rows:
            has, found = _found(torch.from_numpy(own).to(device), stored)
            total[has] += found
            count[has] += 1
        filled = total / count.clamp(min=1)
        if job.base is not None:
            own = tokens.own[job.base.parent][numbers.numpy()]
            has, found = _found(torch.from_numpy(own).to(device), self._stored(job.base.parent, job.base.name))
            filled[has] = found
        return filled

    def _stored(self, parent: Parent, name: str) -> Tensor:
        return as_tensor(self._source.tensor(parent, name))


def _found(own: Tensor, stored: Tensor) -> tuple[Tensor, Tensor]:
    """Which of the rows a model has, as a mask, and those."""
    has = own >= 0
    return has, stored.index_select(0, own[has]).float()


def _inputs(job: TensorJob) -> Iterator[TensorOf]:
    yield from job.sources
    if job.base is not None:
        yield job.base

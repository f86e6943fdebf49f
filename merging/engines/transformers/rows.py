"""Rows of tokens that a model has read: their keys and values, and how more is read after them.

Rows stand aligned on the right: a row of n tokens fills the last n columns, what is left of it is masked. Every row is
contiguous, so a difference of columns is a difference of positions: sliding windows and relative positions are exact.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Protocol

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import CacheLayerMixin, DynamicLayer, DynamicSlidingWindowLayer

Tokens = Sequence[int]


class Columns(DynamicLayer):  # type: ignore[no-untyped-call]  # the library's base class is not annotated
    """Keys and values of one layer in buffers with room for more columns, which are written in place.

    The library's own layers grow by concatenation, which copies everything at every token, or keep the last columns of
    a sliding window, from which a row cannot be moved. With `whole`, attention is given the buffers to their ends and
    masks what is not written yet: contiguous, as fast kernels need them.
    """

    keys: torch.Tensor  # [rows, heads, capacity, head size]
    values: torch.Tensor

    def __init__(self, capacity: int, whole: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._capacity = capacity
        self._whole = whole
        self._n = 0

    @classmethod
    def holding(cls, keys: torch.Tensor, values: torch.Tensor, n: int, whole: bool = False) -> Columns:
        """Buffers of which `n` columns are written."""
        columns = cls(keys.shape[2], whole)
        columns.dtype, columns.device = keys.dtype, keys.device
        columns.keys, columns.values, columns._n = keys, values, n
        columns.is_initialized = True
        return columns

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys = key_states.new_zeros(*key_states.shape[:2], self._capacity, key_states.shape[3])
        self.values = value_states.new_zeros(*value_states.shape[:2], self._capacity, value_states.shape[3])
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, self._n = self._n, self._n + key_states.shape[-2]
        self.keys[:, :, start : self._n] = key_states
        self.values[:, :, start : self._n] = value_states
        if self._whole:
            return self.keys, self.values
        return self.keys[:, :, : self._n], self.values[:, :, : self._n]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return (self._capacity if self._whole else self._n + query_length), 0

    def get_seq_length(self) -> int:
        return self._n


@dataclass(frozen=True)
class Past:
    """What a model keeps of rows that it has read.

    `layers` holds keys and values, each [rows, heads, width, head size]; `lengths` how many of the last columns are a
    row's.
    """

    layers: list[tuple[torch.Tensor, torch.Tensor]]
    lengths: list[int]

    @property
    def width(self) -> int:
        return self.layers[0][0].shape[2]


@dataclass(frozen=True)
class After:
    """Rows begin with rows of `past` that were read before: row i with `parents[i]`, of which it is at least one token longer."""

    past: Past
    parents: list[int]

    def lengths(self) -> list[int]:
        return [self.past.lengths[parent] for parent in self.parents]


class Forward(Protocol):
    """A model's forward pass. It writes keys and values of what is read into the layers of `cache`, and makes them where there are none."""

    device: torch.device

    def __call__(
        self,
        tokens: torch.Tensor,  # [rows, queries]
        *,
        mask: torch.Tensor,  # [rows, columns so far, these included]
        positions: torch.Tensor,  # [rows, queries]
        cache: DynamicCache,
        n_logits: int,
    ) -> torch.Tensor:
        """Logits of the last `n_logits` queries."""
        ...


class ByLibrary:
    """See `Forward`; for every model."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.device = model.device
        self._model = model

    def __call__(
        self,
        tokens: torch.Tensor,
        *,
        mask: torch.Tensor,
        positions: torch.Tensor,
        cache: DynamicCache,
        n_logits: int,
    ) -> torch.Tensor:
        """See `Forward`."""
        cache.layer_class_to_replicate = partial(Columns, mask.shape[1])  # type: ignore[assignment]  # it is only called
        extra: dict[str, Any] = {"position_ids": positions, "logits_to_keep": n_logits}
        known = arguments(type(self._model).forward)
        output = self._model(
            input_ids=tokens,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
            **{name: value for name, value in extra.items() if name in known},
        )
        logits: torch.Tensor = output.logits[:, -n_logits:]
        return logits


def can_move_rows(model: PreTrainedModel) -> bool:
    """Whether the model's cache is keys and values alone. Recurrent states and shared or compressed ones are not moved about here."""
    movable = (DynamicLayer, DynamicSlidingWindowLayer)
    config = model.config.get_text_config(decoder=True)
    if "chunked_attention" in (getattr(config, "layer_types", None) or ()):
        return False
    return all(type(layer) in movable for layer in DynamicCache(config=model.config).layers) and not getattr(
        model, "_is_stateful", False
    )


def cache_of(layers: Sequence[CacheLayerMixin]) -> DynamicCache:
    """The library's cache with our layers in it. Made without the model's configuration, which takes it as long as a small layer."""
    cache = DynamicCache()
    cache.layers = list(layers)
    return cache


def read(
    forward: Forward, rows: Sequence[Tokens], after: After | None = None, n_logits: int = 1
) -> tuple[torch.Tensor, Past]:
    """Logits of the last columns, `[rows, n_logits, vocabulary]`, and what the model keeps of the rows.

    With `after`, only what is new is computed. Rows with less new tokens than the longest are read a little again, so
    that all of them are real tokens. Logits left of a row's first token mean nothing.
    """
    device, width = forward.device, max(map(len, rows))
    n_known = after.lengths() if after else [0] * len(rows)
    n_queries = max(n_logits, *(len(row) - known for row, known in zip(rows, n_known, strict=True)))
    start = max(0, width - n_queries)
    tokens = torch.tensor([[0] * (width - len(row)) + list(row) for row in rows], device=device)
    pads = torch.tensor([width - len(row) for row in rows], device=device)
    columns = torch.arange(width, device=device)
    positions = (columns - pads[:, None]).clamp(min=0)
    cache = cache_of(_begun(after, positions[:, :start], width) if after and start else [])
    logits = forward(
        tokens[:, start:],
        mask=columns >= pads[:, None],
        positions=positions[:, start:],
        cache=cache,
        n_logits=n_logits,
    )
    return logits, Past([_states(layer) for layer in cache.layers], [len(row) for row in rows])


def _states(layer: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return layer.keys, layer.values


@lru_cache
def arguments(forward: Callable[..., object]) -> frozenset[str]:
    """By name."""
    return frozenset(inspect.signature(forward).parameters)


def _begun(after: After, positions: torch.Tensor, width: int) -> list[Columns]:
    """Layers of `width` columns that begin with what is known; `positions` says what stands in each column, [rows, columns]."""
    parents = torch.tensor(after.parents, device=positions.device)
    offsets = torch.tensor([after.past.width - n for n in after.lengths()], device=positions.device)
    sources = positions + offsets[:, None]
    n = positions.shape[1]
    found = []
    for known in after.past.layers:
        buffers = [states.new_empty(len(parents), states.shape[1], width, states.shape[3]) for states in known]
        for buffer, states in zip(buffers, known, strict=True):
            buffer[:, :, :n] = states[parents[:, None], :, sources].transpose(1, 2)
        found.append(Columns.holding(buffers[0], buffers[1], n))
    return found

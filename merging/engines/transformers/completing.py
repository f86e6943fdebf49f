"""Greedy completion with continuous batching: rows that are finished leave, waiting ones enter in their place.

Longest prompts first. What all prompts begin with is read once. The order of rows, and with it every bit of a result,
depends on the prompts alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Final

import torch
from transformers import PreTrainedModel

from merging.engines import N_TOKENS_BETWEEN_CHECKS
from merging.engines.transformers.attention import helps, one_query_attention
from merging.engines.transformers.rows import After, Columns, Past, Tokens, cache_of, forward, read

LEAVE_SHARE: Final = 0.125
"""Finished rows leave once they are this share of the batch: leaving copies keys and values of those that stay."""
ROOM_SHARE: Final = 0.125
MIN_ROOM: Final = 16
"""Columns for tokens to come: a share of those in use, at least so many. More are masked for longer, fewer are copied more often."""
MIN_SHARED: Final = 8
"""A shorter common beginning is not worth its own step."""


@dataclass
class Row:
    """One prompt and what was generated for it. `finished`: by an end token, a stop string or a decision, not by the limit."""

    prompt: Tokens
    generated: list[int] = field(default_factory=list)
    finished: bool = False
    done: bool = False


@dataclass(frozen=True)
class Rules:
    """When a completion ends. `is_over` is asked about the generated tokens every `N_TOKENS_BETWEEN_CHECKS` of them."""

    max_new_tokens: int
    end_tokens: frozenset[int]
    is_over: Callable[[list[int]], bool] | None

    def add(self, row: Row, token: int) -> None:
        """One token more, unless the row is done."""
        if row.done:
            return
        if token in self.end_tokens:
            row.finished = row.done = True
            return
        row.generated.append(token)
        n = len(row.generated)
        if self.is_over and n % N_TOKENS_BETWEEN_CHECKS == 0 and self.is_over(row.generated):
            row.finished = row.done = True
        row.done |= n == self.max_new_tokens


@dataclass(frozen=True)
class Sizes:
    """How much is computed at once: rows in a batch, and tokens of prompts in one pass."""

    rows: int
    tokens: int


def complete(
    model: PreTrainedModel, prompts: Sequence[Tokens], rules: Rules, sizes: Sizes, tell: Callable[[int], None]
) -> list[Row]:
    """One row for each prompt, all done. `tell` is called with the number of those that are, at every step."""
    rows = [Row(prompt) for prompt in prompts]
    waiting = sorted(rows, key=lambda row: len(row.prompt), reverse=True)
    prefix = shared_beginning(model, prompts)
    fast = helps(model)
    with one_query_attention(model) if fast else nullcontext():
        batch = _Batch(model, whole=fast)
        while waiting or batch.n_active:
            n = sizes.rows - batch.n_active
            entering, waiting = waiting[:n], waiting[n:]
            batch.renew([_begin(model, some, prefix, rules) for some in _portions(entering, prefix, sizes.tokens)])
            tell(sum(row.done for row in rows))
            while batch.n_active and not batch.is_worth_renewing():
                batch.step(rules)
                tell(sum(row.done for row in rows))
    return rows


def shared_beginning(model: PreTrainedModel, rows: Sequence[Tokens]) -> Past | None:
    """What all rows begin with, read once; None when that is not worth it. The last token of a row is never shared."""
    if len(rows) < 2:
        return None
    first, last = min(rows), max(rows)  # in the order of tokens: what these two share, all share
    n = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    n = min(n, min(map(len, rows)) - 1)
    return read(model, [first[:n]])[1] if n >= MIN_SHARED else None


@dataclass(frozen=True)
class _Begun:
    """Rows whose prompts were read, and that have their first token."""

    rows: list[Row]
    past: Past


def _begin(model: PreTrainedModel, rows: list[Row], prefix: Past | None, rules: Rules) -> _Begun:
    after = After(prefix, [0] * len(rows)) if prefix else None
    logits, past = read(model, [row.prompt for row in rows], after)
    for row, token in zip(rows, logits[:, -1].argmax(dim=-1).tolist(), strict=True):
        rules.add(row, token)
    return _Begun(rows, past)


def _portions(rows: list[Row], prefix: Past | None, n_tokens: int) -> Iterator[list[Row]]:
    """Rows in their order, the longest first, so that one pass computes at most `n_tokens`, or one row."""
    n_known = prefix.lengths[0] if prefix else 0
    while rows:
        n = max(1, n_tokens // (len(rows[0].prompt) - n_known))
        yield rows[:n]
        rows = rows[n:]


class _Batch:
    """Rows that are decoded together, one token a step.

    rows[i] stands in `lengths[i]` columns that end at column `n`; capacity is what the buffers hold.
    """

    def __init__(self, model: PreTrainedModel, whole: bool) -> None:
        self._model = model
        self._whole = whole
        self._rows: list[Row] = []
        self._layers: list[Columns] = []
        self._lengths = torch.empty(0, dtype=torch.long, device=model.device)
        self._mask = torch.empty(0, 0, dtype=torch.bool, device=model.device)  # [rows, capacity]
        self._n = 0

    @property
    def n_active(self) -> int:
        return sum(not row.done for row in self._rows)

    def is_worth_renewing(self) -> bool:
        n_done = len(self._rows) - self.n_active
        return self._n == self._mask.shape[1] or n_done >= max(1, LEAVE_SHARE * len(self._rows))

    def step(self, rules: Rules) -> None:
        """One token more for every row. Rows that are done stay where they are until they leave."""
        device = self._model.device
        last = torch.tensor([row.generated[-1] if row.generated else 0 for row in self._rows], device=device)
        self._mask[:, self._n] = True
        self._n += 1
        logits = forward(
            self._model,
            last[:, None],
            mask=self._mask[:, : self._n],
            positions=self._lengths[:, None],
            cache=self._cache,
            n_logits=1,
        )
        self._lengths += torch.tensor([not row.done for row in self._rows], device=device)
        for row, token in zip(self._rows, logits[:, -1].argmax(dim=-1).tolist(), strict=True):
            rules.add(row, token)

    def renew(self, entering: Sequence[_Begun]) -> None:
        """Rows that are done leave, others enter, and there is room for more columns."""
        parts = [_Part.of(begun.rows, begun.past) for begun in entering]
        if self._rows:
            layers = [(layer.keys[:, :, : self._n], layer.values[:, :, : self._n]) for layer in self._layers]
            parts.insert(0, _Part.of(self._rows, Past(layers, self._lengths.tolist())))
        parts = [part for part in parts if part.rows]
        self._rows = [row for part in parts for row in part.rows]
        lengths = [n for part in parts for n in part.lengths]
        width = max(lengths, default=0)
        capacity = width + max(MIN_ROOM, int(width * ROOM_SHARE))
        self._lengths = torch.tensor(lengths, dtype=torch.long, device=self._model.device)
        columns = torch.arange(capacity, device=self._model.device)
        self._mask = (columns >= width - self._lengths[:, None]) & (columns < width)
        self._n = width
        n_layers = len(parts[0].past.layers) if parts else 0
        self._layers = [
            Columns.holding(
                *(
                    _side_by_side([(part, part.past.layers[i][side]) for part in parts], width, capacity)
                    for side in (0, 1)
                ),
                width,
                self._whole,
            )
            for i in range(n_layers)
        ]
        self._cache = cache_of(self._model, self._layers)


@dataclass(frozen=True)
class _Part:
    """Some rows of `past`, those not done, and where they stand in it."""

    rows: list[Row]
    places: list[int]
    lengths: list[int]
    past: Past

    @classmethod
    def of(cls, rows: Sequence[Row], past: Past) -> _Part:
        places = [i for i, row in enumerate(rows) if not row.done]
        return cls([rows[i] for i in places], places, [past.lengths[i] for i in places], past)


def _side_by_side(parts: Sequence[tuple[_Part, torch.Tensor]], width: int, capacity: int) -> torch.Tensor:
    """Keys or values of all parts' rows, aligned at column `width`; zero where there is nothing, since 0 times NaN is NaN."""
    like = parts[0][1]
    n_rows = sum(len(part.rows) for part, _ in parts)
    found = like.new_zeros(n_rows, like.shape[1], capacity, like.shape[3])
    start = 0
    for part, states in parts:
        n, end = max(part.lengths), start + len(part.rows)
        lengths = torch.tensor(part.lengths, device=like.device)
        here = found[start:end, :, width - n : width]
        here.copy_(states[:, :, -n:] if len(part.rows) == len(states) else states[part.places, :, -n:])
        if min(part.lengths) < n:
            pads = torch.arange(n, device=like.device) < n - lengths[:, None]
            here.masked_fill_(pads[:, None, :, None], 0)
        start = end
    return found

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
from merging.engines.transformers.lean import Lean, forward_of
from merging.engines.transformers.rows import After, Columns, Forward, Past, Tokens, cache_of, read

LEAVE_SHARE: Final = 0.125
"""Finished rows leave once they are this share of the batch: leaving copies keys and values of those that stay."""
ROOM_SHARE: Final = 0.25
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

    def add(self, rows: Sequence[Row], tokens: Sequence[int]) -> None:
        """One token more for each row that is not done."""
        for row, token in zip(rows, tokens, strict=True):
            if row.done:
                continue
            if token in self.end_tokens:
                row.finished = row.done = True
                continue
            row.generated.append(token)
            n = len(row.generated)
            if self.is_over and n % N_TOKENS_BETWEEN_CHECKS == 0 and self.is_over(row.generated):
                row.finished = row.done = True
            elif n == self.max_new_tokens:
                row.done = True


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
    forward = forward_of(model, max(map(len, prompts), default=0) + rules.max_new_tokens)
    prefix = shared_beginning(forward, prompts)
    by_products = helps(model)
    with one_query_attention(model) if by_products and not isinstance(forward, Lean) else nullcontext():
        batch = _Batch(forward, whole=by_products)
        while waiting or batch.n_active:
            n = sizes.rows - batch.n_active
            entering, waiting = waiting[:n], waiting[n:]
            begun = [_begin(forward, some, prefix, rules) for some in _portions(entering, prefix, sizes.tokens)]
            batch.renew(begun)
            n_before = len(rows) - len(waiting) - batch.n_active
            tell(n_before)
            n_entered = batch.n_active
            while batch.n_active and not batch.is_worth_renewing():
                batch.step(rules)
                tell(n_before + n_entered - batch.n_active)
    return rows


def shared_beginning(forward: Forward, rows: Sequence[Tokens]) -> Past | None:
    """What all rows begin with, read once; None when that is not worth it. The last token of a row is never shared."""
    if len(rows) < 2:
        return None
    first, last = (
        min(map(tuple, rows)),
        max(map(tuple, rows)),
    )  # in the order of tokens: what these two share, all share
    n = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    n = min(n, min(map(len, rows)) - 1)
    return read(forward, [first[:n]])[1] if n >= MIN_SHARED else None


@dataclass(frozen=True)
class _Part:
    """Rows that are not done, and where they stand in what the model keeps."""

    rows: list[Row]
    past: Past
    places: list[int]

    @classmethod
    def of(cls, rows: Sequence[Row], past: Past) -> _Part:
        places = [i for i, row in enumerate(rows) if not row.done]
        return cls([rows[i] for i in places], past, places)

    @property
    def lengths(self) -> list[int]:
        return [self.past.lengths[i] for i in self.places]


def _begin(forward: Forward, rows: list[Row], prefix: Past | None, rules: Rules) -> _Part:
    """Their prompts are read, and they have their first token."""
    after = After(prefix, [0] * len(rows)) if prefix else None
    logits, past = read(forward, [row.prompt for row in rows], after)
    rules.add(rows, logits[:, -1].argmax(dim=-1).tolist())
    return _Part.of(rows, past)


def _portions(rows: list[Row], prefix: Past | None, n_tokens: int) -> Iterator[list[Row]]:
    """Rows in their order, the longest first, so that one pass computes at most `n_tokens`, or one row."""
    n_known = prefix.lengths[0] if prefix else 0
    while rows:
        n = max(1, n_tokens // (len(rows[0].prompt) - n_known))
        yield rows[:n]
        rows = rows[n:]


class _Batch:
    """Rows that are decoded together, one token a step.

    Row i stands in the `_lengths[i]` columns that end at column `_n`. Rows that are done stay where they are until
    others take their place or the buffers are made anew.
    """

    def __init__(self, forward: Forward, whole: bool) -> None:
        self._forward = forward
        self._whole = whole
        self._rows: list[Row] = []
        self._layers: list[Columns] = []
        self._lengths = torch.empty(0, dtype=torch.long, device=forward.device)
        self._mask = torch.empty(0, 0, dtype=torch.bool, device=forward.device)  # [rows, capacity]
        self._n = 0
        self.n_active = 0

    def is_worth_renewing(self) -> bool:
        n_done = len(self._rows) - self.n_active
        return self._n == self._mask.shape[1] or n_done >= max(1, LEAVE_SHARE * len(self._rows))

    def step(self, rules: Rules) -> None:
        """One token more for every row."""
        device = self._forward.device
        last = torch.tensor([row.generated[-1] for row in self._rows], device=device)
        self._mask[:, self._n] = True
        self._n += 1
        logits = self._forward(
            last[:, None],
            mask=self._mask[:, : self._n],
            positions=self._lengths[:, None],
            cache=cache_of(self._layers),
            n_logits=1,
        )
        self._lengths += torch.tensor([not row.done for row in self._rows], device=device)
        rules.add(self._rows, logits[:, -1].argmax(dim=-1).tolist())
        self.n_active = sum(not row.done for row in self._rows)

    def renew(self, entering: Sequence[_Part]) -> None:
        """Rows that are done make place for others, and the last ones move up to where nobody enters.

        Without columns or places left for that, new buffers are made.
        """
        lengths = [n for part in entering for n in part.lengths]
        n_free = sum(row.done for row in self._rows)
        if self._n == self._mask.shape[1] or len(lengths) > n_free or max(lengths, default=0) > self._n:
            entering = [self._staying(range(len(self._rows))), *entering]
            self._make_room([n for part in entering for n in part.lengths], entering[-1].past)
        for part in entering:
            self._put(part)
        self._shrink()
        self.n_active = len(self._rows)

    def _staying(self, places: Sequence[int]) -> _Part:
        """Those rows in `places` that are not done."""
        layers = [(layer.keys[:, :, : self._n], layer.values[:, :, : self._n]) for layer in self._layers]
        past = Past(layers, self._lengths.tolist())
        return _Part(
            [self._rows[i] for i in places if not self._rows[i].done],
            past,
            [i for i in places if not self._rows[i].done],
        )

    def _shrink(self) -> None:
        """No row that is done is left; what remains of the buffers is still contiguous."""
        n = sum(not row.done for row in self._rows)
        if n == len(self._rows):
            return
        self._put(self._staying(range(n, len(self._rows))))
        self._rows, self._lengths, self._mask = self._rows[:n], self._lengths[:n], self._mask[:n]
        for layer in self._layers:
            layer.keys, layer.values = layer.keys[:n], layer.values[:n]

    def _make_room(self, lengths: Sequence[int], like: Past) -> None:
        """New buffers of places without rows, 0 where nothing will be put: a mask does not save from NaN."""
        device = self._forward.device
        self._n = max(lengths, default=0)
        capacity = self._n + max(MIN_ROOM, int(self._n * ROOM_SHARE))
        self._rows = [Row((), done=True) for _ in lengths]
        self._lengths = torch.zeros(len(lengths), dtype=torch.long, device=device)
        self._mask = torch.zeros(len(lengths), capacity, dtype=torch.bool, device=device)
        self._layers = []
        for states in like.layers:
            buffers = [part.new_empty(len(lengths), part.shape[1], capacity, part.shape[3]) for part in states]
            for buffer in buffers:
                buffer[:, :, : self._n - min(lengths, default=0)] = 0
                buffer[:, :, self._n :] = 0
            self._layers.append(Columns.holding(buffers[0], buffers[1], self._n, self._whole))

    def _put(self, part: _Part) -> None:
        """Rows into the first places that are free, aligned at the last column."""
        if not part.rows:
            return
        free = (place for place, row in enumerate(self._rows) if row.done)
        places = [place for place, _ in zip(free, part.rows, strict=False)]
        for place, row in zip(places, part.rows, strict=True):
            self._rows[place] = row
        device, width = self._forward.device, max(part.lengths)
        targets = torch.tensor(places, device=device)
        lengths = torch.tensor(part.lengths, device=device)
        columns = torch.arange(self._mask.shape[1], device=device)
        self._lengths[targets] = lengths
        self._mask[targets] = (columns >= self._n - lengths[:, None]) & (columns < self._n)
        runs = _runs(places, part.places)
        for layer, states in zip(self._layers, part.past.layers, strict=True):
            for buffer, known in zip((layer.keys, layer.values), states, strict=True):
                here = buffer[:, :, self._n - width : self._n]
                for target, source, n in runs:
                    here[target : target + n] = known[source : source + n, :, -width:]


def _runs(targets: Sequence[int], sources: Sequence[int]) -> list[tuple[int, int, int]]:
    """Pairs of neighbours together: where they begin on both sides, and how many they are."""
    found: list[tuple[int, int, int]] = []
    for target, source in zip(targets, sources, strict=True):
        if found and (target, source) == (found[-1][0] + found[-1][2], found[-1][1] + found[-1][2]):
            found[-1] = (*found[-1][:2], found[-1][2] + 1)
        else:
            found.append((target, source, 1))
    return found

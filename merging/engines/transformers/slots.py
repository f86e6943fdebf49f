"""A batch of fixed shapes: every row has a slot of its own, so that a step is the same kernels on the same memory every time
and can be recorded, see `graphs`.

A row in a slot stands in its first columns: a token's column is its position. What is right of a row is masked. Rows that
are done go on in their slots, for nothing, until others take these. A step computes only as many slots and columns as are
in use, rounded up: every such shape is recorded when it first comes, over the same memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

import torch
from torch import Tensor
from transformers import PreTrainedModel

from merging.engines.transformers.batch import LEAVE_SHARE, Part, Row, Rules
from merging.engines.transformers.graphs import Record, Step
from merging.engines.transformers.rows import ByLibrary, cache_of
from merging.engines.transformers.slot_attention import SlotLayer, slot_attention

MIN_COLUMNS: Final = 64
MAX_RECORDED: Final = 64
"""Shapes. A run needs some ten; each is kept by the driver, about a thousand kernels for a model of 7 B."""


class Slots:
    """A `Batch`, in slots whose memory stays from call to call, and with it what was recorded.

    The model's tensors may be written to. `forget` comes after other changes of the model, unless they are tensors in
    another place, which is seen.
    """

    def __init__(self, model: PreTrainedModel, record: Record) -> None:
        self._model, self._record = model, record
        self._recorded: dict[tuple[int, int, int, int], Step] = {}
        self._addresses: list[int] = []
        self._memory: list[Tensor] = []  # of keys, then of values, layer by layer
        self._buffers: list[Tensor] = []  # the same as [slots, heads, columns, head size]
        self._last = torch.empty(0, dtype=torch.long, device=model.device)  # [slots], tokens that are not read yet
        self._positions = self._last.clone()  # [slots], theirs
        self._rows: list[Row] = []
        self._n_columns = self._n_used = self._furthest = self._n_begun = self.n_active = 0

    def opened(self, n_rows: int, most: int, longest: int) -> Slots:
        """Itself, without rows, with slots for `n_rows` or a little more, but not for more than `most`, of up to `longest` tokens."""
        n_slots = min(rounded_up(n_rows), most)
        self._rows, self._n_columns, self.n_active = [Row((), done=True)] * n_slots, columns_for(longest), 0
        self._buffers = []
        addresses = [
            tensor.data_ptr() for tensors in (self._model.parameters(), self._model.buffers()) for tensor in tensors
        ]
        if addresses != self._addresses:
            self.forget()
            self._addresses = addresses
        if n_slots > len(self._last):
            self.forget()
            self._last = torch.zeros(n_slots, dtype=torch.long, device=self._last.device)
            self._positions = torch.zeros_like(self._last)
        return self

    def forget(self) -> None:
        """What was recorded of a model that has become another one."""
        self._recorded.clear()

    @property
    def n_free(self) -> int:
        """See `Batch`."""
        return len(self._rows) - self.n_active

    def is_worth_renewing(self) -> bool:
        """See `Batch`."""
        return self._n_begun - self.n_active >= max(1, LEAVE_SHARE * self._n_begun)

    def step(self, rules: Rules) -> None:
        """See `Batch`."""
        self._repeat(self._n_used, min(columns_for(self._furthest + 1), self._n_columns))()
        self._furthest += 1
        rules.add(self._rows[: self._n_used], self._last[: self._n_used].tolist())
        self.n_active = sum(not row.done for row in self._rows)

    def renew(self, entering: Iterable[Part]) -> None:
        """See `Batch`. Parts are taken in one after another, so that no two of them need memory at a time."""
        for part in entering:
            if part.rows:
                self._enter(part)
        self.n_active = self._n_begun = sum(not row.done for row in self._rows)
        self._move_up()
        ahead = [
            (row.generated[-1], len(row.prompt) + len(row.generated) - 1) if not row.done else (0, 0)
            for row in self._rows
        ]
        last, positions = zip(*ahead, strict=True)
        self._last[: len(ahead)].copy_(torch.tensor(last))
        self._positions[: len(ahead)].copy_(torch.tensor(positions))
        self._furthest = max(positions)

    def _repeat(self, n_rows: int, n_columns: int) -> Step:
        """One token more for the first `n_rows` slots, in the first `n_columns`."""
        shape = (len(self._rows), self._n_columns, n_rows, n_columns)
        if shape not in self._recorded:
            if len(self._recorded) == MAX_RECORDED:
                self.forget()
            before = self._last.clone(), self._positions.clone()
            self._recorded[shape] = self._record(self._step(n_rows, n_columns))
            self._last.copy_(before[0])
            self._positions.copy_(before[1])
        return self._recorded[shape]

    def _step(self, n_rows: int, n_columns: int) -> Step:
        """It does not know the slots: they keep what was recorded, and the memory of both is needed once nobody asks any more."""
        used = [buffer[:n_rows, :, :n_columns] for buffer in self._buffers]
        return partial(_advance, self._model, self._last[:n_rows], self._positions[:n_rows], used)

    def _enter(self, part: Part) -> None:
        """Rows into the first slots that are free; 0 where they do not reach: a mask does not save from NaN."""
        states = [one for layer in part.past.layers for one in layer]
        self._buffers = self._buffers or self._room(states)
        free = (slot for slot, row in enumerate(self._rows) if row.done)
        slots = [slot for slot, _ in zip(free, part.rows, strict=False)]
        for slot, row in zip(slots, part.rows, strict=True):
            self._rows[slot] = row
        device, width = self._last.device, max(part.lengths)
        lengths = torch.tensor(part.lengths, device=device)[:, None]
        columns = torch.arange(width, device=device)
        sources = (columns + part.past.width - lengths).clamp(max=part.past.width - 1)  # [rows, columns]
        targets, places = torch.tensor(slots, device=device), torch.tensor(part.places, device=device)[:, None]
        is_beyond = (columns >= lengths)[:, :, None, None]
        for buffer, known in zip(self._buffers, states, strict=True):
            buffer[targets, :, :width] = known[places, :, sources].masked_fill_(is_beyond, 0).transpose(1, 2)
            buffer[targets, :, width:] = 0

    def _room(self, states: list[Tensor]) -> list[Tensor]:
        """Buffers for what is like `states`, in the memory there is, or in new memory where it is too small."""
        shapes = [(len(self._rows), one.shape[1], self._n_columns, one.shape[3]) for one in states]
        sizes = [torch.Size(shape).numel() for shape in shapes]
        if len(self._memory) < len(sizes) or any(
            memory.numel() < n for memory, n in zip(self._memory, sizes, strict=False)
        ):
            self.forget()
            self._memory = []
            self._memory = [one.new_zeros(n) for one, n in zip(states, sizes, strict=True)]
        return [memory[:n].view(shape) for memory, n, shape in zip(self._memory, sizes, shapes, strict=False)]

    def _move_up(self) -> None:
        """The last rows into free slots before them, where fewer slots are then computed."""
        self._n_used = min(rounded_up(self.n_active), len(self._rows))
        sources = [slot for slot in range(self._n_used, len(self._rows)) if not self._rows[slot].done]
        targets = [slot for slot in range(self._n_used) if self._rows[slot].done][: len(sources)]
        for source, target in zip(sources, targets, strict=True):
            self._rows[target], self._rows[source] = self._rows[source], self._rows[target]
        if sources:
            for buffer in self._buffers:
                buffer[targets] = buffer[sources]


def _advance(model: PreTrainedModel, last: Tensor, positions: Tensor, used: Sequence[Tensor]) -> None:
    """What is recorded. A row that is done may have run out of columns: it stays at the last one."""
    n_rows, _, n_columns, _ = used[0].shape
    at = positions.clamp(max=n_columns - 1)
    layers = [SlotLayer(keys, values, at) for keys, values in zip(used[::2], used[1::2], strict=True)]
    with slot_attention(model):
        logits = ByLibrary(model)(
            last[:, None],
            mask=at.new_ones(n_rows, n_columns, dtype=torch.bool),  # without one, some look for padding
            positions=at[:, None],
            cache=cache_of(layers),
            n_logits=1,
        )
    last.copy_(logits[:, -1].argmax(dim=-1))
    positions.add_(1)


def columns_for(n: int) -> int:
    """Of a slot, for so many tokens."""
    return rounded_up(max(n, MIN_COLUMNS))


def rounded_up(n: int) -> int:
    """To 1, 2, 3, 4, 6, 8, 12, 16, 24 and so on: few shapes, of which at most a third is not used."""
    power = 1 << max(0, n - 1).bit_length()
    return power * 3 // 4 if power > 2 and n <= power * 3 // 4 else power

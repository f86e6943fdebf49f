"""A batch that decodes with keys and values in buffers just as large as it needs: see `Batch`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import torch

from merging.engines.transformers.batch import LEAVE_SHARE, Part, Row, Rules
from merging.engines.transformers.rows import Columns, Forward, Past, cache_of

ROOM_SHARE: Final = 0.25
MIN_ROOM: Final = 16
"""Columns for tokens to come: a share of those in use, at least so many. More are masked for longer, fewer are copied more often."""


class Growing:
    """A `Batch` of up to `most` rows, in buffers that grow and shrink with it.

    Row i stands in the `_lengths[i]` columns that end at column `_n`. Rows that are done stay where they are until
    others take their place or the buffers are made anew.
    """

    def __init__(self, forward: Forward, most: int, whole: bool) -> None:
        self._forward = forward
        self._most = most
        self._whole = whole
        self._rows: list[Row] = []
        self._layers: list[Columns] = []
        self._lengths = torch.empty(0, dtype=torch.long, device=forward.device)
        self._mask = torch.empty(0, 0, dtype=torch.bool, device=forward.device)  # [rows, capacity]
        self._n = 0
        self.n_active = 0

    @property
    def n_free(self) -> int:
        """See `Batch`."""
        return self._most - self.n_active

    def is_worth_renewing(self) -> bool:
        """See `Batch`."""
        n_done = len(self._rows) - self.n_active
        return self._n == self._mask.shape[1] or n_done >= max(1, LEAVE_SHARE * len(self._rows))

    def step(self, rules: Rules) -> None:
        """See `Batch`."""
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

    def renew(self, entering: Iterable[Part]) -> None:
        """See `Batch`. The last rows move up to where nobody enters. Without columns or places for all, new buffers are made."""
        entering = list(entering)
        lengths = [n for part in entering for n in part.lengths]
        n_free = sum(row.done for row in self._rows)
        if self._n == self._mask.shape[1] or len(lengths) > n_free or max(lengths, default=0) > self._n:
            entering = [self._staying(range(len(self._rows))), *entering]
            self._make_room([n for part in entering for n in part.lengths], entering[-1].past)
        for part in entering:
            self._put(part)
        self._shrink()
        self.n_active = len(self._rows)

    def _staying(self, places: Sequence[int]) -> Part:
        """Those rows in `places` that are not done."""
        layers = [(layer.keys[:, :, : self._n], layer.values[:, :, : self._n]) for layer in self._layers]
        past = Past(layers, self._lengths.tolist())
        return Part(
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

    def _put(self, part: Part) -> None:
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

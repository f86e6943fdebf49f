"""A CUDA graph's rules on a CPU: operations of a step are written down once and repeated on the same memory, without Python.

As there, what a step asked the device, where it put something by a host's list, and what it decided are frozen or forbidden.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from merging.engines.transformers.graphs import Step

ASKING: Final = frozenset(
    {
        "aten::_local_scalar_dense",
        "aten::item",
        "aten::is_nonzero",
        "aten::equal",
        "aten::nonzero",
        "aten::masked_select",
        "aten::_unique2",
        "aten::unique_dim",
        "aten::bincount",
    }
)
"""The device waits for the host, or shapes depend on what it found."""


class ForbiddenInGraphs(RuntimeError):
    """As a capture refuses it."""


class Tape(TorchDispatchMode):
    """What is computed inside the block."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), named: dict[str, Any] | None = None
    ) -> Any:
        if function._schema.name in ASKING:
            raise ForbiddenInGraphs(f"{function} asks the device")
        found = function(*arguments, **(named or {}))
        self._calls.append((function, arguments, named or {}, found))
        return found

    def replay(self) -> None:
        for function, arguments, named, found in self._calls:
            again = function(*arguments, **named)
            for before, after in zip(_tensors(found), _tensors(again), strict=True):
                if before.data_ptr() != after.data_ptr():
                    before.copy_(after)


class Crossings(TorchDispatchMode):
    """Operations inside the block that take from one device and give to another."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), named: dict[str, Any] | None = None
    ) -> Any:
        found = function(*arguments, **(named or {}))
        tensors = [*_tensors(arguments), *_tensors(list((named or {}).values())), *_tensors(found)]
        if len({tensor.device for tensor in tensors}) > 1:
            self.found.append(str(function))
        return found


class Tapes:
    """A `Record`. Counts what it recorded and what was repeated."""

    def __init__(self) -> None:
        self.n_recorded = self.n_replayed = 0

    def __call__(self, step: Step) -> Step:
        step()
        tape = Tape()
        with tape:
            step()
        self.n_recorded += 1

        def replay() -> None:
            self.n_replayed += 1
            tape.replay()

        return replay


def _tensors(found: Any) -> list[torch.Tensor]:
    if isinstance(found, (tuple, list)):
        return [tensor for one in found for tensor in _tensors(one)]
    return [found] if isinstance(found, torch.Tensor) else []

"""How many threads a model is worth on a CPU. Imports torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch

TINY: Final = 50_000_000
"""Parameters below which one thread is best: its matrices are done before a second thread has woken up. On a busy machine the two also
wait for each other: 100 completions of a model of 0.75 M parameters took 1.2 s with one thread and 9 s with two on two loaded cores."""


@contextmanager
def threads_for(n_parameters: int) -> Iterator[None]:
    """One thread inside the block for a tiny model, as many as before for others. For the whole process, so from one thread only."""
    before = torch.get_num_threads()
    if n_parameters < TINY:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)

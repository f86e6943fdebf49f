"""How many threads compute on a CPU. Imports torch only to tell it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Final

TINY: Final = 50_000_000
"""Parameters below which one thread is best: its matrices are done before a second thread has woken up. On a busy machine the two also
wait for each other: 100 completions of a model of 0.75 M parameters took 1.2 s with one thread and 9 s with two on two loaded cores."""

TOPOLOGY: Final = Path("/sys/devices/system/cpu")


def n_threads() -> int:
    """As many as torch may use where it is loaded, and where it is not, as many as it would take."""
    torch = sys.modules.get("torch")
    return n_by_default() if torch is None else int(torch.get_num_threads())


@lru_cache(maxsize=1)
def n_by_default() -> int:
    """Torch asks MKL: `MKL_NUM_THREADS` or else `OMP_NUM_THREADS`, but no more than the cores that this process may run on.

    Threads that share a core count once.
    """
    runs_on = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else range(os.cpu_count() or 1)
    n_cores = len({_core_of(processor) for processor in runs_on})
    asked = (os.environ.get(name, "").partition(",")[0] for name in ("MKL_NUM_THREADS", "OMP_NUM_THREADS"))
    return min(n_cores, next((int(n) for n in asked if n.isdecimal() and int(n)), n_cores))


@contextmanager
def threads_for(n_parameters: int) -> Iterator[None]:
    """One thread inside the block for a tiny model, as many as before for others. For the whole process, so from one thread only."""
    import torch

    before = torch.get_num_threads()
    if n_parameters < TINY:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _core_of(processor: int) -> str:
    """The processors that share a core with one; itself where the system does not say."""
    try:
        return (TOPOLOGY / f"cpu{processor}/topology/thread_siblings_list").read_text()
    except OSError:
        return str(processor)

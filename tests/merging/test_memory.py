"""Memory that tensors gave back is used again, not cleared by the system anew."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

COUNT_FAULTS = """
import resource, sys
import numpy as np
from merging.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def turn():
    pair = [np.ones(5 << 20, np.float32) for _ in range(2)]
turn()
before = faults()
for _ in range(10):
    turn()
print(faults() - before)
"""


def n_faults(how: str) -> int:
    """Pages that the system gives while 20 arrays of 20 MiB come and go, after the first two."""
    command = [sys.executable, "-c", COUNT_FAULTS, how]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries cannot be told")
def test_freed_memory_is_used_again() -> None:
    """5,120 pages an array, unless pages are huge; then there are few faults in either case."""
    assert n_faults("keep") < 500 and n_faults("keep") <= n_faults("leave")

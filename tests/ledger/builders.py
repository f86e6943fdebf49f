"""Builders of exports to kill: real claims, real folders and real rows; only the tensors are made up, so that a build takes milliseconds.

As a program it waits for lines on its input and answers each on its output. `build` builds one export in this process; `kill S` builds in a
child, again and again, which is killed S seconds after it has begun to write.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator

import django
import numpy as np

N_TENSORS = 6


def build_one() -> bool:
    """Claim an export and build it as a worker and its device do. False when there was none."""
    from merging.folders import complete_or_absent, with_sums
    from merging.shards import TensorShape
    from merging.streaming import write_model
    from workers.ledger import exports

    claim = exports.claim_export(f"builder-{os.getpid()}")
    if claim is None:
        return False
    shapes = [TensorShape(f"layer.{i}", "float32", (20_000,)) for i in range(N_TENSORS)]
    with complete_or_absent(claim.partial) as partial:
        (partial / "README.md").write_text(f"built with lease {claim.lease.token}\n" * 1000)
        hashes: dict[str, str] = {}
        write_model(_tensors(shapes, claim.lease.token), shapes, partial, lambda _: None, 200_000, hashes)
        files = with_sums(partial, hashes)
    exports.finish_export(claim, files)
    return True


def _tensors(shapes: list, seed: int) -> Iterator[tuple]:  # type: ignore[type-arg]
    from merging.elements import Elements

    draws = np.random.default_rng(seed)
    for shape in shapes:
        yield shape.name, Elements(draws.random(shape.shape, np.float32).view(np.uint32), shape.dtype, shape.shape)


def _killed(seconds: float) -> None:
    from workers.ledger import exports

    child = os.fork()
    if child == 0:
        while build_one():
            pass
        os._exit(0)
    deadline = time.monotonic() + 30
    while not any(exports.folder().iterdir()) and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def main() -> None:
    django.setup()
    from django.db import connection

    import merging.streaming  # noqa: F401  (a third of a second that no child shall spend)

    print("ready", flush=True)
    for line in sys.stdin:
        if line.startswith("kill "):
            _killed(float(line.split()[1]))
        else:
            build_one()
            connection.close()
        print("done", flush=True)


if __name__ == "__main__":
    main()

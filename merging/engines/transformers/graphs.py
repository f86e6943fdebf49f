"""A step of a GPU's work recorded once and launched as one: CUDA graphs.

A graph repeats kernels with the arguments they had, addresses among them: whatever it reads and writes must stay where it
is, and what Python decided on the way stays decided.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import torch

Step = Callable[[], None]
"""Reads and writes tensors that stay where they are, and nothing else."""

Record = Callable[[Step], Step]
"""Returns what does the same as a step, which may be run for that."""

Recorder = Callable[[torch.device], Record | None]
"""What records steps on a device, if anything does."""

CAPTURE_MODE: Final = "thread_local"
"""Other threads may use the GPU meanwhile."""

log = logging.getLogger(__name__)


def graphs_on(device: torch.device) -> Record | None:
    """The `Recorder` that makes graphs on a GPU and nothing elsewhere."""
    return CudaGraphs(device) if device.type == "cuda" else None


def no_graphs(device: torch.device) -> None:
    """The `Recorder` for steps that are launched kernel by kernel."""


class CudaGraphs:
    """A `Record`. All its graphs share one pool of memory: they are replayed one after another, and nothing that a graph
    leaves in the pool is read after it.

    What cannot be captured, because it asks the GPU something halfway, is run step by step from then on, and logged.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # the library does not annotate it
        self._pool = torch.cuda.graph_pool_handle()
        self._is_possible = True

    def __call__(self, step: Step) -> Step:
        """See `Record`. Out of memory is raised."""
        here = torch.cuda.current_stream(self._device)
        with torch.cuda.device(self._device), torch.cuda.stream(here):  # also after a capture that failed
            if not self._is_possible:
                return step
            try:
                self._warm_up(step)
                return self._captured(step)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                self._is_possible = False
                log.warning("steps are launched kernel by kernel, they cannot be captured as a graph: %s", error)
                return step

    def _warm_up(self, step: Step) -> None:
        """Libraries allocate and choose on their first call, which a capture does not allow. RuntimeError from a step that waits
        for the GPU: that is seen here, because a capture that fails leaves torch's allocator waiting for its end.
        """
        here = torch.cuda.current_stream()
        self._stream.wait_stream(here)
        try:
            with torch.cuda.stream(self._stream), _waiting_is_an_error():
                step()
        finally:
            here.wait_stream(self._stream)

    def _captured(self, step: Step) -> Step:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode=CAPTURE_MODE):
            step()
        return graph.replay


@contextmanager
def _waiting_is_an_error() -> Iterator[None]:
    """Inside the block most of what waits for the GPU raises. Torch warns once that it is not all."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)

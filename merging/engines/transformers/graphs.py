"""A step of a GPU's work recorded once and launched as one: CUDA graphs.

A graph repeats kernels with the arguments they had, addresses among them: whatever it reads and writes must stay where it
is, and what Python decided on the way stays decided.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import torch

Step = Callable[[], None]
"""Reads and writes tensors that stay where they are, and nothing else."""

Record = Callable[[Step], Step]
"""Runs a step at least once and returns what does the same again."""

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
        with torch.cuda.device(self._device), torch.cuda.stream(torch.cuda.current_stream(self._device)):
            self._warm_up(step)
            if not self._is_possible:
                return step
            try:
                return self._captured(step)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                self._is_possible = False
                log.warning(
                    "steps are launched kernel by kernel, because they cannot be captured as a graph: %s", error
                )
                return step

    def _warm_up(self, step: Step) -> None:
        """Libraries allocate and choose on their first call, which a capture does not allow."""
        here = torch.cuda.current_stream()
        self._stream.wait_stream(here)
        with torch.cuda.stream(self._stream):
            step()
        here.wait_stream(self._stream)

    def _captured(self, step: Step) -> Step:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode=CAPTURE_MODE):
            step()
        return graph.replay

"""Benchmarks that come with Progeny: a name, and how to load the samples when somebody asks for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from merging.benchmarks.samples import Benchmark
from merging.registry import Registry


@dataclass(frozen=True)
class Builtin:
    """A built-in benchmark. `load` returns the same samples every time."""

    name: str
    title: str
    summary: str
    load: Callable[[], Benchmark]


benchmarks: Final[Registry[Builtin]] = Registry("benchmark")

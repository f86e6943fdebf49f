"""What opens a sealed final split. It is in the library's rows alone, and leaves them only for the final exam."""

from __future__ import annotations

from merging.benchmarks import BenchmarkSpec
from webapp.library.models import Benchmark


def key_of(spec: BenchmarkSpec) -> str | None:
    """The key of this benchmark's final split; None when that is not sealed."""
    return Benchmark.objects.filter(digest=spec.digest).exclude(key="").values_list("key", flat=True).first()

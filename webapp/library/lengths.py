"""Whether a benchmark's answers fit into what models take at once, as far as their configurations tell before anything is asked."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from merging.benchmarks import BenchmarkSpec
from merging.benchmarks.questions import Questions
from merging.benchmarks.scorers.scorer import ChoiceScorer
from merging.configs import read_positions
from merging.errors import ParentError
from webapp.library.models import Parent


def too_long(spec: BenchmarkSpec, title: str, models: Iterable[Parent]) -> str:
    """Why no question can be asked, in a sentence; empty when one may. BenchmarkError when the questions cannot be read.

    A model whose folder cannot be read is passed over: others say so.
    """
    asked = spec.load()
    if not isinstance(asked, Questions) or isinstance(asked.judge, ChoiceScorer):
        return ""
    known = [(n, model.name) for model in models if (n := _positions(model)) is not None]
    if not known or asked.max_new_tokens < min(known)[0]:
        return ""
    n, name = min(known)
    return (
        f"an answer to {title} may have {asked.max_new_tokens} tokens, and {name} takes {n} at once, question and answer together. "
        f"Add the questions once more with a longest answer that leaves room for them, such as {n // 2}"
    )


def _positions(model: Parent) -> int | None:
    with suppress(ParentError):
        return read_positions(Path(model.folder))
    return None

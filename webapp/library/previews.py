"""What a benchmark amounts to before anything is kept or asked: how sure a score on it can be, what a model reads, what gives pause."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Final

from merging.benchmarks import SPLITS, Benchmark, BenchmarkSpec, Questions, Sample, Split
from merging.benchmarks.languages import language_of
from merging.benchmarks.likeness import Alike, alike
from merging.chats import chats
from merging.errors import EvaluationError
from merging.statistics import wilson
from merging.tokenizers import default_template, special_words

N_SHOWN: Final = 5
N_HEARD: Final = 100
"""Questions whose language is detected."""
MAX_HEARD: Final = 2000
"""Characters of a question that tell its language."""
N_SEEN, N_HELD_OUT = 10_000, 2_000
"""Questions that are compared for likeness; more would keep a page waiting."""
MAX_SHOWN: Final = 20_000
FEW: Final = 50
"""A score on fewer questions says little."""
SPLIT_USES: Final[dict[Split, str]] = {
    "search": "Every candidate is scored on it.",
    "validation": "What you look at: the search never sees it.",
    "final": "Sealed. Asked once, at the end of a run, of the best and what they are compared with.",
}


@dataclass(frozen=True)
class Size:
    """A split with its number of samples, and the 95 % interval of a score of one half on all of them: the widest there is."""

    split: Split
    use: str
    n: int
    low: float
    high: float

    @property
    def standard_error(self) -> float:
        """Of a score of one half on all of them."""
        return math.sqrt(0.25 / self.n)


@dataclass(frozen=True)
class Shown:
    """A sample and what a model reads, of which the first `MAX_SHOWN` characters are shown."""

    sample: Sample
    prompt: str

    @property
    def begins(self) -> str:
        """As much as a page can hold."""
        return self.prompt[:MAX_SHOWN]

    @property
    def n_more(self) -> int:
        """Characters that are not shown."""
        return len(self.prompt) - len(self.begins)


@dataclass(frozen=True)
class Overlap:
    """Questions of one split that read like one of another, of the first `n` that were compared. No question is in both as it stands:
    such are refused.
    """

    seen: Split
    held_out: Split
    n: int
    nearly: list[Alike]
    but_for_numbers: list[Alike]

    @property
    def is_clean(self) -> bool:
        return not self.nearly and not self.but_for_numbers


@dataclass(frozen=True)
class Preview:
    """Questions that could be frozen."""

    questions: Questions
    sizes: list[Size]
    shown: list[Shown]
    languages: list[tuple[str, int]]
    concerns: list[str]

    @property
    def n(self) -> int:
        """Questions in all splits."""
        return sum(size.n for size in self.sizes)

    @property
    def n_heard(self) -> int:
        """Questions whose language was detected."""
        return sum(n for _, n in self.languages)


def preview(questions: Questions) -> Preview:
    """Everything that the page shows of checked questions. Takes seconds for ten thousands of them."""
    sizes = [size(split, len(samples)) for split, samples in questions.samples.items()]
    languages = _languages(questions.take("search"))
    return Preview(questions, sizes, shown(questions, "search"), languages, _concerns(questions, languages))


def size(split: Split, n: int) -> Size:
    """A split of so many samples."""
    interval = wilson(n // 2, n)
    return Size(split, SPLIT_USES[split], n, interval.low, interval.high)


def shown(benchmark: Benchmark, split: Split, n: int = N_SHOWN) -> list[Shown]:
    """The first samples of a split as a model reads them."""
    return [Shown(sample, benchmark.rendered(sample)) for sample in benchmark.samples[split][:n]]


def shown_to(folder: Path, benchmark: Benchmark, split: Split, n: int = N_SHOWN) -> list[Shown]:
    """The same as the model in a folder reads them, in its own chat template. EvaluationError when it has none, or one that fails;
    ParentError for a folder that cannot be read.
    """
    template = default_template(folder)
    if not template:
        raise EvaluationError("This model has no chat template, so this benchmark cannot be asked of it")
    plain = shown(benchmark, split, n)
    texts = chats(template, json.dumps(special_words(folder)), tuple(one.prompt for one in plain))
    return [Shown(one.sample, text) for one, text in zip(plain, texts, strict=True)]


@lru_cache(maxsize=32)
def overlaps(spec: BenchmarkSpec) -> tuple[Overlap, ...]:
    """Every two splits that are open, compared. Takes seconds for ten thousands of questions; a benchmark never changes."""
    benchmark = spec.load()
    both = [pair for pair in combinations(SPLITS, 2) if all(split in benchmark.samples for split in pair)]
    return tuple(_overlap(benchmark, *pair) for pair in both)


def _overlap(benchmark: Benchmark, seen: Split, held_out: Split) -> Overlap:
    compared = benchmark.take(held_out)[:N_HELD_OUT]
    pairs = alike(compared, benchmark.take(seen)[:N_SEEN])
    nearly = [pair for pair in pairs if not pair.but_for_numbers]
    return Overlap(seen, held_out, len(compared), nearly, [pair for pair in pairs if pair.but_for_numbers])


def _languages(samples: Sequence[Sample]) -> list[tuple[str, int]]:
    """Languages of the first questions with how many there are of each, the commonest first; "" where none stands out."""
    found = Counter(
        language_of(sample.question[:MAX_HEARD], sample.language or "en") or "" for sample in samples[:N_HEARD]
    )
    return found.most_common()


def _concerns(questions: Questions, languages: list[tuple[str, int]]) -> list[str]:
    found = []
    if (n := len(questions.take("search"))) < FEW:
        found.append(
            f"A search on {n} questions is led by luck: with a hundred or more, differences between candidates show."
        )
    if not questions.language_gate and len([code for code, _ in languages if code]) > 1:
        found.append(
            "The questions are in several languages. An answer counts in whatever language it comes: "
            "name a language if that matters."
        )
    return found + _likeness(questions)


def _likeness(questions: Questions) -> list[str]:
    seen = questions.take("search")[:N_SEEN]
    held_out = [sample for split in ("validation", "final") for sample in questions.take(split)[: N_HELD_OUT // 2]]
    pairs = alike(held_out, seen)
    of_numbers = [pair for pair in pairs if pair.but_for_numbers]
    nearly = [pair for pair in pairs if not pair.but_for_numbers]
    said = []
    if nearly:
        said.append(
            f"{_of(nearly, held_out)} nearly the same as one that the search sees, such as {_example(nearly)}. A score on "
            "them says little about new questions: keep one of each pair."
        )
    if of_numbers:
        said.append(
            f"{_of(of_numbers, held_out)} one that the search sees but for digits and signs, such as "
            f"{_example(of_numbers)}. That is as it should be only where the numbers are what is asked."
        )
    return said


def _of(pairs: list[Alike], held_out: Sequence[Sample]) -> str:
    return (
        f"{len(pairs)} of {len(held_out)} questions that the search does not see {'is' if len(pairs) == 1 else 'are'}"
    )


def _example(pairs: list[Alike]) -> str:
    return f"{pairs[0].held_out.id} and {pairs[0].seen.id}"

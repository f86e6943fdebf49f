"""A benchmark: samples in three splits, how they are asked, and what counts as right. Knows no files and no models."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Final, Literal, get_args

from merging import plain
from merging.benchmarks.scorers import scorers
from merging.errors import BenchmarkError

Split = Literal["search", "validation", "final"]
SPLITS: Final[tuple[Split, ...]] = get_args(Split)
QUESTION: Final = "{question}"
MAX_NEW_TOKENS: Final = 8192


@dataclass(frozen=True)
class Sample:
    """One question with its answer. `language` is the ISO 639-1 code that a completion is expected in; None: any."""

    id: str
    question: str
    answer: str
    language: str | None = None


@dataclass(frozen=True)
class Benchmark:
    """Samples by split, each in its frozen order. The search sees the search split, people choose on validation, and
    the final split is scored once, at the end.

    `prompt` is what a model reads, with `{question}` where the question goes. A completion ends at its end token, at a
    `stop` string or after `max_new_tokens`. With `language_gate` a completion scores only in its sample's language.
    """

    name: str
    title: str
    scorer: str
    language_gate: bool
    max_new_tokens: int
    prompt: str
    stop: tuple[str, ...]
    samples: Mapping[Split, tuple[Sample, ...]]

    def __post_init__(self) -> None:
        _check_asking(self)
        _check_samples(self)
        _check_disjoint(self)

    @cached_property
    def digest(self) -> str:
        """`sha256:...` of everything that a score depends on: samples, order, splits, prompt, limits and the scorer's version."""
        samples = {split: [asdict(sample) for sample in self.samples[split]] for split in SPLITS}
        asking = [self.prompt, list(self.stop), self.max_new_tokens, self.language_gate]
        return plain.digest([scorers.get(self.scorer).id, asking, samples])

    def take(self, split: Split, n: int | None = None) -> tuple[Sample, ...]:
        """The first n samples of a split, all for None; BenchmarkError when there are fewer."""
        found = self.samples[split]
        if n is not None and not 1 <= n <= len(found):
            raise BenchmarkError(
                f"{n} samples of the {split} split of {self.name}; expected 1 to {len(found)}, which it holds"
            )
        return found[:n]

    def prompt_for(self, sample: Sample) -> str:
        """What a model reads."""
        return self.prompt.replace(QUESTION, sample.question)


def normalised(question: str) -> str:
    """Questions that a reader would call the same are the same text: compatible characters, case and spacing are folded."""
    return " ".join(unicodedata.normalize("NFKC", question).casefold().split())


def _check_asking(benchmark: Benchmark) -> None:
    if benchmark.prompt.count(QUESTION) != 1:
        raise BenchmarkError(
            f"the prompt of {benchmark.name} is {benchmark.prompt!r}; expected {QUESTION} in it exactly once"
        )
    if not 1 <= benchmark.max_new_tokens <= MAX_NEW_TOKENS:
        raise BenchmarkError(
            f"{benchmark.name} allows {benchmark.max_new_tokens} new tokens; expected 1 to {MAX_NEW_TOKENS}"
        )
    if not all(benchmark.stop):
        raise BenchmarkError(f"{benchmark.name} has an empty stop string, which would end every completion at once")


def _check_samples(benchmark: Benchmark) -> None:
    if set(benchmark.samples) != set(SPLITS):
        raise BenchmarkError(
            f"{benchmark.name} has the splits {sorted(benchmark.samples)}; expected {', '.join(SPLITS)}"
        )
    scorer = scorers.get(benchmark.scorer)
    for split in SPLITS:
        if not benchmark.samples[split]:
            raise BenchmarkError(f"the {split} split of {benchmark.name} has no samples; expected at least one")
        for sample in benchmark.samples[split]:
            scorer.check_answer(sample.answer, f"sample {sample.id} of {benchmark.name}")
            if benchmark.language_gate and sample.language is None:
                raise BenchmarkError(
                    f"sample {sample.id} of {benchmark.name} has no language, which its language gate needs"
                )


def _check_disjoint(benchmark: Benchmark) -> None:
    """No id and no question twice, in one split or over two: a model tuned on a question must not be tested on it."""
    ids: dict[str, Split] = {}
    questions: dict[str, str] = {}
    for split in SPLITS:
        for sample in benchmark.samples[split]:
            if sample.id in ids:
                raise BenchmarkError(
                    f"sample {sample.id} comes twice in {benchmark.name}: in {ids[sample.id]} and {split}"
                )
            text = normalised(sample.question)
            if text in questions:
                raise BenchmarkError(
                    f"samples {questions[text]} and {sample.id} of {benchmark.name} ask the same question"
                )
            ids[sample.id], questions[text] = split, sample.id

"""What every benchmark promises, whatever kind it is: samples in three splits, how one is asked, and what came of it.

Knows no files and no models.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, get_args

from merging.engines import Progress, TextModel
from merging.errors import BenchmarkError
from merging.outcomes import SampleOutcome

Split = Literal["search", "validation", "final"]
SPLITS: Final[tuple[Split, ...]] = get_args(Split)


@dataclass(frozen=True)
class Sample:
    """One question with its answer.

    `language` is the ISO 639-1 code that a completion is expected in; None: any. `choices` are all the answers that are
    offered, the right one among them, or none for a question that is answered freely.
    """

    id: str
    question: str
    answer: str
    language: str | None = None
    choices: tuple[str, ...] = ()


class Benchmark(Protocol):
    """Samples by split, each in its frozen order. The search sees the search split, people choose on validation, and
    the final split is scored once, at the end.

    Immutable, and the same digest means the same score of the same model. `samples` may lack splits that are kept from
    this process.
    """

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def digest(self) -> str:
        """`sha256:...` of everything that a score depends on; the same with or without the splits that are kept away."""
        ...

    @property
    def scorer(self) -> str:
        """Name and version of what judges: `last_number@1`."""
        ...

    @property
    def language_gate(self) -> bool:
        """Whether a completion scores only in its sample's language."""
        ...

    @property
    def samples(self) -> Mapping[Split, tuple[Sample, ...]]: ...

    @property
    def has_binary_scores(self) -> bool:
        """Whether every score is 0 or 1: what decides between a share's statistics and a mean's."""
        ...

    def take(self, split: Split, n: int | None = None) -> tuple[Sample, ...]:
        """The first n samples of a split, all for None; BenchmarkError when there are fewer or none may be seen."""
        ...

    def rendered(self, sample: Sample) -> str:
        """What a model reads, before the model's own chat template."""
        ...

    def prompts(self, model: TextModel, samples: Sequence[Sample]) -> list[str]:
        """What this model reads: as `rendered`, in its own chat template where the benchmark is asked so."""
        ...

    def ask(self, model: TextModel, samples: Sequence[Sample], progress: Progress | None = None) -> list[SampleOutcome]:
        """Ask the model and score its answers: one outcome for each sample, in their order.

        `progress` is told samples, or questions that samples consist of, done and in total.
        """
        ...


def take(benchmark: Benchmark, split: Split, n: int | None = None) -> tuple[Sample, ...]:
    """`Benchmark.take`, the same for every kind."""
    if split not in benchmark.samples:
        raise BenchmarkError(f"the {split} split of {benchmark.name} is sealed here: only the final exam may open it")
    found = benchmark.samples[split]
    if n is not None and not 1 <= n <= len(found):
        raise BenchmarkError(
            f"{n} samples of the {split} split of {benchmark.name}; expected 1 to {len(found)}, which it holds"
        )
    return found[:n]


def check_disjoint(name: str, samples: Mapping[Split, Sequence[Sample]], shots: Sequence[Sample] = ()) -> None:
    """No id and no question twice, in one split or over two or among the shots; BenchmarkError names both places.

    A model tuned on a question, or shown it with its answer, must not be tested on it.
    """
    ids: dict[str, str] = {}
    questions: dict[str, str] = {}
    for place, group in [("shots", shots), *samples.items()]:
        for sample in group:
            if sample.id in ids:
                raise BenchmarkError(f"sample {sample.id} comes twice in {name}: in {ids[sample.id]} and {place}")
            text = question_key(sample)
            if text in questions:
                raise BenchmarkError(f"samples {questions[text]} and {sample.id} of {name} ask the same question")
            ids[sample.id], questions[text] = place, sample.id


def question_key(sample: Sample) -> str:
    """The same for samples that ask the same: the question with the choices that it offers, in whatever order."""
    choices = sorted(normalised(choice) for choice in sample.choices)
    return "\n".join([normalised(sample.question), *choices])


def normalised(question: str) -> str:
    """Questions that a reader would call the same are the same text: compatible characters, case and spacing are folded."""
    return " ".join(unicodedata.normalize("NFKC", question).casefold().split())

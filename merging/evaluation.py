"""Asking a model every sample and keeping what came of each: completion, extracted answer, language, score.

Knows models only by what they promise (`TextModel`); imports no torch. The same model, samples and machine give the
same evaluation but for its seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from merging import plain
from merging.benchmarks import SPLITS, Benchmark, Sample, Split, scorers
from merging.benchmarks.languages import language_of
from merging.engines import Completion, TextModel
from merging.errors import EvaluationError
from merging.statistics import wilson

Stage = Literal["load", "merge", "evaluate", "write"]
Progress = Callable[[Stage, int, int], None]
"""Called with (stage, done, total) from the thread that computes; an exception that it raises ends the work."""


def no_progress(stage: Stage, done: int, total: int) -> None:
    """For callers that do not watch."""


@dataclass(frozen=True)
class SampleOutcome:
    """What came of one sample.

    `right` is the scorer's verdict; `score` is 1 if right and, where a gate asks for it, in language.

    `language` is what was detected, None when nothing was asked for or nothing stood out. `error` is set when the
    scorer could not judge: the score is 0 then, for every candidate alike.
    """

    id: str
    completion: str
    extracted: str | None
    language: str | None
    right: bool
    score: float
    n_tokens: int
    error: str | None

    def to_json(self) -> dict[str, object]:
        """Plain JSON types, the opposite of `from_json`."""
        return asdict(self)

    @staticmethod
    def from_json(value: object, what: str = "the outcome") -> SampleOutcome:
        """The outcome that `to_json` wrote; EvaluationError names what is missing, unknown or wrong."""
        found = plain.fields(value, tuple(SampleOutcome.__dataclass_fields__), what, EvaluationError)
        return SampleOutcome(
            id=plain.text(found["id"], f"id of {what}", EvaluationError),
            completion=plain.text(found["completion"], f"completion of {what}", EvaluationError),
            extracted=plain.optional_text(found["extracted"], f"extracted of {what}", EvaluationError),
            language=plain.optional_text(found["language"], f"language of {what}", EvaluationError),
            right=plain.flag(found["right"], f"right of {what}", EvaluationError),
            score=plain.real(found["score"], f"score of {what}", EvaluationError),
            n_tokens=plain.integer(found["n_tokens"], f"n_tokens of {what}", EvaluationError),
            error=plain.optional_text(found["error"], f"error of {what}", EvaluationError),
        )


@dataclass(frozen=True)
class Evaluation:
    """A model's score on the first `n` samples of a split: `mean` in [0, 1] with its 95 % interval, and every outcome.

    `right` is the share of right answers in whatever language; `in_language` that of completions in the expected
    language, None without a gate. `scorer` is name and version. `seconds` is wall time, model included.
    """

    benchmark: str
    scorer: str
    split: Split
    n: int
    mean: float
    low: float
    high: float
    right: float
    in_language: float | None
    seconds: float
    outcomes: tuple[SampleOutcome, ...]

    def to_json(self) -> dict[str, object]:
        """Plain JSON types, the opposite of `from_json`."""
        return asdict(self) | {"outcomes": [outcome.to_json() for outcome in self.outcomes]}

    @staticmethod
    def from_json(value: object) -> Evaluation:
        """The evaluation that `to_json` wrote; EvaluationError names what is missing, unknown or wrong."""
        found = plain.fields(value, tuple(Evaluation.__dataclass_fields__), "the evaluation", EvaluationError)
        return Evaluation(
            benchmark=plain.text(found["benchmark"], "benchmark", EvaluationError),
            scorer=plain.text(found["scorer"], "scorer", EvaluationError),
            split=_split(found["split"]),
            n=plain.integer(found["n"], "n", EvaluationError),
            **{
                name: plain.real(found[name], name, EvaluationError)
                for name in ("mean", "low", "high", "right", "seconds")
            },
            in_language=plain.optional_real(found["in_language"], "in_language", EvaluationError),
            outcomes=plain.items(found["outcomes"], "outcomes", EvaluationError, SampleOutcome.from_json),
        )


def evaluate(
    model: TextModel, benchmark: Benchmark, split: Split, n: int | None = None, progress: Progress = no_progress
) -> Evaluation:
    """Ask the model the first `n` samples of a split, all for None, and score every completion."""
    started = time.perf_counter()
    samples = benchmark.take(split, n)
    completions = model.complete(
        [benchmark.prompt_for(sample) for sample in samples],
        benchmark.max_new_tokens,
        benchmark.stop,
        lambda done, total: progress("evaluate", done, total),
    )
    if len(completions) != len(samples):
        raise EvaluationError(f"{len(completions)} completions for {len(samples)} samples of {benchmark.name}")
    outcomes = [judge(benchmark, sample, done) for sample, done in zip(samples, completions, strict=True)]
    return summarise(benchmark, split, outcomes, time.perf_counter() - started)


def judge(benchmark: Benchmark, sample: Sample, completion: Completion) -> SampleOutcome:
    """One sample's outcome."""
    text = _storable(completion.text)
    extracted, right, error = _verdict(benchmark, sample, text)
    expected = sample.language if benchmark.language_gate else None
    language = None if expected is None else language_of(text, expected)
    score = float(right and language == expected)
    return SampleOutcome(sample.id, text, extracted, language, right, score, completion.n_tokens, error)


def summarise(benchmark: Benchmark, split: Split, outcomes: Sequence[SampleOutcome], seconds: float) -> Evaluation:
    """Shares and the interval over outcomes, at least one; they stand in the order of the split."""
    n = len(outcomes)
    n_scored = sum(outcome.score == 1 for outcome in outcomes)
    interval = wilson(n_scored, n)
    expected = {sample.id: sample.language for sample in benchmark.samples[split]}
    n_in_language = sum(outcome.language == expected[outcome.id] for outcome in outcomes)
    return Evaluation(
        benchmark=benchmark.name,
        scorer=scorers.get(benchmark.scorer).id,
        split=split,
        n=n,
        mean=n_scored / n,
        low=interval.low,
        high=interval.high,
        right=sum(outcome.right for outcome in outcomes) / n,
        in_language=n_in_language / n if benchmark.language_gate else None,
        seconds=seconds,
        outcomes=tuple(outcomes),
    )


def _verdict(benchmark: Benchmark, sample: Sample, text: str) -> tuple[str | None, bool, str | None]:
    scorer = scorers.get(benchmark.scorer)
    try:
        extracted = scorer.extract(text)
        right = extracted is not None and scorer.is_right(extracted, sample.answer)
    except (ValueError, ArithmeticError, LookupError) as error:
        return None, False, f"{type(error).__name__}: {error}"
    return extracted, right, None


def _storable(text: str) -> str:
    """Without NUL and halves of surrogate pairs, which databases refuse; each becomes a replacement character."""
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _split(value: object) -> Split:
    for split in SPLITS:
        if value == split:
            return split
    raise EvaluationError(f"the split is {value!r}; expected {', '.join(SPLITS)}")

"""Questions with answers: the kind of benchmark that comes with Progeny or from a file of the user's own.

Asked as completions, or, where the scorer weighs choices, by the log-likelihood of every choice. Knows no files; knows
models only by what they promise.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import Final

from merging import plain
from merging.benchmarks import samples as every_benchmark
from merging.benchmarks.languages import MIN_PROBABILITY, language_of
from merging.benchmarks.samples import SPLITS, Sample, Split, check_disjoint
from merging.benchmarks.scorers import ChoiceScorer, Judge, TextScorer, scorer_of
from merging.benchmarks.scorers.scorer import INCOMPARABLE
from merging.engines import Completion, Decided, Progress, TextModel
from merging.errors import BenchmarkError, EvaluationError
from merging.outcomes import MAX_CHARACTERS, MAX_EXTRACTED, RIGHT_FROM, SampleOutcome, prompt_hash, storable

QUESTION: Final = "{question}"
MAX_NEW_TOKENS: Final = 8192
MAX_SHOT_CHARACTERS: Final = 100_000
BETWEEN_SHOTS: Final = "\n\n"
MIN_CHOICES, MAX_CHOICES = 2, 26


@dataclass(frozen=True)
class Questions:
    """A `Benchmark` of samples with one right answer each.

    `prompt` is what a model reads, with `{question}` where the question goes; `shots` come before it, asked the same
    way and answered. With `as_chat` all that is one turn of a user in the model's own chat template. A completion ends
    at its end token, at a `stop` string or after `max_new_tokens`. With `language_gate` a completion scores only in
    its sample's language. `pattern` is for scorers that read with one.

    `samples` holds the splits that may be read here and `sealed` the digests (`split_digest`) of the others: without
    its sealed splits a benchmark has the same digest.
    """

    name: str
    title: str
    scorer_name: str
    language_gate: bool
    max_new_tokens: int
    prompt: str
    stop: tuple[str, ...]
    samples: Mapping[Split, tuple[Sample, ...]]
    pattern: str = ""
    shots: tuple[Sample, ...] = ()
    as_chat: bool = False
    sealed: Mapping[Split, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_asking(self)
        _check_splits(self)
        check_disjoint(self.name, self.samples, self.shots)

    @property
    def scorer(self) -> str:
        return self.judge.id

    @cached_property
    def judge(self) -> Judge:
        """The scorer itself, with the pattern that it reads with."""
        return scorer_of(self.scorer_name, self.pattern)

    @property
    def has_binary_scores(self) -> bool:
        return self.judge.is_binary

    @cached_property
    def digest(self) -> str:
        """`sha256:...` of everything that a score depends on: samples, order, splits, shots, prompt, limits, the
        threshold of the language gate, and the scorer's version and pattern."""
        gate = MIN_PROBABILITY if self.language_gate else None
        asking = [self.prompt, list(self.stop), self.max_new_tokens, self.as_chat, split_digest(self.shots)]
        splits = {split: self._split_digest(split) for split in SPLITS}
        return plain.digest([self.scorer, self.pattern, gate, asking, splits])

    def take(self, split: Split, n: int | None = None) -> tuple[Sample, ...]:
        return every_benchmark.take(self, split, n)

    def rendered(self, sample: Sample) -> str:
        shown = [self._asked(shot) + shot.answer for shot in self.shots]
        return BETWEEN_SHOTS.join([*shown, self._asked(sample)])

    def prompts(self, model: TextModel, samples: Sequence[Sample]) -> list[str]:
        found = [self.rendered(sample) for sample in samples]
        return model.as_chats(found) if self.as_chat else found

    def ask(self, model: TextModel, samples: Sequence[Sample], progress: Progress | None = None) -> list[SampleOutcome]:
        """See `Benchmark`. Where a completion can be right no more, it may be stored as far as it went until then."""
        prompts = self.prompts(model, samples)
        judge, started = self.judge, time.perf_counter()
        if isinstance(judge, ChoiceScorer):
            completions = self._choose(judge, model, samples, prompts, progress)
        else:
            decided = self._decided(judge, samples)
            completions = model.complete(prompts, self.max_new_tokens, self.stop, progress, decided)
        if len(completions) != len(samples):
            raise EvaluationError(f"{len(completions)} completions for {len(samples)} samples of {self.name}")
        seconds = (time.perf_counter() - started) / max(1, sum(done.n_tokens for done in completions))
        return [
            self._outcome(sample, prompt, done, seconds * done.n_tokens)
            for sample, prompt, done in zip(samples, prompts, completions, strict=True)
        ]

    def _split_digest(self, split: Split) -> str:
        return self.sealed[split] if split in self.sealed else split_digest(self.samples[split])

    def _asked(self, sample: Sample) -> str:
        return self.prompt.replace(QUESTION, sample.question)

    def _decided(self, judge: TextScorer, samples: Sequence[Sample]) -> Decided | None:
        """With a language gate none: a completion that is given up early might have ended in another language."""
        if judge.decided is None or self.language_gate:
            return None
        return judge.decided([sample.answer for sample in samples])

    def _choose(
        self,
        judge: ChoiceScorer,
        model: TextModel,
        samples: Sequence[Sample],
        prompts: Sequence[str],
        progress: Progress | None,
    ) -> list[Completion]:
        """Each sample's likeliest choice as if the model had said it, nothing where there is none.

        Its tokens are those of all choices.
        """
        pairs = [(prompt, choice) for sample, prompt in zip(samples, prompts, strict=True) for choice in sample.choices]
        found = model.likelihoods(pairs, progress)
        if len(found) != len(pairs):
            raise EvaluationError(f"{len(found)} likelihoods for {len(pairs)} choices of {self.name}")
        ends = list(accumulate(len(sample.choices) for sample in samples))
        of_samples = [found[end - len(sample.choices) : end] for sample, end in zip(samples, ends, strict=True)]
        return [
            Completion(
                text=judge.choose([one.log_probability for one in likelihoods], sample.choices) or "",
                n_tokens=sum(one.n_tokens for one in likelihoods),
                finished=True,
            )
            for sample, likelihoods in zip(samples, of_samples, strict=True)
        ]

    def _outcome(self, sample: Sample, prompt: str, done: Completion, seconds: float) -> SampleOutcome:
        extracted, verdict, error = self._verdict(sample, done.text)
        text = storable(done.text)
        expected = sample.language if self.language_gate else None
        language = None if expected is None else language_of(text, expected)
        return SampleOutcome(
            id=sample.id,
            prompt_hash=prompt_hash(prompt),
            completion=text,
            extracted=None if extracted is None else storable(extracted, MAX_EXTRACTED),
            language=language,
            right=verdict >= RIGHT_FROM,
            score=verdict if language == expected else 0.0,
            n_tokens=done.n_tokens,
            seconds=seconds,
            finished=done.finished,
            error=error,
        )

    def _verdict(self, sample: Sample, text: str) -> tuple[str | None, float, str | None]:
        """The extracted answer, its score before the gate, and why there is none."""
        judge = self.judge
        if isinstance(judge, ChoiceScorer):
            return text or None, float(text == sample.answer), None if text else INCOMPARABLE
        if len(text) > MAX_CHARACTERS:
            error = f"the completion has {len(text):,} characters: {MAX_CHARACTERS:,} are kept, none is scored"
            return None, 0.0, error
        try:
            extracted = judge.extract(storable(text))
            return extracted, 0.0 if extracted is None else judge.score(extracted, sample.answer), None
        except (ValueError, ArithmeticError, LookupError) as failure:
            return None, 0.0, storable(f"{type(failure).__name__}: {failure}", MAX_EXTRACTED)


def split_digest(samples: Sequence[Sample]) -> str:
    """`sha256:...` of samples in their order: what stands for a sealed split in the digest of its benchmark."""
    return plain.digest([[s.id, s.question, s.answer, s.language, list(s.choices)] for s in samples])


def _check_asking(questions: Questions) -> None:
    if questions.prompt.count(QUESTION) != 1:
        raise BenchmarkError(
            f"the prompt of {questions.name} is {questions.prompt!r}; expected {QUESTION} in it exactly once"
        )
    if not 1 <= questions.max_new_tokens <= MAX_NEW_TOKENS:
        raise BenchmarkError(
            f"{questions.name} allows {questions.max_new_tokens} new tokens; expected 1 to {MAX_NEW_TOKENS}"
        )
    if not all(questions.stop):
        raise BenchmarkError(f"{questions.name} has an empty stop string, which would end every completion at once")
    if questions.language_gate and isinstance(questions.judge, ChoiceScorer):
        raise BenchmarkError(
            f"{questions.name} weighs given choices by {questions.scorer_name} and asks for a language: a language gate "
            f"needs a scorer that reads completions"
        )


def _check_splits(questions: Questions) -> None:
    found = [*questions.samples, *questions.sealed]
    if sorted(found) != sorted(SPLITS):
        raise BenchmarkError(f"{questions.name} has the splits {sorted(found)}; expected {', '.join(SPLITS)}")
    for shot in questions.shots:
        check_sample(shot, None, f"shot {shot.id} of {questions.name}")
    n_around = len(questions.prompt) - len(QUESTION)
    if (n := sum(n_around + len(shot.question) + len(shot.answer) for shot in questions.shots)) > MAX_SHOT_CHARACTERS:
        raise BenchmarkError(
            f"the examples that {questions.name} shows before every question have {n:,} characters; "
            f"expected at most {MAX_SHOT_CHARACTERS:,}"
        )
    for split, samples in questions.samples.items():
        if not samples:
            raise BenchmarkError(f"the {split} split of {questions.name} has no samples; expected at least one")
        for sample in samples:
            check_sample(sample, questions.judge, f"sample {sample.id} of {questions.name}")
            if questions.language_gate and sample.language is None:
                raise BenchmarkError(
                    f"sample {sample.id} of {questions.name} has no language, which its language gate needs"
                )


def check_sample(sample: Sample, scorer: Judge | None, where: str) -> None:
    """BenchmarkError for an answer that no completion could match and for choices that are not a choice.

    None for an example that is only shown: its answer may be any text, such as a worked solution.
    """
    if scorer is not None:
        scorer.check_answer(sample.answer, where)
    if sample.choices:
        _check_choices(sample, where)
    elif isinstance(scorer, ChoiceScorer):
        raise BenchmarkError(f"{where} has no choices; {scorer.name} needs {MIN_CHOICES} to {MAX_CHOICES}")


def _check_choices(sample: Sample, where: str) -> None:
    choices = sample.choices
    if not MIN_CHOICES <= len(choices) <= MAX_CHOICES:
        raise BenchmarkError(f"{where} has {len(choices)} choices; expected {MIN_CHOICES} to {MAX_CHOICES}")
    if not all(choice.strip() for choice in choices):
        raise BenchmarkError(f"{where} has an empty choice; expected text")
    if len({choice.strip() for choice in choices}) < len(choices):
        raise BenchmarkError(f"{where} offers a choice twice: {', '.join(choices)[:200]}")
    if sample.answer not in choices:
        raise BenchmarkError(
            f"the answer of {where} is {sample.answer[:80]!r}; expected one of its choices or the letter of one: "
            f"{', '.join(choices)[:200]}"
        )

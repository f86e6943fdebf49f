"""Asking a model about frozen documents, and what the harness makes of its answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lm_eval.api.instance import Instance

from merging.benchmarks.scorers.scorer import INCOMPARABLE, are_comparable
from merging.engines import Progress, TokenModel
from merging.errors import BenchmarkError
from merging.harness import scoring
from merging.harness.adaptor import EngineLM
from merging.harness.frozen import Frozen, Task
from merging.outcomes import MAX_CHARACTERS, MAX_EXTRACTED, RIGHT_FROM, SampleOutcome, prompt_hash, storable

GREEDY: Final = "greedy"
MEASURES: Final[Mapping[str, Callable[[str], int]]] = {
    "acc_norm": len,
    "acc_bytes": lambda choice: len(choice.encode()),
}
"""What a metric divides a choice's log-probability by."""


@dataclass(frozen=True)
class Answer:
    """A model's answer to one document: the harness's responses, one for each of its requests, and their cost."""

    responses: tuple[Any, ...]
    n_tokens: int
    finished: bool


def ask(
    task: Task, records: Sequence[Frozen], model: TokenModel, progress: Progress | None = None
) -> list[SampleOutcome]:
    """One outcome for each document, in order. See `HarnessBenchmark.ask`."""
    if not records:
        return []
    with scoring.undisturbed():
        ours = scoring.task_of(task, records[0])
        asked = [scoring.instances_of(ours, record) for record in records]
        started = time.perf_counter()
        answers = _answers(EngineLM(model, progress), asked)
        seconds = (time.perf_counter() - started) / max(1, sum(answer.n_tokens for answer in answers))
        return [
            _outcome(task, ours, record, instances, answer, seconds)
            for record, instances, answer in zip(records, asked, answers, strict=True)
        ]


def said(task: Task, record: Frozen, answer: Answer) -> str:
    """What an outcome keeps of an answer: the completion, or a line for each text that was weighed: its log-probability
    in full, whether it is what the model would have said, and its beginning."""
    if task.output_type == "generate_until":
        return str(answer.responses[0])
    if task.output_type == "loglikelihood_rolling":
        return repr(answer.responses[0])
    lines = []
    for (log_probability, is_greedy), (_, text) in zip(answer.responses, record.continuations, strict=True):
        shown = " ".join(text.split())[:80]
        lines.append(f"{log_probability!r} {GREEDY if is_greedy else '-'} {shown}".rstrip())
    return "\n".join(lines)


def responses_of(task: Task, completion: str) -> tuple[Any, ...]:
    """The harness's responses again, from what `said` made of them."""
    if task.output_type == "generate_until":
        return (completion,)
    if task.output_type == "loglikelihood_rolling":
        return (float(completion),)
    words = [line.split(" ", 2) for line in completion.split("\n")]
    return tuple((float(found[0]), found[1] == GREEDY) for found in words)


def _answers(lm: EngineLM, asked: Sequence[Sequence[Instance]]) -> list[Answer]:
    requests = [instance for instances in asked for instance in instances]
    kind = requests[0].request_type
    if kind == "generate_until":
        return [Answer((one.text,), one.n_tokens, one.finished) for one in lm.complete(requests)]
    if kind == "loglikelihood_rolling":
        return [Answer((one.log_probability,), one.n_tokens, True) for one in lm.weigh_whole(requests)]
    found = iter(lm.weigh(requests))
    answers = []
    for instances in asked:
        likelihoods = [next(found) for _ in instances]
        responses = tuple((one.log_probability, one.greedy) for one in likelihoods)
        answers.append(Answer(responses, sum(one.n_tokens for one in likelihoods), True))
    return answers


def _outcome(
    task: Task,
    ours: scoring.FrozenTask,
    record: Frozen,
    instances: Sequence[Instance],
    answer: Answer,
    seconds_per_token: float,
) -> SampleOutcome:
    text = storable(said(task, record, answer))
    score, extracted, error = _verdict(task, ours, record, instances, answer)
    return SampleOutcome(
        id=record.sample.id,
        prompt_hash=prompt_hash(record.contexts[0]),
        completion=text,
        extracted=None if extracted is None else storable(extracted, MAX_EXTRACTED),
        language=None,
        right=score >= RIGHT_FROM and error is None,
        score=score,
        n_tokens=answer.n_tokens,
        seconds=seconds_per_token * answer.n_tokens,
        finished=answer.finished,
        error=None if error is None else storable(error, MAX_EXTRACTED),
    )


def _verdict(
    task: Task, ours: scoring.FrozenTask, record: Frozen, instances: Sequence[Instance], answer: Answer
) -> tuple[float, str | None, str | None]:
    """Score, what was read from the answer, and why there is no score."""
    if task.output_type == "generate_until" and len(answer.responses[0]) > MAX_CHARACTERS:
        n = len(answer.responses[0])
        return 0.0, None, f"the completion has {n:,} characters: {MAX_CHARACTERS:,} are kept, none is scored"
    if record.continuations and not are_comparable([found for found, _ in answer.responses]):
        return 0.0, None, INCOMPARABLE
    for instance, response in zip(instances, answer.responses, strict=True):
        instance.resps.append(response)
    metric, filter_name = task.metric.split(",")
    verdict = scoring.judge(ours, instances, filter_name)
    if verdict.error is not None:
        return 0.0, None, verdict.error
    extracted = _extracted(task, record, verdict)
    try:
        return scoring.score_of(verdict, metric, task.higher_is_better), extracted, None
    except BenchmarkError as error:
        return 0.0, extracted, str(error)


def _extracted(task: Task, record: Frozen, verdict: scoring.Verdict) -> str | None:
    """For a page: the filtered completion, or the likeliest choice; None where the filter found nothing."""
    if task.output_type != "multiple_choice":
        found = str(verdict.filtered[0])
        return None if found in ("", scoring.INVALID) else found
    choices = record.sample.choices
    metric = task.metric.split(",")[0]
    sizes = [max(1, MEASURES[metric](choice)) if metric in MEASURES else 1 for choice in choices]
    likelihoods = [log_probability for log_probability, _ in verdict.filtered[: len(choices)]]
    weighed = [one / size for one, size in zip(likelihoods, sizes, strict=True)]
    return choices[weighed.index(max(weighed))]

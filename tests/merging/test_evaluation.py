"""From completions to outcomes, shares and intervals; from an evaluation to a fitness."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from merging.benchmarks import Questions, Sample
from merging.engines import Completion, Decided, Likelihood, Progress
from merging.errors import BenchmarkError, EvaluationError
from merging.evaluation import Evaluation, evaluate, named_scores
from merging.fitness import fitness
from merging.health import Health
from merging.outcomes import MAX_CHARACTERS, SampleOutcome, prompt_hash

JAPANESE, ENGLISH = "答えは{}個です。", "The answer is {}."


def benchmark(n: int = 4, gate: bool = True, **changes: Any) -> Questions:
    language = "ja" if gate else None
    samples = {
        split: tuple(Sample(f"{split} {i}", f"{split}: {i} + 1 = ?", str(i + 1), language) for i in range(n))
        for split in ("search", "validation", "final")
    }
    questions = Questions("sums", "Sums", "last_number", gate, 8, "{question}\n", (), samples)  # type: ignore[arg-type]
    return replace(questions, **changes)


class Speaker:
    """A `TextModel` that says what it was given, and remembers what it was asked."""

    def __init__(self, *texts: str, likelihoods: Sequence[float] = ()) -> None:
        self.texts, self.asked = texts, []  # type: ignore[var-annotated]
        self.numbers = likelihoods
        self.decided: Decided | None = None

    def complete(
        self,
        prompts: Sequence[str],
        max_new_tokens: int,
        stop: Sequence[str] = (),
        progress: Progress | None = None,
        decided: Decided | None = None,
    ) -> list[Completion]:
        self.asked += [*prompts]
        self.decided = decided
        if progress:
            progress(len(prompts), len(prompts))
        return [Completion(text, 3, text != "cut") for text in self.texts]

    def likelihoods(self, pairs: Sequence[tuple[str, str]], progress: Progress | None = None) -> list[Likelihood]:
        self.asked += [*pairs]
        return [Likelihood(number, 2, False) for number in self.numbers]

    def as_chats(self, questions: Sequence[str]) -> list[str]:
        return [f"<user>{question}<model>" for question in questions]


def test_every_kind_of_outcome_is_told_apart() -> None:
    model = Speaker(JAPANESE.format(1), ENGLISH.format(2), JAPANESE.format(9), "")
    found = evaluate(model, benchmark(), "search")
    assert [(o.right, o.language, o.score, o.extracted) for o in found.outcomes] == [
        (True, "ja", 1, "1"),
        (True, "en", 0, "2"),
        (False, "ja", 0, "9"),
        (False, None, 0, None),
    ]
    assert (found.mean, found.right, found.in_language, found.n) == (0.25, 0.5, 0.5, 4)
    assert found.low < 0.25 < found.high
    assert (found.benchmark, found.scorer, found.split) == ("sums", "last_number@1", "search")


def test_without_a_gate_right_is_enough_and_no_language_is_asked() -> None:
    found = evaluate(Speaker(ENGLISH.format(1), JAPANESE.format(2)), benchmark(2, gate=False), "search")
    assert (found.mean, found.in_language) == (1, None)
    assert {outcome.language for outcome in found.outcomes} == {None}


def test_the_first_n_samples_are_asked_in_order() -> None:
    model = Speaker("1", "2")
    found = evaluate(model, benchmark(), "validation", n=2)
    assert model.asked == ["validation: 0 + 1 = ?\n", "validation: 1 + 1 = ?\n"] and found.n == 2
    with pytest.raises(BenchmarkError, match="expected 1 to 4"):
        evaluate(model, benchmark(), "search", n=5)


def test_progress_is_told_by_stage() -> None:
    heard: list[tuple[Any, ...]] = []
    evaluate(Speaker("1"), benchmark(1), "search", progress=lambda *told: heard.append(told))
    assert heard == [("evaluate", 1, 1)]


def test_chosen_samples_are_asked_in_the_order_of_their_positions() -> None:
    model = Speaker("3", "1")
    found = evaluate(model, benchmark(gate=False), "search", positions=[3, 0])
    assert [(o.id, o.score) for o in found.outcomes] == [("search 3", 0), ("search 0", 1)] and found.n == 2


@pytest.mark.parametrize("positions", [[], [4], [-1], [1, 1]])
def test_positions_that_are_not_in_the_split_are_refused(positions: list[int]) -> None:
    with pytest.raises(EvaluationError, match="expected at least one, each once, from 0 to 3"):
        evaluate(Speaker(), benchmark(), "search", positions=positions)


def test_a_sample_that_cannot_be_judged_scores_zero_and_the_rest_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(found: str, answer: str) -> float:
        raise ValueError("no \0 idea")

    asked = benchmark(2, gate=False)
    monkeypatch.setitem(asked.__dict__, "judge", replace(asked.judge, score=fail))
    found = evaluate(Speaker("1", ""), asked, "search")
    assert [(o.score, o.error) for o in found.outcomes] == [(0, "ValueError: no \ufffd idea"), (0, None)]
    assert found.health.errors == 1


@pytest.mark.timeout(60)
def test_a_completion_without_end_is_cut_and_not_scored() -> None:
    found = evaluate(Speaker("1 " * 25_000_000, "2"), benchmark(2, gate=False), "search")
    runaway, other = found.outcomes
    assert len(runaway.completion) == MAX_CHARACTERS and runaway.score == 0 and other.score == 1
    assert runaway.error == "the completion has 50,000,000 characters: 65,536 are kept, none is scored"


def test_what_no_database_takes_is_replaced() -> None:
    found = evaluate(Speaker("a\0b\ud800c 1"), benchmark(1), "search")
    assert found.outcomes[0].completion == "a\ufffdb\ufffdc 1"


def test_an_outcome_says_what_was_asked_and_how_it_ended() -> None:
    found = evaluate(Speaker("1", "cut"), benchmark(2, gate=False), "search")
    assert [o.finished for o in found.outcomes] == [True, False]
    assert found.outcomes[0].prompt_hash == prompt_hash("search: 0 + 1 = ?\n") == "c904aadad40d967a"
    assert sum(o.seconds for o in found.outcomes) <= found.seconds and found.health == Health(
        2, truncated=1, unextractable=1
    )


def test_a_chat_is_asked_in_the_models_own_template() -> None:
    model = Speaker("1")
    found = evaluate(model, benchmark(1, gate=False, as_chat=True), "search")
    assert model.asked == ["<user>search: 0 + 1 = ?\n<model>"]
    assert found.outcomes[0].prompt_hash == prompt_hash(model.asked[0])


@pytest.mark.parametrize(
    ("scorer", "gate", "stops"),
    [("exact_match", False, True), ("exact_match", True, False), ("last_number", False, False)],
)
def test_a_model_may_stop_early_only_where_nothing_can_change(scorer: str, gate: bool, stops: bool) -> None:
    model = Speaker("1")
    evaluate(model, benchmark(1, gate=gate, scorer_name=scorer), "search")
    assert (model.decided is not None) is stops


def choices(**changes: Any) -> Questions:
    samples = {
        split: tuple(
            Sample(f"{split} {i}", f"{split}: {i}?", "yes", None, ("yes", "no, it is not")[:2]) for i in (0, 1)
        )
        for split in ("search", "validation", "final")
    }
    return benchmark(gate=False, scorer_name="acc", samples=samples, **changes)


@pytest.mark.parametrize(("scorer", "said"), [("acc", ["yes", "no, it is not"]), ("acc_norm", ["no, it is not"] * 2)])
def test_a_choice_is_the_likeliest_after_the_question(scorer: str, said: list[str]) -> None:
    model = Speaker(likelihoods=[-2.0, -3.0, -4.0, -3.5])
    found = evaluate(model, replace(choices(), scorer_name=scorer), "search")
    assert model.asked[:2] == [("search: 0?\n", "yes"), ("search: 0?\n", "no, it is not")]
    assert [o.completion for o in found.outcomes] == [o.extracted for o in found.outcomes] == said
    assert [o.score for o in found.outcomes] == [said[0] == "yes", 0]
    assert [(o.n_tokens, o.finished) for o in found.outcomes] == [(4, True)] * 2


@pytest.mark.parametrize("broken", [[float("nan"), -1.0], [-float("inf")] * 2])
def test_likelihoods_that_are_no_numbers_choose_nothing(broken: list[float]) -> None:
    """Not the first choice, which is right by chance."""
    found = evaluate(Speaker(likelihoods=[*broken, -1.0, -float("inf")]), choices(), "search")
    assert [(o.completion, o.extracted, o.score, o.error is None) for o in found.outcomes] == [
        ("", None, 0, False),
        ("yes", "yes", 1, True),
    ]


def test_a_model_that_loses_choices_is_refused() -> None:
    with pytest.raises(EvaluationError, match="1 likelihoods for 4 choices of sums"):
        evaluate(Speaker(likelihoods=[-1.0]), choices(), "search")


def test_scores_that_are_fractions_have_a_mean_with_a_bootstrapped_interval() -> None:
    """An answer counts as right from one half on."""
    asked = benchmark(3, gate=False, scorer_name="f1")
    found = evaluate(Speaker("1", "2 or 3", "9"), asked, "search")
    assert [(o.right, o.score) for o in found.outcomes] == [(True, 1), (True, 0.5), (False, 0)]
    assert found.mean == 0.5 and found.low < 0.5 < found.high and found.right == pytest.approx(2 / 3)


def test_scores_have_the_names_that_others_give_them() -> None:
    model = Speaker(JAPANESE.format(1), ENGLISH.format(2), JAPANESE.format(9), "")
    assert named_scores(benchmark(), evaluate(model, benchmark(), "search")) == {"acc": 0.5, "acc_ja": 0.25}
    free = benchmark(1, gate=False, scorer_name="rougeL")
    assert named_scores(free, evaluate(Speaker("1"), free, "search")) == {"rougeL": 1}
    found = evaluate(Speaker(likelihoods=[-1.0, -2.0] * 2), choices(), "search")
    assert named_scores(choices(), found) == {"acc": 1}
    assert named_scores(choices(), replace(found, scorer="acc_norm,none@1.0/lm-eval-0.4.13")) == {"acc_norm": 1}


def test_the_same_model_gives_the_same_evaluation_but_for_its_seconds() -> None:
    def once() -> dict[str, object]:
        model = Speaker(JAPANESE.format(1), ENGLISH.format(2), JAPANESE.format(9), "")
        found = evaluate(model, benchmark(), "search")
        outcomes = tuple(replace(outcome, seconds=0) for outcome in found.outcomes)
        return replace(found, seconds=0, outcomes=outcomes).to_json()

    assert once() == once()


def test_a_model_that_loses_prompts_is_refused() -> None:
    with pytest.raises(EvaluationError, match="1 completions for 4 samples of sums"):
        evaluate(Speaker("1"), benchmark(), "search")


def evaluation(**changes: Any) -> Evaluation:
    outcome = SampleOutcome("a", "0" * 16, "答え 1", "1", "ja", True, 1.0, 4, 0.5, True, None)
    return replace(
        Evaluation("sums", "last_number@1", "search", 1, 0.3, 0.1, 0.5, 0.6, 0.4, Health(1), 1.5, (outcome,)), **changes
    )


def test_json_and_back_is_the_same_evaluation() -> None:
    assert Evaluation.from_json(json.loads(json.dumps(evaluation().to_json()))) == evaluation()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "train"}, "the split is 'train'"),
        ({"mean": None}, "mean is None"),
        ({"outcomes": [{}]}, r"outcomes\[0\] lacks"),
        ({"more": 1}, "has unknown more"),
    ],
)
def test_json_of_another_shape_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        Evaluation.from_json(evaluation().to_json() | changes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 0.3 + 0.1 * 0.4),
        ({"right": 0.0}, 0.3),
        ({"in_language": None}, 0.3),
        ({"mean": 1.0, "right": 1.0, "in_language": 1.0}, 1.1),
        ({"split": "validation"}, 0.34),
    ],
)
def test_fitness_is_the_mean_and_a_tenth_of_the_weaker_condition(changes: dict[str, Any], expected: float) -> None:
    assert fitness(evaluation(**changes)) == pytest.approx(expected, abs=1e-15)


def test_neither_condition_alone_makes_a_candidate_fitter() -> None:
    """The trap that a sum would be: right in English beats nothing."""
    nothing, right_only, half = (
        fitness(evaluation(mean=0.0, right=right, in_language=japanese))
        for right, japanese in [(0, 0), (0.96, 0), (0.2, 0.2)]
    )
    assert nothing == right_only < half


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "final"}, "the final split has no fitness"),
        ({"n": 0}, "on 0 samples has no fitness"),
        ({"mean": float("nan")}, "is nan; expected a finite number"),
        ({"right": float("inf"), "in_language": float("inf")}, "is inf; expected a finite number"),
    ],
)
def test_what_is_no_fitness_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        fitness(evaluation(**changes))

"""The device process's own part: a second try with half the batch, and what it says of itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from merging.benchmarks import BenchmarkSpec, QuestionFile
from merging.engines import Completion, Progress
from merging.fidelity import History, Part, Pool, fidelities
from merging.recipes import Parent, passthrough_recipe
from workers import failures
from workers.devices import WorkbenchComputer

RECIPE = passthrough_recipe(Parent("a", "/models/a", "sha256:a"))
SPEC = BenchmarkSpec.of_builtin("japanese-sums")
REQUEST = {
    "recipe": RECIPE.to_json(),
    "split": "search",
    "asks": [{"benchmark": SPEC.to_json(), "n": 9, "key": None}],
    "plan": None,
}


class SmallModel:
    """Answers every prompt with its own text; has room for so many at once."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.at_once = 8
        self.asked: list[int] = []

    def complete(
        self,
        prompts: Sequence[str],
        max_new_tokens: int,
        stop: Sequence[str] = (),
        progress: Progress | None = None,
        decided: object = None,
    ) -> list[Completion]:
        self.asked.append(min(self.at_once, len(prompts)))
        if self.asked[-1] > self.room:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return [Completion(prompt, 1, True) for prompt in prompts]


class SmallBench:
    def __init__(self, room: int) -> None:
        self.small = SmallModel(room)

    def model(self, recipe: object, progress: object) -> SmallModel:
        return self.small

    def ask_less(self) -> None:
        self.small.at_once //= 2


def ignore(stage: str, done: int, total: int) -> None:
    pass


def score(bench: Any, **changes: Any) -> dict[str, Any]:
    return WorkbenchComputer(bench).evaluate(REQUEST | changes, ignore)  # type: ignore[arg-type]


def answers(found: dict[str, Any]) -> list[list[tuple[str, str]]]:
    return [[(outcome["id"], outcome["completion"]) for outcome in one["outcomes"]] for one in found["scores"]]


def test_what_fits_is_asked_at_once() -> None:
    bench = SmallBench(room=9)
    assert score(bench)["scores"][0]["n"] == 9
    assert bench.small.asked == [8]


def test_what_does_not_fit_is_asked_again_with_half_the_batch_and_so_are_the_candidates_that_follow() -> None:
    bench = SmallBench(room=4)
    in_halves, at_once = score(bench), score(SmallBench(room=9))
    assert answers(in_halves) == answers(at_once)
    score(bench)
    assert bench.small.asked == [8, 4, 4]


def test_there_is_no_third_try() -> None:
    bench = SmallBench(room=3)
    with pytest.raises(RuntimeError, match="out of memory") as caught:
        score(bench)
    assert bench.small.asked == [8, 4]
    assert failures.of_error(caught.value).sentence.startswith("Out of memory, also with half the batch. It asked for")


def test_another_error_is_not_tried_again() -> None:
    class Broken(SmallBench):
        def model(self, recipe: object, progress: object) -> SmallModel:
            raise RuntimeError("device-side assert triggered")

    bench = Broken(room=9)
    with pytest.raises(RuntimeError, match="assert"):
        score(bench)
    assert bench.small.at_once == 8


def test_benchmarks_are_asked_one_after_the_other_and_progress_adds_up() -> None:
    told: list[tuple[str, int, int]] = []
    two = REQUEST | {"asks": [REQUEST["asks"][0] | {"n": n} for n in (4, 2)]}
    found = WorkbenchComputer(SmallBench(room=9)).evaluate(two, lambda *step: told.append(step))  # type: ignore[arg-type]
    assert [one["n"] for one in found["scores"]] == [4, 2]
    assert {total for _, _, total in told} <= {6} and [done for _, done, _ in told] == sorted(
        done for _, done, _ in told
    )


def test_a_plan_says_which_samples_are_asked_and_what_is_told() -> None:
    """Of two benchmarks with 9 samples each: 3 of the first and 2 of the second, in one pool."""
    plan = fidelities.get("subset").plan(Pool((Part(9, 2.0), Part(9, 1.0))), History(), {}, seed=1, generation=0)
    asked = replace(plan, blocks=((2, 0, 11, 5), (9,)))
    found = score(SmallBench(room=9), asks=REQUEST["asks"] * 2, plan=asked.to_json())
    assert found["positions"] == [(0, 2, 5), (0, 2)]
    assert [one["n"] for one in found["scores"]] == [3, 2]
    expected = [SPEC.load().take("search", 9)[i].id for i in (0, 2, 5)]
    assert [outcome["id"] for outcome in found["scores"][0]["outcomes"]] == expected


def test_a_plan_that_asks_everything_equals_no_plan(tmp_path: Path) -> None:
    """Scores are fractions, of which a plan's own intervals would be others."""
    path = tmp_path / "words.jsonl"
    rows = [{"question": f"word{n} " * (n + 1), "answer": f"word{n} and more"} for n in range(40)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = BenchmarkSpec.of_file("words", QuestionFile(str(path), scorer="f1", seed=0))
    asks = [{"benchmark": spec.to_json(), "n": 9, "key": None}]
    plan = fidelities.get("full").plan(Pool((Part(9),)), History(), {}, seed=1, generation=0)
    by_plan, plainly = (score(SmallBench(room=9), asks=asks, plan=found) for found in (plan.to_json(), None))
    assert answers(by_plan) == answers(plainly)
    shares = ("mean", "low", "high", "right")
    assert [by_plan["scores"][0][name] for name in shares] == [plainly["scores"][0][name] for name in shares]
    assert 0 < plainly["scores"][0]["mean"] < 1

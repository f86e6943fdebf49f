"""The device process's own part: a second try with half the questions, and what it says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from merging.benchmarks import BenchmarkSpec
from merging.engines import Completion, Progress
from merging.recipes import Parent, passthrough_recipe
from workers.devices import Halved, WorkbenchComputer

RECIPE = passthrough_recipe(Parent("a", "/models/a", "sha256:a"))
REQUEST = {
    "recipe": RECIPE.to_json(),
    "benchmark": BenchmarkSpec.of_builtin("japanese-sums").to_json(),
    "split": "search",
    "n": 9,
}


class SmallModel:
    """Answers every prompt with its own text; has room for so many at once."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.asked: list[int] = []

    def complete(
        self, prompts: Sequence[str], max_new_tokens: int, stop: Sequence[str] = (), progress: Progress | None = None
    ) -> list[Completion]:
        self.asked.append(len(prompts))
        if len(prompts) > self.room:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return [Completion(prompt, 1, True) for prompt in prompts]


class SmallBench:
    def __init__(self, room: int) -> None:
        self.small = SmallModel(room)
        self.n_closed = 0

    def model(self, recipe: object, progress: object) -> SmallModel:
        return self.small

    def close(self) -> None:
        self.n_closed += 1


def ignore(stage: str, done: int, total: int) -> None:
    pass


def score(bench: Any) -> dict[str, Any]:
    return WorkbenchComputer(bench).evaluate(dict(REQUEST), ignore)  # type: ignore[arg-type]


def test_what_fits_is_asked_at_once() -> None:
    bench = SmallBench(room=9)
    assert score(bench)["score"]["n"] == 9
    assert (bench.small.asked, bench.n_closed) == ([9], 0)


def test_what_does_not_fit_is_asked_again_in_halves_from_a_cleared_bench() -> None:
    bench = SmallBench(room=4)
    in_halves, at_once = score(bench), score(SmallBench(room=9))
    assert (bench.small.asked, bench.n_closed) == ([9, 4, 4, 1], 1)
    assert in_halves["score"]["outcomes"] == at_once["score"]["outcomes"]


def test_there_is_no_third_try() -> None:
    bench = SmallBench(room=3)
    with pytest.raises(RuntimeError, match="out of memory"):
        score(bench)
    assert bench.small.asked == [9, 4]


def test_another_error_is_not_tried_again() -> None:
    class Broken(SmallBench):
        def model(self, recipe: object, progress: object) -> SmallModel:
            raise RuntimeError("device-side assert triggered")

    bench = Broken(room=9)
    with pytest.raises(RuntimeError, match="assert"):
        score(bench)
    assert bench.n_closed == 0


def test_progress_counts_all_prompts() -> None:
    told: list[tuple[int, int]] = []
    Halved(SmallModel(room=9)).complete(list("abcde"), 1, (), lambda done, total: told.append((done, total)))
    assert told == [(2, 5), (4, 5), (5, 5)]

"""What counts as a bad completion, and from when on a candidate is flagged for it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merging.errors import EvaluationError
from merging.health import LIMITS, MIN_LOOP, Health, health_of, is_repeated
from merging.outcomes import SampleOutcome

GOOD = SampleOutcome("a", "0" * 16, "答えは1個です。", "1", "ja", True, 1.0, 4, 0.1, True, None)


@pytest.mark.parametrize(
    ("changes", "counted"),
    [
        ({}, None),
        ({"completion": " \n", "extracted": None, "language": None}, "empty"),
        ({"finished": False}, "truncated"),
        ({"completion": "I see. " * 20}, "repeated"),
        ({"language": "en"}, "wrong_language"),
        ({"language": None}, "wrong_language"),
        ({"extracted": None}, "unextractable"),
        ({"extracted": None, "error": "ValueError: no"}, "errors"),
    ],
)
def test_each_way_of_being_bad_is_counted_once(changes: dict[str, object], counted: str | None) -> None:
    found = health_of([replace(GOOD, **changes)], {"a": "ja"})  # type: ignore[arg-type]
    assert found == Health(1, **({counted: 1} if counted else {}))


def test_without_a_gate_no_language_is_wrong() -> None:
    assert health_of([replace(GOOD, language=None)], {}) == Health(1)


@pytest.mark.parametrize(
    ("name", "n", "least"),
    [
        ("empty", 1, None),  # one bad answer is no flag where one in ten may be bad
        ("empty", 2, 2),
        ("empty", 10, 4),  # tables of the binomial distribution: 4 or more of 10 with 0.0128, 3 or more with 0.0702
        ("truncated", 20, 9),  # 9 or more with 0.0100, 8 or more with 0.0321
        ("wrong_language", 20, 15),  # 15 or more with 0.0207, 14 or more with 0.0577
        ("errors", 1, 1),
        ("empty", 200, 30),
        ("empty", 10_000, 1060),
    ],
)
def test_a_share_above_its_limit_beyond_luck_is_bad_and_said_in_words(name: str, n: int, least: int | None) -> None:
    assert not Health(n, **{name: least - 1 if least else n}).is_bad
    if least:
        assert Health(n, **{name: n}).is_bad
        assert Health(n, **{name: least}).reasons == (f"{least} of {n} completions {LIMITS[name][1]}",)


@pytest.mark.parametrize("name", LIMITS)
def test_whoever_answers_ten_times_and_always_badly_is_flagged(name: str) -> None:
    assert Health(10, **{name: 10}).is_bad


def test_json_and_back_is_the_same_health() -> None:
    health = Health(9, 1, 2, 3, 4, 5, 6)
    assert Health.from_json(json.loads(json.dumps(health.to_json()))) == health
    with pytest.raises(EvaluationError, match="health lacks errors"):
        Health.from_json({name: 1 for name in Health.__dataclass_fields__ if name != "errors"})


@pytest.mark.parametrize(
    "text",
    [
        "The answer is 5. The answer is 5. The answer is 5. The answer is 5. The answer is 5.",
        "Let me think. " + "はい、" * 30,
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "ok " + "0" * 50 + "\n\n",
        "Well. "
        + "This sentence has nearly a hundred characters, goes on for quite a while and then begins again. " * 5,
        "word " * 20 + "wo",
        "\n".join(["Step 1: add 2 and 3."] * 9),
    ],
)
def test_loops_are_found(text: str) -> None:
    assert is_repeated(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "165",
        "計算82+83:2+3=5,8+8=16。答えは165個です。",
        "no no no no no",
        "1000000000000000000000",
        "It is very, very, very, very, very good.",
        "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20",
        "\n".join(f"Step {i}: add {i} and {i + 1}, which makes {2 * i + 1}." for i in range(12)),
        "| a | b | c |\n|---|---|---|\n| 1 | 2 | 3 |\n| 4 | 5 | 6 |",
        "The same clause came three times, " * 3 + "but then the text went on to an end of its own.",
        "x = 1\n----------------------------------\ny = 2",
    ],
)
def test_lists_tables_and_emphasis_are_no_loops(text: str) -> None:
    assert not is_repeated(text)


@given(st.text("ab ", max_size=30), st.text("abc ", min_size=1, max_size=30), st.integers(4, 9))
def test_whatever_is_said_often_enough_at_the_end_is_a_loop(begin: str, unit: str, n: int) -> None:
    looped = (begin + unit * n).rstrip()
    assert not unit.strip() or is_repeated(looped + unit * MIN_LOOP)


@pytest.mark.timeout(60)
def test_long_texts_are_looked_at_quickly() -> None:
    for text in ("a" * 65_536, "ab" * 30_000 + "c", "".join(map(str, range(12_000)))):
        is_repeated(text)

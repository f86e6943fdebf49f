"""Reading the answer from a completion."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merging.benchmarks.scorers import last_number, scorers
from merging.errors import BenchmarkError

NUMBER, EXACT = scorers.get("last_number"), scorers.get("exact_match")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("計算82+83:2+3=5,8+8=16。答えは165個です。", "165"),
        ("The answer is 1,234.", "1234"),
        ("The answer is 1,234,567.25 dollars", "1234567.25"),
        ("twelve is 12,", "12"),
        ("3,4,5", "5"),
        ("1,00", "00"),
        ("12,3456", "3456"),
        ("5-3=2", "2"),
        ("5-3", "3"),
        ("5 - 3", "3"),
        ("= -3", "-3"),
        ("答えは-7です", "-7"),
        ("答えは−７です", "-7"),
        ("(4)-7", "7"),
        ("COVID-19", "19"),
        ("１，２３４．５", "1234.5"),
        ("5²", "5"),
        ("3.14.", "3.14"),
        ("No.5", "5"),
        ("0", "0"),
        ("007", "007"),
        ("٣", None),
        ("no number", None),
        ("", None),
    ],
)
def test_the_last_number_is_read(text: str, found: str | None) -> None:
    assert last_number(text) == found


@pytest.mark.parametrize(
    ("completion", "answer", "right"),
    [
        ("It is 165.", "165", True),
        ("It is 165.0", "165", True),
        ("It is 1,650", "1650", True),
        ("It is 1650", "1,650", True),
        ("It is １６５", "165", True),
        ("It is 0165", "165", True),
        ("It is 16.5", "165", False),
        ("It is -165", "165", False),
        ("165 is it, 3 times", "165", False),
        ("It is 0.1", "0.10", True),
        ("9007199254740993", "9007199254740992", False),
    ],
)
def test_numbers_are_compared_as_decimals(completion: str, answer: str, right: bool) -> None:
    extracted = NUMBER.extract(completion)
    assert extracted is not None and NUMBER.is_right(extracted, answer) is right


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3), st.text("abc 、。", max_size=5))
def test_a_number_is_found_again_in_every_way_of_writing_it(number: Decimal, rest: str) -> None:
    for written in (f"{number:f}", f"{number:,f}"):
        extracted = NUMBER.extract(f"{rest}= {written}{rest}")
        assert extracted is not None and NUMBER.is_right(extracted, f"{number:f}")


@given(st.text())
def test_no_text_makes_a_scorer_raise(text: str) -> None:
    for scorer in (NUMBER, EXACT):
        extracted = scorer.extract(text)
        assert extracted is None or isinstance(scorer.is_right(extracted, "1"), bool)


@pytest.mark.timeout(5)
@pytest.mark.parametrize("text", ["1" * 200_000, "1," * 100_000, "1,111" * 40_000, "-" * 200_000, "1." * 100_000])
def test_long_texts_take_no_longer_than_they_are(text: str) -> None:
    last_number(text)


@pytest.mark.parametrize(
    ("completion", "right"), [(" Tokyo \n", True), ("tokyo", False), ("Tokyo.", False), ("To kyo", False)]
)
def test_exact_match_forgives_spacing_only(completion: str, right: bool) -> None:
    extracted = EXACT.extract(completion)
    assert extracted is not None and EXACT.is_right(extracted, "Tokyo") is right


def test_an_empty_completion_has_no_exact_match() -> None:
    assert EXACT.extract(" \n") is None


@pytest.mark.parametrize(("scorer", "answer"), [(NUMBER, "twelve"), (NUMBER, ""), (NUMBER, "1 2"), (EXACT, " ")])
def test_an_answer_that_nothing_could_match_is_refused(scorer: object, answer: str) -> None:
    with pytest.raises(BenchmarkError, match=r"the answer of line 3 is .* expects"):
        scorer.check_answer(answer, "line 3")  # type: ignore[attr-defined]


def test_a_score_names_scorer_and_version() -> None:
    assert [scorer.id for scorer in scorers] == ["last_number@1", "exact_match@1"]

"""Reading the answer from a completion."""

from __future__ import annotations

from decimal import Decimal
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score import rouge_scorer  # type: ignore[import-untyped]

from merging.benchmarks.scorers import ChoiceScorer, TextScorer, scorer_of, scorers
from merging.benchmarks.scorers.numbers import last_number, last_number_paper
from merging.benchmarks.scorers.overlap import common_subsequence, f1_tokens, rouge_tokens
from merging.errors import BenchmarkError
from merging.outcomes import MAX_CHARACTERS


def text_scorer(name: str, pattern: str = "") -> TextScorer:
    found = scorer_of(name, pattern)
    assert isinstance(found, TextScorer)
    return found


NUMBER, EXACT = text_scorer("last_number"), text_scorer("exact_match")

READERS = [*map(text_scorer, ("last_number", "last_number_paper", "exact_match", "f1", "rouge1", "rouge2", "rougeL"))]
READERS.append(text_scorer("regex", r"(\w+)"))


def score(scorer: TextScorer, completion: str, answer: str) -> float:
    extracted = scorer.extract(completion)
    return 0.0 if extracted is None else scorer.score(extracted, answer)


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
    assert score(NUMBER, completion, answer) == right


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3), st.text("abc 、。", max_size=5))
def test_a_number_is_found_again_in_every_way_of_writing_it(number: Decimal, rest: str) -> None:
    for written in (f"{number:f}", f"{number:,f}"):
        assert score(NUMBER, f"{rest}= {written}{rest}", f"{number:f}") == 1


@pytest.mark.parametrize("scorer", READERS, ids=lambda scorer: scorer.name)
@given(text=st.text() | st.text("aA1.,- 東日。ー") | st.text("1２٣.,"))
def test_no_text_makes_a_scorer_raise(scorer: TextScorer, text: str) -> None:
    found = score(scorer, text, "1")
    assert found in (0, 1) if scorer.is_binary else 0 <= found <= 1


@pytest.mark.parametrize("answer", ["The cat sat.", "犬がいます。", "165", "Tokyo, 東京"])
@pytest.mark.parametrize("scorer", READERS[2:7], ids=lambda scorer: scorer.name)
def test_the_answer_itself_scores_one(scorer: TextScorer, answer: str) -> None:
    assert score(scorer, answer, answer) == scorer.accepts(answer)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("text", ["1" * 200_000, "1," * 100_000, "1,111" * 40_000, "-" * 200_000, "1." * 100_000])
def test_long_texts_take_no_longer_than_they_are(text: str) -> None:
    last_number(text)


@pytest.mark.parametrize(
    ("completion", "right"), [(" Tokyo \n", True), ("tokyo", False), ("Tokyo.", False), ("To kyo", False)]
)
def test_exact_match_forgives_spacing_only(completion: str, right: bool) -> None:
    assert score(EXACT, completion, "Tokyo") == right


def test_an_empty_completion_has_no_exact_match() -> None:
    assert EXACT.extract(" \n") is None


@pytest.mark.parametrize(
    ("scorer", "answer"),
    [
        (NUMBER, "twelve"),
        (NUMBER, ""),
        (NUMBER, "1 2"),
        (EXACT, " "),
        (text_scorer("rouge2"), "Tokyo"),
        (text_scorer("rougeL"), "?!"),
        (text_scorer("f1"), "a" * 70_000),
    ],
)
def test_an_answer_that_nothing_could_match_is_refused(scorer: object, answer: str) -> None:
    with pytest.raises(BenchmarkError, match=r"the answer of line 3 is .* expects"):
        scorer.check_answer(answer, "line 3")  # type: ignore[attr-defined]


def test_a_score_names_scorer_and_version() -> None:
    names = ["acc", "acc_norm", "acc_bytes", "exact_match", "last_number", "last_number_paper"]
    assert [scorer.id for scorer in scorers] == [
        f"{n}@1" for n in (*names, "f1", "rouge1", "rouge2", "rougeL", "regex")
    ]


def test_exact_match_is_decided_only_where_no_rest_could_make_it_right() -> None:
    assert EXACT.decided is not None and NUMBER.decided is None
    decided = EXACT.decided(["yes", "no idea"])
    assert not decided("no idea")
    assert not decided("no idea" + " " * 99)
    assert decided("no idea at all, but I go on")


@pytest.mark.parametrize(
    ("text", "found", "answer", "right"),
    [
        ("The answer is 1,000.", "000", "1000", False),
        ("The answer is 1,000.", "000", "0", True),
        ("答えは-5です", "5", "5", True),
        ("it is 12.50", "12.50", "12.5", True),
        ("it is .5", ".5", "0.5", True),
        ("１２個", "１２", "12", True),
        ("none", None, "1", False),
    ],
)
def test_the_papers_reading_keeps_its_quirks(text: str, found: str | None, answer: str, right: bool) -> None:
    assert last_number_paper(text) == found
    assert score(text_scorer("last_number_paper"), text, answer) == right


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (r"答えは(\d+)", "答えは12個。答えは13個。", "12"),
        (r"(?s:.*)答えは(\d+)", "答えは12個。\n答えは13個。", "13"),
        (r"\d+", "a 12 b", "12"),
        (r"(a)|(b)", "b", "b"),
        (r"(x*)y", "y", None),
        (r"z", "y", None),
    ],
)
def test_a_pattern_gives_what_its_first_match_captures(pattern: str, text: str, found: str | None) -> None:
    assert text_scorer("regex", pattern).extract(text) == found


@pytest.mark.parametrize(
    ("name", "pattern", "message"),
    [
        ("regex", "", "regex needs a pattern"),
        ("regex", "(", "cannot be used: missing \\)"),
        ("regex", "(?=a)", "no look-around"),
        ("regex", r"(a)\1", "cannot be used: invalid escape"),
        ("regex", "\ud800", "cannot be used: utf-8"),
        ("regex", "a" * 1001, "has 1,001 characters; expected at most 1,000"),
        ("regex", "(a{1000}){1000}", "cannot be used: invalid repetition size"),
        ("regex", "(?:a?b?){1000}", "steps a letter; expected at most 2,500"),
        ("last_number", "x", "last_number reads answers without a pattern"),
    ],
)
def test_an_unusable_pattern_is_refused(name: str, pattern: str, message: str) -> None:
    with pytest.raises(BenchmarkError, match=message):
        scorer_of(name, pattern)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("pattern", [r"(x+x+)+y", r"(.*)(.*)(.*)z", r"x[^b]*b|x", r"(x?){30}x{30}b", r"(x|x)*y"])
def test_patterns_that_hang_other_engines_read_the_longest_text(pattern: str) -> None:
    text_scorer("regex", pattern).extract("x" * MAX_CHARACTERS)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["f1", "rouge1", "rouge2", "rougeL"])
@pytest.mark.parametrize("text", ["犬が", "a b ", "aa", "\ufffd"])
def test_overlap_of_the_longest_texts_is_found(name: str, text: str) -> None:
    long = (text * MAX_CHARACTERS)[:MAX_CHARACTERS]
    assert 0 <= text_scorer(name).score(long, long) <= 1


@pytest.mark.parametrize(
    ("said", "answer", "expected"),
    [
        ("the cat", "A cat!", 1),
        ("cat dog", "cat", 2 / 3),
        ("cat cat", "cat", 2 / 3),
        ("東京都", "東京", 4 / 5),  # 2 of 3 letters said, 2 of 2 expected
        ("答えは東京", "東京", 4 / 7),
        ("Tokyo", "東京", 0),
        ("。", "!", 1),
    ],
)
def test_f1_is_of_words_and_of_japanese_letters(said: str, answer: str, expected: float) -> None:
    assert text_scorer("f1").score(said, answer) == pytest.approx(expected)


def test_tokens_are_words_without_articles_or_of_the_dictionary() -> None:
    assert f1_tokens("The cat's 犬がいる、１６５匹。") == ["cats", "犬", "が", "い", "る", "165", "匹"]
    assert rouge_tokens("犬がTokyoに\nいます。", japanese=True) == ["犬", "が", "Tokyo", "に", "い", "ます", "。"]


@given(st.text("abcXY1 ._-é", max_size=60), st.text("abcXY1 ._-é", max_size=60))
def test_rouge_of_english_is_that_of_the_package(said: str, answer: str) -> None:
    """rouge_score 0.1.2, without stemming."""
    expected = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"]).score(answer, said)
    for name, value in expected.items():
        assert text_scorer(name).score(said, answer) == pytest.approx(value.fmeasure, abs=1e-12)


@pytest.mark.parametrize(
    ("said", "answer"), [("犬がいます。", "犬がいる"), ("これは良い。", "良いものはこれ"), ("Tokyo", "東京")]
)
def test_rouge_of_japanese_is_that_of_the_package_over_the_dictionarys_words(said: str, answer: str) -> None:
    class Words:
        def tokenize(self, text: str) -> list[str]:
            return rouge_tokens(text, japanese=True)

    expected = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=Words()).score(answer, said)
    for name, value in expected.items():
        assert text_scorer(name).score(said, answer) == pytest.approx(value.fmeasure, abs=1e-12)


@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=12))
def test_the_longest_common_subsequence_is_that_of_the_definition(first: list[str], second: list[str]) -> None:
    @cache
    def longest(i: int, j: int) -> int:
        if not i or not j:
            return 0
        both = longest(i - 1, j - 1) + (first[i - 1] == second[j - 1])
        return max(both, longest(i - 1, j), longest(i, j - 1))

    assert common_subsequence(first, second) == longest(len(first), len(second))


@pytest.mark.parametrize(("name", "chosen"), [("acc", "no"), ("acc_norm", "certainly"), ("acc_bytes", "certainly")])
def test_choices_are_weighed_by_length(name: str, chosen: str) -> None:
    scorer = scorers.get(name)
    assert isinstance(scorer, ChoiceScorer)
    assert scorer.choose([-2.0, -4.0, -9.0], ["no", "certainly", "no"]) == chosen


def test_characters_and_bytes_weigh_scripts_differently_and_the_first_of_equals_wins() -> None:
    characters, by_bytes = scorers.get("acc_norm"), scorers.get("acc_bytes")
    assert isinstance(characters, ChoiceScorer) and isinstance(by_bytes, ChoiceScorer)
    assert characters.choose([-4.0, -3.0], ["東京", "abc"]) == "abc"  # -2 and -1 a character
    assert by_bytes.choose([-4.0, -3.0], ["東京", "abc"]) == "東京"  # -2/3 and -1 a byte
    assert characters.choose([-1.0, -1.0], ["a", "b"]) == "a"

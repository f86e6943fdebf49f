"""The language gate on short answers."""

from __future__ import annotations

import time

import pytest

from merging.benchmarks.languages import check_language, language_of
from merging.errors import BenchmarkError


@pytest.mark.parametrize(
    ("text", "expected", "found"),
    [
        ("計算82+83:2+3=5,8+8=16。答えは165個です。", "ja", "ja"),
        ("Work 82+83:2+3=5,8+8=16.The answer is 165.", "ja", "en"),
        ("Elle a cinq pommes dans son panier.", "fr", "fr"),
        ("Она купила пять яблок.", "ru", "ru"),
        ("165", "ja", None),
        ("", "ja", None),
        ("。、!?", "ja", None),
    ],
)
def test_languages_are_told_apart(text: str, expected: str, found: str | None) -> None:
    assert language_of(text, expected) == found


def test_a_hundred_short_texts_take_milliseconds() -> None:
    """30 ms at most on a busy core; 4 to 10 ms were measured."""
    texts = [f"Work {i}+1.The answer is {i + 1}." for i in range(50)] + [f"答えは{i}個です。" for i in range(50)]
    language_of("Load the models first. 答え", "ja")
    started = time.process_time()
    for text in texts:
        language_of(text, "ja")
    assert time.process_time() - started < 0.03


@pytest.mark.parametrize("code", ["", "xx", "JA", "eng", "日本語"])
def test_an_unknown_code_lists_the_known_ones(code: str) -> None:
    with pytest.raises(BenchmarkError, match="expected an ISO 639-1 code: af, ar"):
        check_language(code, "line 1")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("text", ["a" * 65_536, "字a" * 32_768, "\ufffd" * 65_536])
def test_texts_without_end_are_looked_at_quickly(text: str) -> None:
    language_of(text, "ja")

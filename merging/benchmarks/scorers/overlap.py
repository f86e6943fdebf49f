"""How much of the answer a completion says: F1 over tokens, and ROUGE-1, -2 and -L.

F1 takes Japanese letter by letter, as JGLUE scores JSQuAD and MLQA all scripts without spaces: no dictionary decides a
score. ROUGE takes it by the words of fugashi and UniDic, as the paper on evolutionary merging did, whose tables it is
compared with; English is read exactly as the package `rouge_score` does, without stemming.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final

from merging.benchmarks.scorers.scorer import TextScorer, words
from merging.outcomes import MAX_CHARACTERS

if TYPE_CHECKING:
    from fugashi import Tagger  # type: ignore[import-untyped]

Tokens = Sequence[str]

_UNSPACED: Final = "\u3005\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # 々, kana, Han
_HAS_UNSPACED: Final = re.compile(f"[{_UNSPACED}]")
_PIECE: Final = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")
_ARTICLES: Final = frozenset({"a", "an", "the"})
_ENGLISH: Final = re.compile(r"[a-z0-9]+")


def f1_tokens(text: str) -> list[str]:
    """Words in lower case, without punctuation and English articles, and single letters of scripts without spaces."""
    plain = "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if not _is_punctuation(c))
    return [piece for piece in _PIECE.findall(plain) if piece not in _ARTICLES]


def rouge_tokens(text: str, japanese: bool) -> list[str]:
    """Japanese by words of the dictionary, anything else by runs of Latin letters and digits, as `rouge_score` does it."""
    if not japanese:
        return _ENGLISH.findall(text.lower())
    return str(_tagger().parse(words(unicodedata.normalize("NFKC", text)))).split()


def common_subsequence(first: Tokens, second: Tokens) -> int:
    """The length of the longest common subsequence, one bit a token of `second`.

    Hyyroe, "Bit-parallel LCS-length computation revisited", AWOCA 2004.
    """
    places: dict[str, int] = {}
    for i, token in enumerate(second):
        places[token] = places.get(token, 0) | 1 << i
    everything = (1 << len(second)) - 1
    unmatched = everything
    for token in first:
        matches = unmatched & places.get(token, 0)
        unmatched = (unmatched + matches | unmatched - matches) & everything
    return len(second) - unmatched.bit_count()


def _f1(found: str, answer: str) -> float:
    """1 where neither has tokens, as for answers that are nothing but punctuation."""
    said, expected = f1_tokens(found), f1_tokens(answer)
    return _harmonic(_n_common(said, expected), len(said), len(expected)) if said or expected else 1.0


def _rouge(n_common: Callable[[Tokens, Tokens], int], n: int) -> Callable[[str, str], float]:
    """ROUGE over n-grams; the answer's script decides how both are taken apart."""

    def score(found: str, answer: str) -> float:
        japanese = _is_japanese(answer)
        said, expected = rouge_tokens(found, japanese), rouge_tokens(answer, japanese)
        return _harmonic(n_common(_n_grams(said, n), _n_grams(expected, n)), len(said) - n + 1, len(expected) - n + 1)

    return score


def _harmonic(n_common: int, n_said: int, n_expected: int) -> float:
    """The harmonic mean of the shares n_common / n_said and n_common / n_expected."""
    return 2 * n_common / (n_said + n_expected) if n_common else 0.0


def _n_common(first: Tokens, second: Tokens) -> int:
    return (Counter(first) & Counter(second)).total()


def _n_grams(tokens: Tokens, n: int) -> list[str]:
    return [" ".join(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character)[0] in "PS"


@lru_cache(maxsize=1)
def _tagger() -> Tagger:
    from fugashi import Tagger

    return Tagger("-Owakati")


def _scorer(name: str, summary: str, score: Callable[[str, str], float], accepts: Callable[[str], bool]) -> TextScorer:
    return TextScorer(
        name=name,
        version=1,
        summary=summary,
        expected=f"some words, of at most {MAX_CHARACTERS:,} characters",
        accepts=accepts,
        is_binary=False,
        extract=lambda text: words(text) or None,
        score=score,
    )


def _is_japanese(answer: str) -> bool:
    return _HAS_UNSPACED.search(answer) is not None


def _is_short(answer: str) -> bool:
    return len(answer) <= MAX_CHARACTERS


def _has_words(answer: str, n: int) -> bool:
    return _is_short(answer) and len(rouge_tokens(answer, _is_japanese(answer))) >= n


SCORERS: Final = (
    _scorer(
        "f1",
        "How many words of completion and answer are the same, from 0 to 1. Japanese is compared letter by letter.",
        _f1,
        lambda answer: _is_short(answer) and bool(answer.strip()),
    ),
    _scorer(
        "rouge1",
        "ROUGE-1: the words that completion and answer share, from 0 to 1.",
        _rouge(_n_common, 1),
        partial(_has_words, n=1),
    ),
    _scorer(
        "rouge2",
        "ROUGE-2: the pairs of neighbouring words that completion and answer share, from 0 to 1.",
        _rouge(_n_common, 2),
        partial(_has_words, n=2),
    ),
    _scorer(
        "rougeL",
        "ROUGE-L: the longest run of words, gaps allowed, that completion and answer share in the same order, from 0 to 1.",
        _rouge(common_subsequence, 1),
        partial(_has_words, n=1),
    ),
)

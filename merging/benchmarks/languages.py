"""Which language a text is in, by `lingua`.

Its models are loaded on first use and kept; without a language gate, never.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from merging.errors import BenchmarkError

if TYPE_CHECKING:
    from lingua import Language, LanguageDetector

MIN_PROBABILITY: Final = 0.5
MAX_HEARD: Final = 8192
"""Characters of a text that are looked at: one word of 65,536 letters takes 4 s, one of 8,192 takes 0.2."""
CONTEXT: Final = frozenset({"de", "en", "es", "fr", "ja", "zh"})
"""What an expected language is told apart from.

A few: each one more costs memory and lowers all probabilities a little.
"""


def language_of(text: str, expected: str) -> str | None:
    """The ISO 639-1 code of the likeliest language among `expected` and CONTEXT, if its probability is above 0.5.

    Of a long text its beginning decides. None when no language stands out, or for text without letters. About 40
    microseconds for a short text; loading the models takes up to a second, once.
    """
    best = _detector(CONTEXT | {expected}).compute_language_confidence_values(text[:MAX_HEARD])[0]
    return best.language.iso_code_639_1.name.lower() if best.value > MIN_PROBABILITY else None


def check_language(code: str, where: str) -> str:
    """The code itself; BenchmarkError when it is none that can be detected."""
    if code not in _by_code():
        raise BenchmarkError(
            f"the language of {where} is {code!r}; expected an ISO 639-1 code: {', '.join(sorted(_by_code()))}"
        )
    return code


@lru_cache(maxsize=8)
def _detector(codes: frozenset[str]) -> LanguageDetector:
    from lingua import LanguageDetectorBuilder

    return LanguageDetectorBuilder.from_languages(*(_by_code()[code] for code in sorted(codes))).build()


@lru_cache(maxsize=1)
def _by_code() -> dict[str, Language]:
    from lingua import Language

    return {language.iso_code_639_1.name.lower(): language for language in Language.all()}

"""An answer that a pattern of the user's finds, by Google's RE2: its time grows with the text and not faster, whatever the pattern."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from merging.benchmarks.scorers.scorer import Extract, TextScorer, words
from merging.errors import BenchmarkError

if TYPE_CHECKING:
    import re2  # type: ignore[import-untyped]

MAX_PATTERN: Final = 1000
"""Characters."""
MAX_STEPS: Final = 2500
"""Instructions of a compiled pattern. Time is at most their number times the text's bytes, measured: 3 s for 2500 and
65,536 Japanese letters, the longest text that is scored."""


@lru_cache(maxsize=32)
def _compiled(pattern: str) -> Extract:
    """What the first match captures: its first group that took part, or all of it without groups; None without a match.

    Not the last of all matches: looking for the next one again and again takes time by the square of the text's length.
    """
    found = _program(pattern)

    def extract(text: str) -> str | None:
        match = found.search(text)
        if match is None:
            return None
        return words(next((group for group in match.groups() if group is not None), match[0])) or None

    return extract


def _program(pattern: str) -> re2._Regexp:
    import re2

    if len(pattern) > MAX_PATTERN:
        raise BenchmarkError(f"the pattern has {len(pattern):,} characters; expected at most {MAX_PATTERN:,}")
    options = re2.Options()
    options.log_errors = False
    try:
        found = re2.compile(pattern, options=options)
    except (re2.error, UnicodeEncodeError) as error:
        raise BenchmarkError(
            f"the pattern {pattern[:200]!r} cannot be used: {_reason(error)}. Expected the syntax of RE2, which has no "
            "look-around and no back-references"
        ) from error
    if found.programsize > MAX_STEPS:
        raise BenchmarkError(
            f"the pattern {pattern[:200]!r} takes {found.programsize:,} steps a letter; expected at most {MAX_STEPS:,}. "
            "Repeat less often"
        )
    return found


def _reason(error: Exception) -> str:
    given = error.args[0] if error.args else error
    return given.decode(errors="replace") if isinstance(given, bytes) else str(given)


SCORERS: Final = (
    TextScorer(
        name="regex",
        version=1,
        summary="What the first match of your pattern captures, letter by letter. For the last one, begin the pattern with (?s:.*).",
        expected="some text",
        accepts=lambda answer: bool(answer.strip()),
        extract=lambda text: None,
        score=lambda found, answer: float(found == words(answer)),
        compiled=_compiled,
    ),
)

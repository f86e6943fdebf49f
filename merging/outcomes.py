"""What came of one sample: what a model was asked, what it answered, what was read from that and how it scored.

The ground of everything that is told about a candidate. Knows no models and no benchmarks.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Final

from merging import plain
from merging.errors import EvaluationError

MAX_CHARACTERS: Final = 65_536
"""Of a completion. A longer one is a runaway (8 characters for each of the most tokens that a benchmark allows): its
beginning is kept, and it is not scored."""
MAX_EXTRACTED: Final = 1000
"""Characters of an extracted answer that are kept; it is scored in full."""
RIGHT_FROM: Final = 0.5
"""Where scores are fractions, an answer counts as right from here."""


@dataclass(frozen=True)
class SampleOutcome:
    """What came of one sample.

    `right` is the scorer's verdict on the answer in whatever language; for scores that are fractions it means at least
    `RIGHT_FROM`. `score`, in [0, 1] and higher is better, is 0 where a gate asks for another language. Lower-is-better
    metrics in [0, 1] are stored as 1 - value.

    `prompt_hash` is of what the model read. `language` is what was detected, None when nothing was asked for or nothing
    stood out. `seconds` is this sample's share, by tokens, of the time that asking all of them took; `finished` is
    False for a completion that was cut at the limit of tokens. `error` is set when the scorer could not judge: the
    score is 0 then, for every candidate alike.
    """

    id: str
    prompt_hash: str
    completion: str
    extracted: str | None
    language: str | None
    right: bool
    score: float
    n_tokens: int
    seconds: float
    finished: bool
    error: str | None

    def to_json(self) -> dict[str, object]:
        """Plain JSON types, the opposite of `from_json`."""
        return asdict(self)

    @staticmethod
    def from_json(value: object, what: str = "the outcome") -> SampleOutcome:
        """The outcome that `to_json` wrote; EvaluationError names what is missing, unknown or wrong."""
        found = plain.fields(value, tuple(SampleOutcome.__dataclass_fields__), what, EvaluationError)
        return SampleOutcome(
            id=plain.text(found["id"], f"id of {what}", EvaluationError),
            prompt_hash=plain.text(found["prompt_hash"], f"prompt_hash of {what}", EvaluationError),
            completion=plain.text(found["completion"], f"completion of {what}", EvaluationError),
            extracted=plain.optional_text(found["extracted"], f"extracted of {what}", EvaluationError),
            language=plain.optional_text(found["language"], f"language of {what}", EvaluationError),
            right=plain.flag(found["right"], f"right of {what}", EvaluationError),
            score=plain.real(found["score"], f"score of {what}", EvaluationError),
            n_tokens=plain.integer(found["n_tokens"], f"n_tokens of {what}", EvaluationError),
            seconds=plain.real(found["seconds"], f"seconds of {what}", EvaluationError),
            finished=plain.flag(found["finished"], f"finished of {what}", EvaluationError),
            error=plain.optional_text(found["error"], f"error of {what}", EvaluationError),
        )


def prompt_hash(prompt: str) -> str:
    """The first 16 hex digits of the sha256 of what a model reads."""
    return hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def storable(text: str, limit: int = MAX_CHARACTERS) -> str:
    """The first `limit` characters, without NUL and halves of surrogate pairs, which databases refuse.

    Each of those becomes a replacement character.
    """
    kept = text[:limit].replace("\0", "\ufffd")
    return kept.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

"""Texts and numbers as Postgres can hold them: no NUL, no lone surrogates, no fifty megabytes, and in JSON no NaN."""

from __future__ import annotations

import math
import re
from typing import Any, Final

MAX_LENGTH: Final = 20_000
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")


def clean(text: str, max_length: int = MAX_LENGTH) -> str:
    """The text with U+FFFD for what cannot be stored, cut with a marker that says how long it was."""
    if len(text) > max_length:
        text = f"{text[:max_length]}… [cut: {len(text):,} characters in all]"
    return _UNSTORABLE.sub("\ufffd", text)


def clean_json(value: Any) -> Any:
    """The JSON value with every text cleaned, keys included, and null for numbers that are not finite."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return [clean_json(item) for item in value]
    if isinstance(value, dict):
        return {clean(name): clean_json(item) for name, item in value.items()}
    return value

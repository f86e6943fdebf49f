"""What looks like a token, of the Hugging Face Hub or of our own, is masked wherever words leave a process: in logs, and in failures that
are kept.
"""

from __future__ import annotations

import logging
import re
from typing import Final, TextIO

TOKEN: Final = re.compile("hf_[A-Za-z0-9]{20,}")
MASK: Final = "hf_***"
OWN_PREFIX: Final = "progeny_"
_OWN: Final = re.compile(f"{OWN_PREFIX}[0-9a-f]{{64}}")


def masked(text: str) -> str:
    """The text without tokens."""
    return _OWN.sub(f"{OWN_PREFIX}***", TOKEN.sub(MASK, text))


class MaskedHandler(logging.StreamHandler[TextIO]):
    """Writes records as its formatter does, masked: the message, its arguments and the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record))

"""Small parts of sentences for people. Knows nothing else."""

from __future__ import annotations

from collections.abc import Sequence


def joined(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`; nothing for no words."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def size(n_bytes: int) -> str:
    """`1.3 GB`, or `4.2 MB` for less than one of those."""
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"


def counted(n: int, noun: str, several: str = "") -> str:
    """`1 layer`, `2 layers`; `several` for a noun that takes more than an s."""
    return f"{n} {noun if n == 1 else several or f'{noun}s'}"


def as_sentence(words: str) -> str:
    """What an error says within a sentence, as a sentence of its own."""
    return f"{words[0].upper()}{words[1:]}."

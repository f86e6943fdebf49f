"""What can be wrong with what a person gave us. `str()` of each is a sentence for that person.

A kind says which thing was refused; the message names it, what was found and what was expected.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

from merging.words import size

MAX_CHARACTERS: Final = 4000
"""Of one message; a table of eight mismatches takes half of it."""
MAX_NAME: Final = 200
"""Characters of an unknown name that are compared with the known ones, which takes time by the square."""


class MergingError(Exception):
    """The base of every refusal in `merging`.

    What a message quotes may come from a hostile file: it is cut at `MAX_CHARACTERS`, and what a terminal obeys or a
    database cannot hold (line ends, escape codes, NUL, lone surrogates) is written as an escape.
    """

    def __init__(self, message: str) -> None:
        super().__init__(_harmless(message))


class RecipeError(MergingError):
    """A recipe that cannot be built as written."""


class GenomeError(MergingError):
    """A genome, a gene space or a search that does not fit the others."""


class ParentError(MergingError):
    """A model folder that cannot take part: unreadable, unsafe, or different in shape from the others."""


class TensorError(MergingError):
    """A tensor that is missing, written twice, of another shape, or not finite."""


class BenchmarkError(MergingError):
    """A benchmark or a file of questions that cannot be used."""


class AccessError(BenchmarkError):
    """A data set that the Hub has not, or does not give to everybody."""


class EvaluationError(MergingError):
    """An evaluation that cannot be run or cannot count."""


class LoadError(MergingError):
    """A finished folder that does not load."""


class ConversionError(MergingError):
    """A finished folder that cannot be had in another format."""


class RoomError(MergingError):
    """A disk without room for what is to be written; keeps how many bytes that is."""

    def __init__(self, folder: str, needed: int, free: int) -> None:
        self.needed = needed
        super().__init__(
            f"the disk is full: {size(needed)} are needed in {folder}, and {size(free)} are free. Remove what is not needed there"
        )


class UnknownNameError(MergingError):
    """A name that no registry entry has. Keeps `noun`, `name` and the `known` names; says which of them is nearest."""

    def __init__(self, noun: str, name: str, known: Iterable[str]) -> None:
        self.noun, self.name, self.known = noun, name, tuple(known)
        near = difflib.get_close_matches(name[:MAX_NAME], self.known, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]}?" if near else ""
        super().__init__(f"there is no {noun} named {name!r}.{hint} Known: {', '.join(self.known) or 'none'}.")


def _harmless(message: str) -> str:
    if len(message) > MAX_CHARACTERS:
        message = f"{message[:MAX_CHARACTERS]}… [cut: {len(message):,} characters in all]"
    if message.isprintable():
        return message
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in message)

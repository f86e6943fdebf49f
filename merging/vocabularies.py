"""Which token has which number, from `tokenizer.json`. A row of an embedding belongs to the token of its number.

Reads and writes JSON only; no tokenizer is built.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

from merging import plain
from merging.configs import parse_json, read_json, read_json_text
from merging.errors import ParentError

N_EXAMPLES: Final = 3


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by text. `special` are those that are no text: the beginning, the end, a turn."""

    numbers: Mapping[str, int]
    special: frozenset[str] = frozenset()

    def difference(self, other: Vocabulary, name: str, other_name: str) -> str | None:
        """What differs, for a person, with examples; None when both are equal."""
        if self is other or self.numbers == other.numbers:
            return None
        parts = [
            _only(self, other, name),
            _only(other, self, other_name),
            _elsewhere(self.numbers, other.numbers, name, other_name),
        ]
        return "; ".join(part for part in parts if part)


_alive: Final[MutableMapping[bytes, Vocabulary]] = WeakValueDictionary()
"""Vocabularies that somebody has, by the hash of the file that they are from."""


def read_vocabulary(folder: Path) -> Vocabulary:
    """The vocabulary of a folder, added tokens included: one object for equal files, while somebody has it. Relatives have equal
    files as a rule, and 32,000 tokens take 0.03 s.

    ParentError when `tokenizer.json` is missing or unreadable, or the tokenizer brings its own code.
    """
    settings = folder / "tokenizer_config.json"
    if settings.is_file() and "auto_map" in read_json(settings):
        raise ParentError(
            f"the tokenizer of {folder.name} brings its own code (auto_map); only built-in ones can be used"
        )
    text = read_json_text(folder / "tokenizer.json")
    key = hashlib.sha256(text).digest()
    found = _alive.get(key) or _vocabulary(parse_json(text, folder / "tokenizer.json"), folder)
    _alive[key] = found
    return found


def _vocabulary(value: Mapping[str, object], folder: Path) -> Vocabulary:
    model = plain.mapping(value.get("model"), f"the model in tokenizer.json of {folder.name}", ParentError)
    numbers = _of_model(model.get("vocab"), f"the vocabulary of {folder.name}")
    added = plain.items(value.get("added_tokens", []), f"added_tokens of {folder.name}", ParentError, _added)
    special = frozenset(text for text, _, is_special in added if is_special)
    return Vocabulary(numbers | {text: number for text, number, _ in added}, special)


def union(vocabularies: Sequence[Vocabulary]) -> Vocabulary:
    """The first vocabulary with its numbers; then what only others have, in their order, each with the next number."""
    numbers = dict(vocabularies[0].numbers)
    next_number = 1 + max(numbers.values(), default=-1)
    for other in vocabularies[1:]:
        new = sorted((number, text) for text, number in other.numbers.items() if text not in numbers)
        numbers |= {text: next_number + i for i, (_, text) in enumerate(new)}
        next_number += len(new)
    return Vocabulary(numbers, frozenset[str]().union(*(one.special for one in vocabularies)))


def named_examples(texts: Sequence[str]) -> str:
    """How many tokens, and some of them."""
    return f"{len(texts)} tokens, such as {', '.join(repr(text) for text in texts[:N_EXAMPLES])}"


def _of_model(vocab: object, what: str) -> dict[str, int]:
    """BPE and word models map text to number; unigram models list (text, score) pairs in order of number."""
    if isinstance(vocab, list):
        return {text: number for number, text in enumerate(plain.items(vocab, what, ParentError, _scored))}
    found = plain.mapping(vocab, what, ParentError)
    return {
        text: number if type(number) is int else plain.integer(number, f"{what}: {text!r}", ParentError)
        for text, number in found.items()
    }


def _scored(value: object, what: str) -> str:
    if not isinstance(value, list) or len(value) != 2:
        raise ParentError(f"{what} is {value!r}; expected a token and its score")
    return plain.text(value[0], what, ParentError)


def _added(value: object, what: str) -> tuple[str, int, bool]:
    found = plain.mapping(value, what, ParentError)
    content = plain.text(found.get("content"), f"content of {what}", ParentError)
    is_special = plain.flag(found.get("special", False), f"special of {what}", ParentError)
    return content, plain.integer(found.get("id"), f"id of {what}", ParentError), is_special


def _only(one: Vocabulary, other: Vocabulary, name: str) -> str:
    only = [text for text in one.numbers if text not in other.numbers]
    examples = ", ".join(repr(text) for text in only[:N_EXAMPLES])
    return f"{len(only)} tokens only in {name}, such as {examples}" if only else ""


def _elsewhere(one: Mapping[str, int], other: Mapping[str, int], name: str, other_name: str) -> str:
    moved = [text for text, number in one.items() if other.get(text, number) != number]
    if not moved:
        return ""
    first = moved[0]
    return f"{len(moved)} tokens have other numbers, such as {first!r}: {one[first]} in {name}, {other[first]} in {other_name}"

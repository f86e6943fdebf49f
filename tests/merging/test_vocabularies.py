"""Vocabularies of every kind of tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from merging.errors import ParentError
from merging.vocabularies import Vocabulary, read_vocabulary, union


def write(folder: Path, vocab: Any, added: Any = ()) -> Path:
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocab}, "added_tokens": list(added)}))
    return folder


def test_words_and_added_tokens_are_read(tmp_path: Path) -> None:
    folder = write(tmp_path, {"a": 0, "b": 1}, [{"content": "<s>", "id": 2, "special": True}])
    assert read_vocabulary(folder).numbers == {"a": 0, "b": 1, "<s>": 2}


def test_unigrams_are_numbered_by_their_place(tmp_path: Path) -> None:
    assert read_vocabulary(write(tmp_path, [["a", -1.5], ["b", -2.0]])).numbers == {"a": 0, "b": 1}


@pytest.mark.parametrize("vocab", [None, 3, {"a": "0"}, [["a"]], [["a", 1, 2]], [[1, 2]]])
def test_a_vocabulary_of_another_kind_is_refused(tmp_path: Path, vocab: Any) -> None:
    with pytest.raises(ParentError, match="the vocabulary of"):
        read_vocabulary(write(tmp_path, vocab))


def test_equal_vocabularies_have_no_difference() -> None:
    assert Vocabulary({"a": 0}).difference(Vocabulary({"a": 0}), "x", "y") is None


def test_a_difference_says_what_is_only_where_and_what_moved() -> None:
    found = Vocabulary({"a": 0, "b": 1, "c": 2}).difference(Vocabulary({"a": 1, "b": 0, "d": 2}), "x", "y")
    assert found == (
        "1 tokens only in x, such as 'c'; 1 tokens only in y, such as 'd'; "
        "2 tokens have other numbers, such as 'a': 0 in x, 1 in y"
    )


def test_special_tokens_are_those_that_say_so(tmp_path: Path) -> None:
    folder = write(tmp_path, {"a": 0}, [{"content": "<s>", "id": 1, "special": True}, {"content": "b", "id": 2}])
    assert read_vocabulary(folder).special == {"<s>"}


def test_a_union_keeps_the_first_and_appends_what_only_others_have() -> None:
    first, second = Vocabulary({"a": 0, "b": 5}), Vocabulary({"d": 1, "a": 2, "c": 0}, frozenset("c"))
    assert union([first, second]) == Vocabulary({"a": 0, "b": 5, "c": 6, "d": 7}, frozenset("c"))


def test_equal_files_are_read_once_while_somebody_has_what_they_say(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("a", "b", "c")]
    for folder, vocab in zip(folders, ({"a": 0}, {"a": 0}, {"a": 1}), strict=True):
        folder.mkdir()
        write(folder, vocab)
    one, same, other = (read_vocabulary(folder) for folder in folders)
    assert one is same and other.numbers == {"a": 1}
    assert one.difference(same, "a", "b") is None and other.difference(one, "c", "a") is not None

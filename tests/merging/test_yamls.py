"""YAML from strangers: what repeats itself, runs code or is no YAML ends in a sentence, at once."""

from __future__ import annotations

import pytest

from merging.errors import RecipeError
from merging.yamls import MAX_BYTES, MAX_VALUES, read_yaml


def read(text: str) -> object:
    return read_yaml(text, "the recipe", RecipeError)


def test_aliases_are_followed() -> None:
    assert read("a: &a [1, 2]\nb: *a") == {"a": [1, 2], "b": [1, 2]}


LISTS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30)
)
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 12))


@pytest.mark.timeout(60)  # a busy machine is no defect; what grows without end takes hours
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "no YAML"),
        ("a: 1\n---\nb: 1", "no YAML"),
        ("!!python/object/apply:os.system ['true']", "no YAML"),
        ("a: " + "1" * 5000, "no YAML"),
        ("a: 0x" + "f" * 5000, "no YAML"),
        ('a: "\\ud800"', "no YAML"),
        ("a: 2001-99-99", "no YAML"),
        ("[" * 5000, "no YAML"),
        ("? [1, 2]\n: 3", "no YAML"),
        ("a: 1\nb: 2\na: 3", "the key 'a' comes twice"),
        (LISTS, f"more than {MAX_VALUES} values"),
        (MERGES, "`<<` is not read"),
        ("a: &a [*a]", f"more than {MAX_VALUES} values"),
        ("- 1", "expected an object"),
        ("1: 2", "expected an object"),
        ("", "expected an object"),
        ("x" * (MAX_BYTES + 1), "expected at most"),
    ],
)
def test_what_is_no_plain_object_is_refused(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        read(text)

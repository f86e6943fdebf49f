"""Canonical JSON and readers that say what is wrong."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merging import plain
from merging.errors import RecipeError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_the_canonical_form_survives_a_round_trip(value: object) -> None:
    assert plain.canonical(json.loads(plain.canonical(value))) == plain.canonical(value)


def test_the_order_of_keys_does_not_change_a_digest() -> None:
    assert plain.digest({"a": 1, "b": 2}) == plain.digest({"b": 2, "a": 1})
    assert plain.digest({"a": 1}) != plain.digest({"a": 2})
    assert plain.digest({}).startswith("sha256:")


def test_fields_names_what_is_missing_and_what_is_unknown() -> None:
    with pytest.raises(RecipeError, match="the thing lacks b and has unknown c; expected the fields a, b"):
        plain.fields({"a": 1, "c": 2}, ("a", "b"), "the thing", RecipeError)


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (plain.text, 3),
        (plain.integer, True),
        (plain.integer, 1.0),
        (plain.real, float("nan")),
        (plain.real, float("inf")),
        (plain.real, 10**400),
        (plain.real, "1"),
        (plain.flag, 1),
        (plain.mapping, [1]),
        (plain.mapping, {1: 2}),
    ],
)
def test_a_reader_refuses_another_type_and_names_the_value(read, value) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(RecipeError, match=r"^the size is .*; expected"):
        read(value, "the size", RecipeError)


def test_an_error_stays_short_where_a_value_repeats_itself_without_end() -> None:
    bomb: list[object] = ["x"] * 9
    for _ in range(40):
        bomb = [bomb] * 9
    with pytest.raises(RecipeError) as raised:
        plain.text(bomb, "the bomb", RecipeError)
    assert len(str(raised.value)) < 200


def test_equal_keys_are_not_read_as_one() -> None:
    with pytest.raises(ValueError, match="'a' comes twice"):
        json.loads('{"a": 1, "a": 2}', object_pairs_hook=plain.unique_keys)

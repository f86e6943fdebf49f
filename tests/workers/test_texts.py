"""What models write reaches the database, whatever it is."""

from __future__ import annotations

import math

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from workers.texts import MAX_LENGTH, clean, clean_json

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()))  # lone surrogates and NUL included
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner),
    max_leaves=10,
)


def test_what_postgres_refuses_is_replaced() -> None:
    assert clean("a\x00b\ud800c") == "a\ufffdb\ufffdc"


def test_ordinary_text_is_left_alone() -> None:
    text = "計算2+3=5。\n答えは5個です🍎"
    assert clean(text) == text


def test_a_long_text_is_cut_with_a_marker() -> None:
    cut = clean("x" * 1_000_000)
    assert len(cut) < MAX_LENGTH + 100
    assert cut.endswith("… [cut: 1,000,000 characters in all]")


def test_json_loses_numbers_that_are_not_finite() -> None:
    assert clean_json({"score": [math.nan, math.inf, 0.5]}) == {"score": [None, None, 0.5]}


@pytest.mark.django_db
@given(ANY_JSON)
def test_postgres_stores_any_json_that_was_cleaned(value: object) -> None:
    from psycopg.types.json import Jsonb

    cleaned = clean_json(value)
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::jsonb", [Jsonb(cleaned)])
        cursor.fetchone()

"""Which bytes are sent for which headers."""

from __future__ import annotations

import pytest

from webapp.exports.ranges import Slice, asked, is_known

ETAG = '"abc"'
WHOLE = Slice(0, 10, is_part=False)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", WHOLE),
        ("bytes=0-3", Slice(0, 4, True)),
        ("bytes=4-", Slice(4, 10, True)),
        ("bytes=-3", Slice(7, 10, True)),
        ("bytes=-30", Slice(0, 10, True)),
        ("bytes=9-9", Slice(9, 10, True)),
        ("bytes=3-99999", Slice(3, 10, True)),
        ("bytes=10-", None),
        ("bytes=10-12", None),
        ("bytes=-0", None),
        ("bytes=5-2", WHOLE),
        ("bytes=-", WHOLE),
        ("bytes=0-1,4-5", WHOLE),
        ("items=0-3", WHOLE),
        ("bytes=a-b", WHOLE),
        ("bytes=" + "9" * 40 + "-", WHOLE),
    ],
)
def test_range(header: str, expected: Slice | None) -> None:
    assert asked({"Range": header}, ETAG, 10) == expected


@pytest.mark.parametrize(
    ("condition", "is_part"),
    [(ETAG, True), ('"other"', False), ('W/"abc"', False), ("Wed, 21 Oct 2015 07:28:00 GMT", False)],
)
def test_a_range_is_sent_only_of_the_very_file_that_was_begun(condition: str, is_part: bool) -> None:
    found = asked({"Range": "bytes=2-", "If-Range": condition}, ETAG, 10)
    assert found and found.is_part is is_part


def test_no_range_of_an_empty_file() -> None:
    assert asked({"Range": "bytes=0-"}, ETAG, 0) is None
    assert asked({"Range": "bytes=-5"}, ETAG, 0) is None
    assert asked({}, ETAG, 0) == Slice(0, 0, is_part=False)


@pytest.mark.parametrize(
    ("header", "expected"),
    [("", False), (ETAG, True), ('"x", "abc"', True), ('W/"abc"', True), ("*", True), ('"abcd"', False)],
)
def test_a_file_that_the_client_has_is_known(header: str, expected: bool) -> None:
    assert is_known({"If-None-Match": header}, ETAG) is expected

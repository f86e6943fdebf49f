"""Traps are set by name, spring as often as they should, and cost nothing when there are none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import OperationalError

from workers import failpoints
from workers.failpoints import POINTS, around, failpoint


@pytest.fixture(autouse=True)
def none_left() -> Iterator[None]:
    yield
    failpoints.arm("")


@around("claim")
def claim(found: bool) -> bool:
    return found


def test_without_traps_every_point_is_passed() -> None:
    failpoint("inside_result")
    assert claim(True)


def test_a_lost_answer_is_what_a_broken_connection_raises() -> None:
    failpoints.arm("inside_result:lose")
    failpoint("inside_claim")
    with pytest.raises(OperationalError, match="inside_result"):
        failpoint("inside_result")


def test_after_a_transaction_there_is_a_point_only_where_it_changed_something() -> None:
    failpoints.arm("after_claim:lose")
    assert not claim(False)
    with pytest.raises(OperationalError, match="after_claim"):
        claim(True)


def test_a_trap_of_no_chance_never_springs_and_any_is_every_point() -> None:
    failpoints.arm("any:lose:0")
    assert claim(True)
    failpoints.arm("any:lose")
    with pytest.raises(OperationalError, match="before_claim"):
        claim(True)


@pytest.mark.parametrize("text", ["nowhere:kill", "after_claim:explode", "after_claim", "after_claim:kill:often"])
def test_what_is_no_trap_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        failpoints.arm(text)


def test_there_are_as_many_points_as_the_design_asks_for() -> None:
    assert len(set(POINTS)) == len(POINTS) >= 14

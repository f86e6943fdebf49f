"""Values in mergekit's files: steps over depth, filters, levels."""

from __future__ import annotations

from typing import Any

import pytest

from merging.errors import RecipeError
from merging.gradients import Choice, chained, chosen, ordered_filters, read_choices
from merging.methods.method import NORMALIZE, TASK_WEIGHT


@pytest.mark.parametrize(
    ("steps", "depth", "expected"),
    [
        ((3.0,), 0.7, 3.0),
        ((0.0, 1.0), 0.25, 0.25),
        ((1.0, 0.7, 0.1), 0.5, 0.7),
        ((1.0, 0.7, 0.1), 0.75, 0.4),
        ((1.0, 0.7, 0.1), 1.0, 0.1),
        ((False, True), 0.9, False),
        ((False, True), 1.0, True),
    ],
)
def test_a_gradient_is_a_line_through_its_steps(steps: tuple[float, ...], depth: float, expected: float) -> None:
    assert Choice("", steps).at(depth) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, (Choice("", (1.0,)),)),
        ("1e-5", (Choice("", (1e-5,)),)),
        ([0, 1], (Choice("", (0.0, 1.0)),)),
        ([], ()),
        ({"filter": "mlp", "value": 2}, (Choice("mlp", (2.0,)),)),
        ([{"filter": "mlp", "value": [0, 1]}, {"value": 3}], (Choice("mlp", (0.0, 1.0)), Choice("", (3.0,)))),
        ([{"filter": "*", "value": 3}], (Choice("", (3.0,)),)),
    ],
)
def test_every_form_of_a_value_is_read(value: Any, expected: tuple[Choice, ...]) -> None:
    assert read_choices(value, TASK_WEIGHT, "weight") == expected


@pytest.mark.parametrize("value", [True, None, "much", float("nan"), [[1]], [1, {"value": 2}], [{"filter": "mlp"}]])
@pytest.mark.parametrize("inside", [lambda value: value, lambda value: [{"value": value}]])
def test_what_is_no_number_is_refused(value: Any, inside: Any) -> None:
    with pytest.raises(RecipeError, match="weight"):
        read_choices(inside(value), TASK_WEIGHT, "weight")


@pytest.mark.parametrize(("value", "expected"), [(True, True), (0, False), (1.0, True), ("1", True)])
def test_flags_are_read_as_mergekit_reads_them(value: Any, expected: bool) -> None:
    assert read_choices(value, NORMALIZE, "normalize") == (Choice("", (expected,)),)


def test_the_first_choice_of_the_first_level_wins() -> None:
    found = chained([(Choice("mlp", (1.0,)),), (Choice("attn", (2.0,)), Choice("", (3.0,))), (Choice("", (4.0,)),)])
    assert [choice.steps for choice in found] == [(1.0,), (2.0,), (3.0,)]
    assert chosen(found, {"attn", "mlp"}) == found[0]
    assert chosen(found, set()) == found[2]


def test_filters_that_are_never_reached_are_left_out() -> None:
    first = (Choice("proj", (1.0,)), Choice("q_proj", (2.0,)), Choice("", (3.0,)))
    assert ordered_filters([first]) == ("proj",)
    assert ordered_filters([first, (Choice("mlp", (1.0,)),)]) == ("q_proj", "proj", "mlp")

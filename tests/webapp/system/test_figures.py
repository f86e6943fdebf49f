"""How numbers, times and states are written."""

from __future__ import annotations

from datetime import timedelta

import pytest

from webapp.runs.models import RUN_STATES
from webapp.system.templatetags import figures


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (None, "–"),
        (0, "0.0 s"),
        (-0.1, "0.0 s"),
        (9.96, "10 s"),
        (59.7, "1 min 0 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
        (273_600, "3 d 4 h"),
        (timedelta(seconds=61), "1 min 1 s"),
    ],
)
def test_a_duration_has_two_units_at_most(seconds: float | timedelta | None, written: str) -> None:
    assert figures.duration(seconds) == written


@pytest.mark.parametrize(
    ("count", "written"),
    [
        (None, "–"),
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (2_780_000, "2.8 MB"),
        (14_483_464_192, "14.5 GB"),
    ],
)
def test_sizes_are_decimal(count: int | None, written: str) -> None:
    assert figures.n_bytes(count) == written


@pytest.mark.parametrize(("number", "written"), [(291, "291"), (694_272, "694 k"), (7_241_732_096, "7.24 B")])
def test_parameters_have_three_figures(number: int, written: str) -> None:
    assert figures.count(number) == written


def test_what_was_not_measured_is_a_dash_and_not_zero() -> None:
    assert figures.percent(None) == figures.points(None) == "–"
    assert figures.percent(0.0) == "0.0 %"


def test_a_difference_has_a_sign() -> None:
    assert (figures.points(0.125), figures.points(-0.125)) == ("+12.5", "−12.5")


def test_every_state_has_a_sign_of_its_own_shape_or_word() -> None:
    assert {figures.state_icon(state) for state in RUN_STATES} <= {
        "clock",
        "dot",
        "pause",
        "half",
        "check",
        "stop",
        "cross",
    }
    assert all(figures.state_tone(state) in ("", "good", "warn", "bad", "info", "accent") for state in RUN_STATES)

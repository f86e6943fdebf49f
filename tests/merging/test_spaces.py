"""What a search knows of a space."""

from __future__ import annotations

import math
from typing import Any

import pytest

from merging.errors import GenomeError
from merging.spaces import Axes


def test_genes_that_are_no_switches_are_numbers() -> None:
    axes = Axes((0.8, 0.5, 0.5, 0.5), switches=(0, 2), depends=((1, 0), (3, 0), (3, 2)))
    assert axes.n_genes == 4 and axes.numbers == (1, 3)
    assert Axes.plain(3) == Axes((0.5, 0.5, 0.5)) and Axes.plain(3).numbers == (0, 1, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"starts": (0.5, 1.5)}, "gene 1 starts at 1.5"),
        ({"starts": (math.nan, 0.5)}, "gene 0 starts at nan"),
        ({"switches": (1, 0)}, r"the switches are \(1, 0\); expected some of 2 genes in order"),
        ({"switches": (1, 1)}, "the switches are"),
        ({"switches": (2,)}, "the switches are"),
        ({"depends": ((0, 0),)}, "gene 0 depends on gene 0; expected a number and a switch"),
        ({"depends": ((1, 0),)}, "gene 1 depends on gene 0"),
        ({"depends": ((-1, 1),)}, "gene -1 depends on gene 1"),
    ],
)
def test_axes_that_contradict_themselves_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(GenomeError, match=message):
        Axes(**{"starts": (0.5, 0.5), "switches": (1,)} | changes)

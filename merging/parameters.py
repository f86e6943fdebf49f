"""What a merge method can be told: the numbers that forms show, searches evolve and recipes carry."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from merging.errors import RecipeError


@dataclass(frozen=True)
class Parameter:
    """One number or flag of a method, given once per recipe, once per group for all parents, or once per group and parent.

    `low` and `high` bound what a search tries and a form offers. A recipe written by hand may go further, to any finite
    number from `at_least` and above `above` to `at_most`. A flag is 0 or 1 in arithmetic and a bool in recipes.
    """

    name: str
    low: float
    high: float
    default: float
    per: Literal["recipe", "group", "parent"]
    help: str
    kind: Literal["real", "flag"] = "real"
    above: float = -math.inf
    at_least: float = -math.inf
    at_most: float = math.inf

    def check(self, value: object, where: str) -> float | bool:
        """The value as this parameter takes it, or a RecipeError that names `where`, what was found and what is expected."""
        if self.kind == "flag":
            if not isinstance(value, bool):
                raise RecipeError(f"{self.name} of {where} is {value!r}; expected true or false")
            return value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise RecipeError(f"{self.name} of {where} is {value!r}; expected a number")
        if not (math.isfinite(value) and value > self.above and self.at_least <= value <= self.at_most):
            raise RecipeError(f"{self.name} of {where} is {value!r}; expected {self._range()}")
        return float(value)

    def _range(self) -> str:
        if math.isinf(self.above) and math.isinf(self.at_least) and math.isinf(self.at_most):
            return "a finite number"
        if math.isinf(self.above):
            return f"a number from {self.at_least:g} to {self.at_most:g}"
        return f"a number above {self.above:g} and at most {self.at_most:g}"

"""A parameter as mergekit's files give it: a number, steps over the depth of a slice, or such values by tensors' names.

Knows no recipe. What the file says at several levels is one list of choices here, the most specific first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from merging import plain
from merging.errors import RecipeError
from merging.parameters import Parameter

Number = float | bool


@dataclass(frozen=True)
class Choice:
    """A value for the tensors whose names contain `filter`; "" is part of every name.

    `steps` lie at equal distances over the depth of a slice, from its first layer to its last. One step is the same for
    all layers.
    """

    filter: str
    steps: tuple[Number, ...]

    def at(self, depth: float) -> Number:
        """The value at a depth, 0 for the first layer of a slice and 1 for the last: on the line between two steps; of
        flags, the step before.
        """
        scaled = depth * (len(self.steps) - 1)
        before = int(scaled)
        after = min(len(self.steps) - 1, before + 1)
        low, high = self.steps[before], self.steps[after]
        if isinstance(low, bool) or isinstance(high, bool):
            return low
        return (1 - (scaled - before)) * low + (scaled - before) * high


Choices = tuple[Choice, ...]


def read_choices(value: object, parameter: Parameter, what: str) -> Choices:
    """The choices that a file's value states; RecipeError, naming `what`, for a value of another kind."""
    if isinstance(value, Mapping):
        return (_conditional(value, parameter, what),)
    if not isinstance(value, list):
        return (Choice("", (_number(value, parameter, what),)),)
    if not any(isinstance(one, Mapping) for one in value):
        return (_gradient("", value, parameter, what),) if value else ()
    return plain.items(value, what, RecipeError, lambda one, name: _conditional(one, parameter, name))


def chained(levels: Iterable[Choices]) -> Choices:
    """The choices of several levels as one list. What stands behind a choice for all names is never reached."""
    found: list[Choice] = []
    for choice in (choice for level in levels for choice in level):
        found.append(choice)
        if not choice.filter:
            break
    return tuple(found)


def chosen(choices: Choices, parts: Set[str]) -> Choice | None:
    """The choice for names that contain, of all filters, just these; None when there is none."""
    return next((choice for choice in choices if not choice.filter or choice.filter in parts), None)


def ordered_filters(lists: Sequence[Choices]) -> tuple[str, ...]:
    """All filters, so that names come to the first that they contain in the order that each list has.

    A filter that contains another comes before it; the other way round it would never be reached.
    """
    found = list(dict.fromkeys(choice.filter for choices in lists for choice in choices if choice.filter))
    if len({tuple(choice.filter for choice in choices if choice.filter) for choices in lists} - {()}) > 1:
        found.sort(key=len, reverse=True)  # stable: those of one length keep their order
    return tuple(name for i, name in enumerate(found) if not any(earlier in name for earlier in found[:i]))


def contained(filters: Iterable[str], name: str) -> frozenset[str]:
    """Which filters are part of a name."""
    return frozenset(part for part in filters if part in name)


def _conditional(value: object, parameter: Parameter, what: str) -> Choice:
    found = plain.mapping(value, what, RecipeError)
    if "value" not in found or set(found) - {"filter", "value"}:
        raise RecipeError(f"{what} has the keys {', '.join(found) or 'none'}; expected filter and value")
    part = plain.optional_text(found.get("filter"), f"filter in {what}", RecipeError)
    if part == "":
        raise RecipeError(f"filter in {what} is empty; leave it out for the rest of the tensors")
    name, inner = "" if part in (None, "*") else str(part), found["value"]
    if isinstance(inner, list):
        return _gradient(name, inner, parameter, what)
    return Choice(name, (_number(inner, parameter, what),))


def _gradient(part: str, steps: Sequence[object], parameter: Parameter, what: str) -> Choice:
    if not steps:
        raise RecipeError(f"{what} is an empty list; expected a number for each step of a gradient")
    return Choice(part, tuple(_number(step, parameter, what) for step in steps))


def _number(value: object, parameter: Parameter, what: str) -> Number:
    """YAML 1.1 takes 1e-5 for text, because it has no point."""
    if isinstance(value, str):
        try:
            return _number(float(value), parameter, what)
        except ValueError:
            raise RecipeError(f"{what} is {plain.show(value)}; expected a number") from None
    if parameter.kind == "flag":
        return bool(value) if value in (0, 1) else plain.flag(value, what, RecipeError)
    return plain.real(value, what, RecipeError)

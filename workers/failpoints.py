"""Named points at which a test lets this process die, freeze or lose its database. They cost nothing while FAILPOINTS is unset.

FAILPOINTS="after_claim:kill:0.02,inside_result:freeze,any:kill:0.001"    POINT:ACTION[:CHANCE], the chance at each passing, 1 if not said

kill      this process ends as by `kill -9`
freeze    it stops until somebody sends SIGCONT
lose      the database's answer is lost: what a call raises whose connection broke; after a commit, nobody here knows of it

What happens at a point is written to standard error first, so that whoever finds the process dead can tell where.
"""

from __future__ import annotations

import functools
import os
import random
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, ParamSpec, TypeVar, get_args

from django.db import OperationalError

Step = Literal["claim", "renewal", "result", "failure", "giving_back", "advance", "reap", "export_claim", "export"]
"""Transactions of the ledger with a point before them, and one after those that changed anything: `before_claim`, `after_claim`."""
Within = Literal[
    "inside_claim",
    "inside_result",
    "inside_giving_back",
    "inside_closing",
    "inside_opening",
    "inside_finishing",
    "inside_reap",
    "before_rename",
    "after_rename",
    "after_proposal",
    "after_sign_on",
    "while_computing",
    "before_relay",
]
Action = Literal["kill", "freeze", "lose"]
POINTS: Final = (*get_args(Within), *(f"{side}_{step}" for step in get_args(Step) for side in ("before", "after")))
ANY: Final = "any"
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Trap:
    """What happens at a point, and how likely each time."""

    action: Action
    chance: float


def failpoint(point: Within) -> None:
    """Pass the point: usually nothing happens."""
    if _traps:
        _pass(point)


def around(step: Step) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorate a transaction with the points before and after it."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def passing(*arguments: P.args, **named: P.kwargs) -> T:
            if not _traps:
                return function(*arguments, **named)
            _pass(f"before_{step}")
            if found := function(*arguments, **named):
                _pass(f"after_{step}")
            return found

        return passing

    return decorate


def arm(text: str) -> None:
    """Set traps as FAILPOINTS does, in place of all that are set. ValueError for what is no trap."""
    _traps.clear()
    _traps.update(_trap(word) for word in text.split(",") if word)


def _trap(word: str) -> tuple[str, Trap]:
    point, action, chance = (*word.split(":"), "1")[:3]
    if point not in (*POINTS, ANY) or action not in get_args(Action):
        raise ValueError(f"FAILPOINTS has {word!r}, expected POINT:ACTION[:CHANCE] with a point of {', '.join(POINTS)}")
    return point, Trap(action, float(chance))  # type: ignore[arg-type]


def _pass(point: str) -> None:
    trap = _traps.get(point) or _traps.get(ANY)
    if trap is None or random.random() >= trap.chance:
        return
    os.write(2, f"failpoint {point}: {trap.action}\n".encode())
    if trap.action == "lose":
        raise OperationalError(f"the connection was lost at {point}")
    os.kill(os.getpid(), signal.SIGKILL if trap.action == "kill" else signal.SIGSTOP)


_traps: dict[str, Trap] = {}
arm(os.environ.get("FAILPOINTS", ""))

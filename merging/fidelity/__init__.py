"""Fidelities, one file each: a file in this folder with a `FIDELITY` is one everywhere. `full` is the default.

How a run uses them, all of it from rows:

    pool = Pool(tuple(Part(n_search, weight) for each objective))
    plan = fidelities.get(name).plan(pool, history, settings, seed, generation)    # when a generation opens; stored with it
    answers = ask_by(plan, ask)                                                   # in a worker; `pool.by_part(block)` says whose samples
    estimates = plan.estimate(answers)                                            # one for each objective: what the search is told

The finalists of a run are scored in full before one of them is called the winner; `finalists` says which they are where all
candidates are healthy, and the ledger of runs passes over those that are not. Where a fidelity `wins_by_validation`, the winner is
the best on the validation split among the best of every generation.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from merging import plain
from merging.errors import EvaluationError
from merging.fidelity.fidelity import (
    Answers,
    Estimate,
    Fidelity,
    History,
    Judge,
    Part,
    Plan,
    Pool,
    Positions,
    Scored,
    Setting,
    ask_by,
    integers,
)
from merging.registry import Registry, plugins

fidelities: Final[Registry[Fidelity]] = Registry("fidelity")
DEFAULT: Final = "full"

_readers: dict[str, Callable[[Mapping[str, object]], Judge]] = {}
for _module in plugins(__name__):
    if isinstance(_fidelity := getattr(_module, "FIDELITY", None), Fidelity):
        fidelities.register(_fidelity.name, _fidelity)
    _readers |= {judge.KIND: judge.from_json for judge in getattr(_module, "JUDGES", ())}


def plan_from_json(value: object) -> Plan:
    """The plan that `to_json` wrote; EvaluationError names what is missing, unknown or wrong."""
    found = plain.fields(value, ("fidelity", "pool", "blocks", "judge"), "the plan", EvaluationError)
    judge = plain.mapping(found["judge"], "the judge", EvaluationError)
    kind = plain.text(judge.get("kind"), "the judge's kind", EvaluationError)
    if kind not in _readers:
        raise EvaluationError(f"the judge's kind is {kind!r}; expected {', '.join(_readers)}")
    return Plan(
        plain.text(found["fidelity"], "the fidelity", EvaluationError),
        Pool.from_json(found["pool"]),
        plain.items(found["blocks"], "blocks", EvaluationError, integers),
        _readers[kind](judge),
    )


def finalists(fitnesses: Sequence[float | None], n: int) -> list[int]:
    """Which candidates to score in full at the end: the n with the highest told fitness, the earliest among equals.

    `fitnesses` are those of all candidates in order, None for one that failed. Fewer than n when fewer were scored.
    """
    scored = [i for i, fitness in enumerate(fitnesses) if fitness is not None]
    return sorted(scored, key=lambda i: (-(fitnesses[i] or 0.0), i))[:n]


__all__ = [
    "DEFAULT",
    "Answers",
    "Estimate",
    "Fidelity",
    "History",
    "Judge",
    "Part",
    "Plan",
    "Pool",
    "Positions",
    "Scored",
    "Setting",
    "ask_by",
    "fidelities",
    "finalists",
    "plan_from_json",
]

"""A run from a preset and nothing else: its models and benchmarks are looked up by their names, as a terminal and a program say them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from webapp.library.models import Benchmark, Parent
from webapp.runs.config import Override
from webapp.runs.launching.drafts import Draft, PathDraft, path_draft, plan_spaces
from webapp.runs.launching.measures import Measure
from webapp.runs.launching.plans import Plan
from webapp.runs.launching.presets import Measure as NamedMeasure
from webapp.runs.launching.presets import Preset


@dataclass(frozen=True)
class Names:
    """How a name leads to its row; what is not there is refused by the caller's own error."""

    parent: Callable[[str], Parent]
    benchmark: Callable[[str], Benchmark]


def plan_named(start: Preset, names: Names, override: Override | None = None) -> tuple[Plan, Plan | None]:
    """The run that a preset describes, and the one that follows it where both spaces evolve; see `drafts.plan_spaces`."""
    return plan_spaces(start.space, lambda: _numbers(start, names, override), lambda: _paths(start, names, override))


def _numbers(start: Preset, names: Names, override: Override | None) -> Draft:
    return Draft(
        parents=tuple(map(names.parent, start.parents)),
        base=names.parent(start.base) if start.base else None,
        method=start.method,
        groups=start.groups,
        filters=start.filters,
        search=start.search,
        settings=dict(start.settings),
        budget=start.budget,
        population_size=start.population_size,
        tokenizer=start.tokenizer,
        **_shared(start, names, override),
    )


def _paths(start: Preset, names: Names, override: Override | None) -> Draft:
    """Of both, model B alone: model A is the winner."""
    path = start.path
    models = (path.model_b,) if start.space == "both" else (path.model_a, path.model_b)
    return path_draft(
        [names.parent(name) for name in models if name],
        PathDraft(path.repeats, path.scales, path.max_hops, path.p_others),
        search=path.search,
        budget=path.budget,
        population_size=path.population_size,
        **_shared(start, names, override),
    )


def _shared(start: Preset, names: Names, override: Override | None) -> dict[str, Any]:
    return {
        "measures": tuple(_measure(measure, names) for measure in start.measures),
        "seed": start.seed,
        "n_finalists": start.n_finalists,
        "fidelity": start.fidelity,
        "fidelity_settings": dict(start.fidelity_settings),
        "steady": start.steady,
        "override": override,
    }


def _measure(wanted: NamedMeasure, names: Names) -> Measure:
    row = names.benchmark(wanted.benchmark)
    return Measure(row, wanted.weight, wanted.n_search, wanted.n_validation, wanted.n_final)

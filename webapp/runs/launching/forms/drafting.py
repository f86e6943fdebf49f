"""From what was read of the form to a draft of the run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from merging.fidelity import fidelities
from merging.genomes import GRADIENT
from merging.methods import methods
from webapp.library.models import Benchmark, Parent
from webapp.runs.config import Override
from webapp.runs.launching import drafts
from webapp.runs.launching.drafts import PARTS, Draft, PathDraft
from webapp.runs.launching.forms.fields import MEASURED, fidelity_name, setting_name
from webapp.runs.launching.measures import Measure

Chosen = Mapping[str, Any]
"""The form's values by field, as they are after its own checks."""


def numbers_draft(user: User, chosen: Chosen) -> Draft:
    """The run over numbers."""
    method = methods.get(chosen["method"])
    return Draft(
        parents=tuple(chosen["parents"]),
        base=chosen["base"],
        method=method.name,
        groups=_granularity(chosen["groups"], chosen["n_groups"]),
        filters=_filters(chosen),
        search=chosen["search"],
        settings={p.name: chosen[setting_name(method, p)] for p in method.per_recipe()},
        budget=chosen["budget"],
        population_size=chosen["population_size"],
        tokenizer=chosen["tokenizer"],
        **_shared(user, chosen),
    )


def path_draft(user: User, chosen: Chosen, models: Iterable[Parent | None]) -> Draft:
    """The run over the layer path of these models."""
    return drafts.path_draft(
        models,
        PathDraft(chosen["repeats"], chosen["scales"], chosen["max_hops"], chosen["p_others"]),
        search=chosen["path_search"],
        budget=chosen["path_budget"],
        population_size=chosen["path_population_size"],
        **_shared(user, chosen),
    )


def _filters(chosen: Chosen) -> str:
    names: str = chosen["filters"]
    return {"whole": "", "parts": PARTS, "named": names}[chosen["division"]]


def _shared(user: User, chosen: Chosen) -> dict[str, Any]:
    """What both spaces are told alike."""
    return {
        "measures": tuple(_measure(row, chosen) for row in chosen["benchmarks"]),
        "fidelity": chosen["fidelity"],
        "fidelity_settings": _fidelity_settings(chosen),
        "override": Override(user.get_username(), _now()) if chosen["override"] else None,
        "seed": chosen["seed"],
        "n_finalists": chosen["n_finalists"],
        "steady": chosen["steady"],
    }


def _fidelity_settings(chosen: Chosen) -> dict[str, float]:
    kind = fidelities.get(chosen["fidelity"])
    found = {setting.name: chosen[fidelity_name(kind, setting)] for setting in kind.settings}
    return {name: value for name, value in found.items() if value is not None}


def _measure(row: Benchmark, chosen: Chosen) -> Measure:
    """What was chosen for a benchmark; the weight of one that stands alone is not asked for."""
    found = {name: chosen[Measure(row).field(name)] for name in MEASURED}
    return Measure(row, **found | {"weight": 1.0 if found["weight"] is None else found["weight"]})


def _now() -> str:
    return timezone.now().isoformat(timespec="seconds")


def _granularity(kind: str, n_groups: int | None) -> str:
    """The granularity of `layer_groups`; its own check refuses a number that is missing."""
    number = "" if n_groups is None else str(n_groups)
    return {"some": number, "gradient": GRADIENT + number}.get(kind, kind)

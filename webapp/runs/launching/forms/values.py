"""What a form begins with: a preset, what was sent before, or a draft that was kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.utils.datastructures import MultiValueDict

from merging.genomes import GRADIENT
from webapp.library.models import Benchmark, Parent
from webapp.runs.launching.forms.fields import MEASURED
from webapp.runs.launching.forms.run_form import NUMBERS, RunForm
from webapp.runs.launching.measures import Measure
from webapp.runs.launching.presets import OWN, Preset


def initial(user: User, start: Preset, key: str) -> dict[str, Any]:
    """The form's values for a preset; what the library lacks is left for the person to choose."""
    path = start.path
    names = {*start.parents, start.base, path.model_a, path.model_b} - {None}
    rows = {row.name: row for row in Parent.objects.visible_to(user).filter(name__in=names)}
    kind, n_groups = _kind_of(start.groups)
    return {
        "key": key,
        "name": "" if start is OWN else start.title,
        "space": start.space,
        "parents": [rows[name].pk for name in start.parents if name in rows],
        "base": rows.get(start.base or ""),
        "tokenizer": start.tokenizer,
        **_initial_benchmarks(user, start),
        "method": start.method,
        **{f"{start.method}-{name}": value for name, value in start.settings},
        "groups": kind,
        "n_groups": n_groups,
        "division": "named" if start.filters else "whole",
        "filters": start.filters,
        "search": start.search,
        "steady": start.steady,
        "fidelity": start.fidelity,
        **{f"fidelity-{start.fidelity}-{name}": value for name, value in start.fidelity_settings},
        **{name: getattr(start, name) for name in NUMBERS},
        "model_a": rows.get(path.model_a or ""),
        "model_b": rows.get(path.model_b or ""),
        "repeats": path.repeats,
        "max_hops": path.max_hops,
        "p_others": path.p_others,
        "scales": path.scales,
        "path_search": path.search,
        "path_budget": path.budget,
        "path_population_size": path.population_size,
    }


def as_sent(values: Mapping[str, Any]) -> dict[str, list[str]]:
    """The same values as a browser would send them, which says nothing of a box without a tick."""
    sent: dict[str, list[str]] = {}
    for name, value in values.items():
        if value is not False:
            found = value if isinstance(value, list) else ["" if value is None else value]
            sent[name] = ["on" if one is True else str(getattr(one, "pk", one)) for one in found]
    return sent


def restored(user: User, sent: MultiValueDict[str, str]) -> RunForm:
    """The form as it was sent, nothing checked."""
    return RunForm(user, initial=_read(user, sent))


def swapped(user: User, sent: MultiValueDict[str, str]) -> RunForm:
    """The form as it was sent, nothing checked, with models A and B in each other's places. Alone, A stays A."""
    values = _read(user, sent)
    if values.get("model_b"):
        values |= {"model_a": values["model_b"], "model_b": values["model_a"]}
    return RunForm(user, initial=values)


def _read(user: User, sent: MultiValueDict[str, str]) -> dict[str, Any]:
    """What was sent, by field. A browser says nothing of a box without a tick, nor of settings of other methods, which stay as they are."""
    values = {}
    for name, field in RunForm(user).fields.items():
        if name in sent:
            values[name] = field.widget.value_from_datadict(sent, MultiValueDict(), name)
        elif isinstance(field, forms.BooleanField) and name.rpartition("-")[0] in ("", sent.get("method")):
            values[name] = False
    return values


def _initial_benchmarks(user: User, start: Preset) -> dict[str, Any]:
    wanted = {measure.benchmark: measure for measure in start.measures}
    rows = list(Benchmark.objects.visible_to(user).filter(name__in=wanted))
    values = {Measure(row).field(name): getattr(wanted[row.name], name) for row in rows for name in MEASURED}
    return values | {"benchmarks": [row.pk for row in rows]}


def _kind_of(granularity: str) -> tuple[str, int]:
    """The opposite of `_granularity`, with a number to begin from where there is none."""
    if granularity.startswith(GRADIENT):
        return "gradient", int(granularity.removeprefix(GRADIENT))
    return (granularity, 4) if granularity in ("model", "block") else ("some", int(granularity))

"""A small library to choose from, and a form filled in with it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User

from tests.webapp.library.folders import model_folder, question_file
from webapp.library.actions import add_benchmark, register_parent
from webapp.library.models import Benchmark, Parent
from webapp.runs.launching.drafts import Draft
from webapp.runs.launching.measures import Measure


@dataclass(frozen=True)
class Library:
    """A base, two parents of its shape, one of another, and forty questions: 20 search, 10 validation, 10 final."""

    base: Parent
    first: Parent
    second: Parent
    wide: Parent
    benchmark: Benchmark


def library(owner: User, folder: Path) -> Library:
    rows = [
        register_parent(owner, model_folder(folder / name, fill=i))
        for i, name in enumerate(("base", "first", "second"))
    ]
    wide = register_parent(owner, model_folder(folder / "wide", hidden_size=3))
    return Library(*rows, wide, add_benchmark(owner, question_file(folder / "sums.jsonl")))


def draft(chosen: Library, **changes: Any) -> Draft:
    """Two parents over their base in one group: two numbers to find. `weight` and the counts are of the one benchmark."""
    own = {name: changes.pop(name) for name in ("weight", "n_search", "n_validation", "n_final") if name in changes}
    values: dict[str, Any] = {
        "parents": (chosen.first, chosen.second),
        "base": chosen.base,
        "measures": (Measure(chosen.benchmark, **own),),
        "method": "task_arithmetic",
        "groups": "model",
        "search": "cma_es",
        "budget": 40,
        "seed": 7,
    }
    return Draft(**(values | changes))


def form(chosen: Library, **changes: Any) -> dict[str, Any]:
    """The same as a browser sends it. `weight` and the counts are of the one benchmark."""
    own = {
        f"{name}-{chosen.benchmark.pk}": changes.pop(name, "")
        for name in ("weight", "n_search", "n_validation", "n_final")
    }
    values = {
        "name": "my run",
        "space": "numbers",
        "parents": [chosen.first.pk, chosen.second.pk],
        "base": chosen.base.pk,
        "tokenizer": "same",
        "benchmarks": [chosen.benchmark.pk],
        **own,
        "n_finalists": "3",
        "method": "task_arithmetic",
        "task_arithmetic-lambda": "1",
        "groups": "model",
        "n_groups": "2",
        "division": "whole",
        "filters": "",
        "search": "cma_es",
        "fidelity": "full",
        "budget": "40",
        "population_size": "",
        "seed": "7",
        "key": "k1",
    }
    return values | changes


def path_form(chosen: Library, **changes: Any) -> dict[str, Any]:
    """A run over the layer path of the two parents, with what a browser sends of numbers, too."""
    values = {
        "space": "path",
        "model_a": chosen.first.pk,
        "model_b": chosen.second.pk,
        "repeats": "1",
        "max_hops": "",
        "scales": "slot",
        "p_others": "0.5",
        "path_search": "cma_es",
        "path_budget": "30",
        "path_population_size": "",
    }
    return form(chosen, **(values | changes))


def checked(page: str, name: str) -> set[str]:
    """The values of the radio buttons or checkboxes of this name that are on."""
    tags = [tag for tag in re.findall(r"<input[^>]*>", page) if f'name="{name}"' in tag and "checked" in tag]
    return {value for tag in tags for value in re.findall(r'value="([^"]*)"', tag)}

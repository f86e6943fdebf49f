"""A configuration of mergekit-evolve as the start of a run here: its models and tasks are looked up, and what is missing is said."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from django.contrib.auth.models import User

from merging.errors import RecipeError, UnknownNameError
from merging.mergekit_evolve import Evolution, Task, read_evolution
from merging.methods import methods
from merging.recipes import Tokenizer
from webapp.library.models import Benchmark, Parent
from webapp.runs.launching.presets import OWN, Measure, Preset

TOKENIZERS: Final[dict[str | None, Tokenizer]] = {None: "same", "base": "base", "union": "union"}
"""What they are called there."""


@dataclass(frozen=True)
class Imported:
    """Where a run begins, and in sentences what the file asks for that it has not."""

    start: Preset
    notes: tuple[str, ...]


def imported(user: User, text: str) -> Imported:
    """The start that a file describes for this person; RecipeError as of `read_evolution`."""
    return _Import(user, read_evolution(text)).result()


class _Import:
    """Gathers notes while names are looked up."""

    def __init__(self, user: User, asked: Evolution) -> None:
        self._models = list(Parent.objects.visible_to(user))
        self._benchmarks = list(Benchmark.objects.visible_to(user))
        self._asked = asked
        self._notes = list(asked.notes)

    def result(self) -> Imported:
        asked = self._asked
        parents = [row for name in asked.models if (row := self._model(name, "models"))]
        base = self._model(asked.base, "base_model") if asked.base else None
        method = asked.method or OWN.method
        knows_it = any(parameter.name == "normalize" for parameter in methods.get(method).per_recipe())
        start = replace(
            OWN,
            title="",
            parents=tuple(row.name for row in parents),
            base=base.name if base else None,
            method=method,
            settings=(("normalize", asked.normalize),) if knows_it else (),
            groups=self._groups(parents),
            filters=",".join(asked.filters),
            tokenizer=self._tokenizer(),
            measures=tuple(measure for task in asked.tasks if (measure := self._measure(task))),
        )
        return Imported(start, tuple(self._notes))

    def _model(self, name: str, key: str) -> Parent | None:
        """By its name, by the last part of it, or by its folder."""
        last = name.rstrip("/").rpartition("/")[2]
        found = [row for wanted in (name, last) for row in self._models if wanted in (row.name, row.folder)]
        if not found:
            self._unknown(key, "model", name, (row.name for row in self._models))
        return found[0] if found else None

    def _groups(self, parents: Sequence[Parent]) -> str:
        """With the depth of the first model that is here."""
        if not parents:
            if self._asked.layers_per_group:
                self._notes.append("layer_granularity: how many groups these are is known when the models are here.")
            return OWN.groups
        try:
            return self._asked.groups(parents[0].n_layers)
        except RecipeError as error:
            self._notes.append(f"{error}.")
            return OWN.groups

    def _tokenizer(self) -> Tokenizer:
        name = self._asked.tokenizer
        if name in TOKENIZERS:
            return TOKENIZERS[name]
        if self._asked.models and name == self._asked.models[0]:
            return "first"
        self._notes.append(f"tokenizer_source: {name} is neither base, union nor the first model.")
        return "same"

    def _measure(self, task: Task) -> Measure | None:
        """A benchmark of that name, or the task with its metric, best with the same."""
        known = [row for row in self._benchmarks if row.name == task.name or row.name.startswith(f"{task.name}, ")]
        if not known:
            self._unknown("tasks", "benchmark", task.name, (row.name for row in self._benchmarks))
            return None
        exact = [row for row in known if row.name.startswith(f"{task.name}, {task.metric}")]
        row = (exact or known)[0]
        if not exact and not row.scorer.startswith(f"{task.metric}@"):
            self._notes.append(f"tasks: {row.name} is scored by {row.scorer} here, not by {task.metric}.")
        limit = self._asked.limit
        return Measure(row.name, task.weight, None if limit is None else min(limit, row.n_search))

    def _unknown(self, key: str, noun: str, name: str, known: Iterable[str]) -> None:
        self._notes.append(f"{key}: {UnknownNameError(noun, name, known)}")

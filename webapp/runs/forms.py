"""The form of a new run, built from what methods, searches and the library declare.

It only reads; whether a choice can be launched is decided by `drafts.plan`, the same code as for the command line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, cast

from django import forms
from django.contrib.auth.models import User
from django.forms.boundfield import BoundField, BoundWidget
from django.utils import timezone

from merging.fidelity import DEFAULT as FULL
from merging.fidelity import Fidelity, Setting, fidelities
from merging.genomes import GRADIENT, nothing_to_search
from merging.methods import methods
from merging.methods.method import Method
from merging.parameters import Parameter
from merging.search import SearchKind, searches
from webapp.library.models import Benchmark, Parent
from webapp.runs.config import Override
from webapp.runs.drafts import PARTS, SPLITS, Draft, DraftError, Measure, plan
from webapp.runs.plans import Plan
from webapp.runs.presets import OWN, Preset

GROUPS: Final = (
    ("model", "One group", "The whole model takes the same numbers: the fewest to find, and the paper's choice."),
    ("some", "A few groups", "Layers in equal groups over depth, the embeddings on their own."),
    ("block", "Every layer", "A group per layer, the embeddings on their own: the finest."),
    (
        "gradient",
        "A gradient",
        "Numbers for a few depths, and straight lines between them: smooth, however deep the model.",
    ),
)
DIVISIONS: Final = (
    ("whole", "Whole layers", "All tensors of a layer take the same numbers."),
    ("parts", "Attention and MLP", "Each part of a layer takes numbers of its own, and so does the rest."),
    ("named", "By name", "Tensors whose names contain what you type take numbers of their own."),
)
FIDELITIES: Final = tuple(sorted(fidelities, key=lambda kind: kind.name != FULL))
SEARCHABLE: Final = tuple(method for method in methods if not nothing_to_search(method))
NUMBERS: Final = ("population_size", "budget", "seed", "n_finalists")
MEASURED: Final = ("weight", "n_search", "n_validation", "n_final")
"""What is chosen for each benchmark by itself."""


def _number(label: str, help_text: str = "", required: bool = True, placeholder: str = "") -> forms.IntegerField:
    widget = forms.TextInput(attrs={"inputmode": "numeric", "placeholder": placeholder, "autocomplete": "off"})
    message = f"{label} is not a whole number."
    return forms.IntegerField(
        label=label, help_text=help_text, required=required, widget=widget, error_messages={"invalid": message}
    )


class RunForm(forms.Form):
    """What a person chooses for a run. After `is_valid()`, `planned` is the run that can be launched; `chosen_parents` and `chosen_base`
    are of the library, whatever else is wrong.
    """

    name = forms.CharField(
        max_length=200,
        required=False,
        help_text="How you will find it again.",
        widget=forms.TextInput(attrs={"placeholder": "method and benchmark"}),
    )
    parents = forms.ModelMultipleChoiceField(Parent.objects.none(), required=False, widget=forms.CheckboxSelectMultiple)
    base = forms.ModelChoiceField(
        Parent.objects.none(),
        required=False,
        label="Base model",
        empty_label="None",
        help_text="The ancestor of all parents: what each has learned is measured from it.",
    )
    benchmarks = forms.ModelMultipleChoiceField(
        Benchmark.objects.none(), required=False, widget=forms.CheckboxSelectMultiple
    )
    override = forms.BooleanField(
        label="Search on a public test set all the same",
        required=False,
        help_text="Your name and the time are kept with the run, and stand on its leaderboard and on the card of every model it makes.",
    )
    n_finalists = _number(
        "Finalists", "So many of the best take the final exam. The winner is the best of them on the search questions."
    )
    method = forms.ChoiceField(
        label="Merge method",
        choices=[(method.name, method.title) for method in SEARCHABLE],
        widget=forms.RadioSelect,
    )
    groups = forms.ChoiceField(
        label="Layer groups", choices=[(value, title) for value, title, _ in GROUPS], widget=forms.RadioSelect
    )
    n_groups = _number("How many", required=False)
    division = forms.ChoiceField(
        label="Inside a layer", choices=[(value, title) for value, title, _ in DIVISIONS], widget=forms.RadioSelect
    )
    filters = forms.CharField(
        label="Parts of names",
        max_length=200,
        required=False,
        help_text="Separated by commas; a tensor belongs to the first that its name contains.",
        widget=forms.TextInput(attrs={"placeholder": "self_attn, mlp", "autocomplete": "off", "spellcheck": "false"}),
    )
    search = forms.ChoiceField(
        label="Search", choices=[(kind.name, kind.title) for kind in searches], widget=forms.RadioSelect
    )
    budget = _number("Candidates to score", "The search ends when so many have been scored.")
    population_size = _number(
        "Candidates per generation", "Leave it empty for the search's own rule.", False, "automatic"
    )
    seed = _number("Seed", "The same seed gives the same candidates, bit for bit.")
    fidelity = forms.ChoiceField(
        label="Questions a candidate is asked",
        choices=[(kind.name, kind.title) for kind in FIDELITIES],
        widget=forms.RadioSelect,
    )
    random_search = forms.BooleanField(
        label="Compare with a random search",
        required=False,
        help_text="Launches a second run with as many candidates, drawn at random: what the search is worth. It costs as much again.",
    )
    key = forms.CharField(max_length=32, widget=forms.HiddenInput)

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        self.planned: Plan | None = None
        self.chosen_parents: list[Parent] = []
        self.chosen_base: Parent | None = None
        for name, rows in (("parents", Parent.objects), ("base", Parent.objects), ("benchmarks", Benchmark.objects)):
            cast("forms.ModelChoiceField[Any]", self.fields[name]).queryset = rows.visible_to(user)
        for method in SEARCHABLE:
            for parameter in method.per_recipe():
                self.fields[_setting_name(method, parameter)] = _setting_field(parameter)
        for kind in fidelities:
            for setting in kind.settings:
                self.fields[_fidelity_name(kind, setting)] = _fidelity_field(setting)
        for row in Benchmark.objects.visible_to(user):
            self.fields |= {Measure(row).field(name): field for name, field in _measure_fields(row).items()}

    def clean(self) -> dict[str, Any]:
        """Ask the engine's own checks, even when some numbers could not be read: everything that is wrong is said at once."""
        chosen = self.cleaned_data
        self.chosen_parents, self.chosen_base = list(chosen.get("parents", ())), chosen.get("base")
        self._forget_other_methods(chosen.get("method", ""))
        self._forget_other_fidelities(chosen.get("fidelity", ""))
        self._forget_other_benchmarks(chosen.get("benchmarks", ()))
        unreadable = [name for name in self.fields if name in self.errors and self._is_number(name)]
        if not self.errors.keys() - set(unreadable) - {"name", "key"}:
            try:
                planned = plan(self._draft({name: _stand_in(name) for name in unreadable}))
                self.planned = None if self.errors else planned
            except DraftError as error:
                for name, sentences in error.problems.items():
                    if name not in unreadable:
                        self.add_error(name, sentences)
        return chosen

    def _forget_other_methods(self, method: str) -> None:
        """Settings of methods that were not chosen are not sent, and cannot be wrong."""
        others = [other.name for other in SEARCHABLE if other.name != method]
        for name in [name for name in self.errors if name.rpartition("-")[0] in others]:
            del self.errors[name]

    def _forget_other_fidelities(self, chosen: str) -> None:
        others = [f"fidelity-{kind.name}" for kind in fidelities if kind.name != chosen]
        for name in [name for name in self.errors if name.rpartition("-")[0] in others]:
            del self.errors[name]

    def _forget_other_benchmarks(self, chosen: Iterable[Benchmark]) -> None:
        kept = {Measure(row).field(name) for row in chosen for name in MEASURED}
        for name in [name for name in self.errors if name.rpartition("-")[0] in MEASURED and name not in kept]:
            del self.errors[name]

    def _is_number(self, name: str) -> bool:
        return name in NUMBERS or name.rpartition("-")[0] in MEASURED

    def _draft(self, stand_ins: dict[str, Any]) -> Draft:
        chosen = self.cleaned_data | stand_ins
        method = methods.get(chosen["method"])
        return Draft(
            parents=tuple(chosen["parents"]),
            base=chosen["base"],
            measures=tuple(self._measure(row, chosen) for row in chosen["benchmarks"]),
            method=method.name,
            groups=_granularity(chosen["groups"], chosen["n_groups"]),
            filters={"whole": "", "parts": PARTS}.get(chosen["division"], chosen["filters"]),
            search=chosen["search"],
            settings={p.name: chosen[_setting_name(method, p)] for p in method.per_recipe()},
            fidelity=chosen["fidelity"],
            fidelity_settings=self._fidelity_settings(chosen),
            override=Override(self.user.get_username(), _now()) if chosen["override"] else None,
            **{name: chosen[name] for name in NUMBERS},
        )

    def _fidelity_settings(self, chosen: dict[str, Any]) -> dict[str, float]:
        kind = fidelities.get(chosen["fidelity"])
        found = {setting.name: chosen[_fidelity_name(kind, setting)] for setting in kind.settings}
        return {name: value for name, value in found.items() if value is not None}

    def _measure(self, row: Benchmark, chosen: dict[str, Any]) -> Measure:
        """What was chosen for a benchmark; the weight of one that stands alone is not asked for."""
        found = {name: chosen[Measure(row).field(name)] for name in MEASURED}
        return Measure(row, **found | {"weight": 1.0 if found["weight"] is None else found["weight"]})

    def fidelity_options(self) -> Iterator[tuple[BoundWidget, Fidelity, list[BoundField]]]:
        """Each way of asking with its radio button and the fields of its settings."""
        for button in self["fidelity"]:
            kind = fidelities.get(button.data["value"])
            yield button, kind, [self[_fidelity_name(kind, setting)] for setting in kind.settings]

    def benchmark_options(self) -> Iterator[tuple[BoundWidget, Benchmark, list[BoundField]]]:
        """Each benchmark with its checkbox and the fields of what is chosen for it."""
        for button in self["benchmarks"]:
            row = button.data["value"].instance
            yield button, row, [self[Measure(row).field(name)] for name in MEASURED]

    def method_options(self) -> Iterator[tuple[BoundWidget, Method, list[BoundField]]]:
        """Each method with its radio button and the fields of its settings."""
        for button in self["method"]:
            method = methods.get(button.data["value"])
            yield button, method, [self[_setting_name(method, parameter)] for parameter in method.per_recipe()]

    def method_kinds(self) -> Iterator[tuple[str, list[tuple[BoundWidget, Method]]]]:
        """The methods by what they merge."""
        options = [(button, method) for button, method, _ in self.method_options()]
        yield "Changes since a base model", [option for option in options if option[1].needs_base]
        yield "Whole tensors", [option for option in options if not option[1].needs_base]

    def other_methods(self) -> list[tuple[Method, str]]:
        """The methods that no run searches, with the reason."""
        return [(method, why) for method in methods if (why := nothing_to_search(method))]

    def group_options(self) -> Iterator[tuple[BoundWidget, str]]:
        """Each granularity's radio button with what it means."""
        return zip(iter(self["groups"]), (summary for _, _, summary in GROUPS), strict=True)

    def division_options(self) -> Iterator[tuple[BoundWidget, str]]:
        """The radio button of each way to divide a layer with what it means."""
        return zip(iter(self["division"]), (summary for _, _, summary in DIVISIONS), strict=True)

    def search_options(self) -> Iterator[tuple[BoundWidget, SearchKind]]:
        """Each search with its radio button."""
        return ((button, searches.get(button.data["value"])) for button in self["search"])


def initial(user: User, start: Preset, key: str) -> dict[str, Any]:
    """The form's values for a preset; what the library lacks is left for the person to choose."""
    rows = {
        row.name: row for row in Parent.objects.visible_to(user).filter(name__in=[*start.parents, start.base or ""])
    }
    kind, n_groups = _kind_of(start.groups)
    return {
        "key": key,
        "name": "" if start is OWN else start.title,
        "parents": [rows[name].pk for name in start.parents if name in rows],
        "base": rows.get(start.base or ""),
        **_initial_benchmarks(user, start),
        "method": start.method,
        "groups": kind,
        "n_groups": n_groups,
        "division": "named" if start.filters else "whole",
        "filters": start.filters,
        "search": start.search,
        "fidelity": start.fidelity,
        **{f"fidelity-{start.fidelity}-{name}": value for name, value in start.fidelity_settings},
        **{name: getattr(start, name) for name in NUMBERS},
    }


def _initial_benchmarks(user: User, start: Preset) -> dict[str, Any]:
    wanted = {measure.benchmark: measure for measure in start.measures}
    rows = list(Benchmark.objects.visible_to(user).filter(name__in=wanted))
    values = {Measure(row).field(name): getattr(wanted[row.name], name) for row in rows for name in MEASURED}
    return values | {"benchmarks": [row.pk for row in rows]}


def _measure_fields(row: Benchmark) -> dict[str, forms.Field]:
    """Their help stands once, above all benchmarks."""
    weight = forms.FloatField(
        label="Weight",
        required=False,
        initial=1,
        widget=forms.TextInput(
            attrs={"inputmode": "decimal", "autocomplete": "off", "aria-label": f"Weight of {row.title}"}
        ),
        error_messages={"invalid": f"The weight of {row.title} is not a number."},
    )
    counts = {f"n_{split}": _number(f"{split.capitalize()} questions", "", False, "all") for split in SPLITS}
    return {"weight": weight, **counts}


def _fidelity_name(kind: Fidelity, setting: Setting) -> str:
    return f"fidelity-{kind.name}-{setting.name}"


def _fidelity_field(setting: Setting) -> forms.Field:
    widget = forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"})
    help_text = f"{setting.help} From {setting.low:g} to {setting.high:g}."
    return forms.FloatField(
        label=setting.name.replace("_", " "),
        help_text=help_text,
        required=False,
        initial=setting.default,
        widget=widget,
    )


def _stand_in(name: str) -> Any:
    """A value for a number that could not be read."""
    return getattr(OWN, name) if name in NUMBERS else None


def _now() -> str:
    return timezone.now().isoformat(timespec="seconds")


def _granularity(kind: str, n_groups: int | None) -> str:
    """The granularity of `layer_groups`; its own check refuses a number that is missing."""
    number = "" if n_groups is None else str(n_groups)
    return {"some": number, "gradient": GRADIENT + number}.get(kind, kind)


def _kind_of(granularity: str) -> tuple[str, int]:
    """The opposite of `_granularity`, with a number to begin from where there is none."""
    if granularity.startswith(GRADIENT):
        return "gradient", int(granularity.removeprefix(GRADIENT))
    return (granularity, 4) if granularity in ("model", "block") else ("some", int(granularity))


def _setting_name(method: Method, parameter: Parameter) -> str:
    return f"{method.name}-{parameter.name}"


def _setting_field(parameter: Parameter) -> forms.Field:
    if parameter.kind == "flag":
        return forms.BooleanField(
            label=parameter.name, help_text=parameter.help, required=False, initial=bool(parameter.default)
        )
    widget = forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"})
    return forms.FloatField(label=parameter.name, help_text=parameter.help, initial=parameter.default, widget=widget)

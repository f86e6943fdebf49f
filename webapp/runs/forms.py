"""The form of a new run, built from what methods, searches and the library declare.

It only reads; whether a choice can be launched is decided by `drafts.plan`, the same code as for the command line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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
from webapp.runs.drafts import (
    PARTS,
    PATH_METHOD,
    SPLITS,
    THEN,
    Draft,
    DraftError,
    Measure,
    PathDraft,
    plan,
    plan_both,
)
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
SPACE_OPTIONS: Final = (
    (
        "numbers",
        "The numbers",
        "Parameter space: how much each parent gives, layer by layer. The child is as large and as fast as a parent.",
    ),
    (
        "path",
        "The layer path",
        "Data-flow space: which layers of two models, or of one, are passed and in which order. No tensor changes; "
        "a longer path is a larger, slower child.",
    ),
    (
        "both",
        "Both, one after the other",
        "Numbers first. When that run is done, its winner is model A of a second run, over the layer path, by itself.",
    ),
)
TOKENIZER_OPTIONS: Final = (
    ("same", "The one that all of them have"),
    ("first", "The first parent's"),
    ("base", "The base model's"),
    ("union", "The union: all tokens of all of them"),
)
SCALE_OPTIONS: Final = (
    (
        "slot",
        "One for each place",
        "A number on the way into every place of the list: compact, for models of any depth.",
    ),
    (
        "matrix",
        "One for each pair of layers",
        "A number for the way from each layer to each other one: the paper's matrix. Many for deep models.",
    ),
    (
        "network",
        "From a small network",
        "41 numbers of a network that makes them all, however deep the models: the paper's choice at 7 billion parameters.",
    ),
    ("one", "None", "What flows from layer to layer stays as it is. In the paper that cost most of the gain."),
)
FIDELITIES: Final = tuple(sorted(fidelities, key=lambda kind: kind.name != FULL))
SEARCHABLE: Final = tuple(method for method in methods if not nothing_to_search(method))
NUMBERS: Final = ("population_size", "budget", "seed", "n_finalists")
PATH_NUMBERS: Final = ("path_population_size", "path_budget", "repeats", "max_hops", "p_others")
OF_NUMBERS: Final = frozenset(
    {
        "parents",
        "base",
        "tokenizer",
        "method",
        "groups",
        "n_groups",
        "division",
        "filters",
        "search",
        "budget",
        "population_size",
    }
)
OF_PATH: Final = frozenset({"model_a", "model_b", "scales", "path_search", *PATH_NUMBERS})
"""What is asked for only where numbers, or the path, evolve."""
SEARCHES: Final = tuple(kind for kind in searches if not kind.needs_switches)
PATH_SEARCHES: Final = tuple(sorted(searches, key=lambda kind: not kind.needs_switches))
MEASURED: Final = ("weight", "n_search", "n_validation", "n_final")
"""What is chosen for each benchmark by itself."""


def _number(label: str, help_text: str = "", required: bool = True, placeholder: str = "") -> forms.IntegerField:
    widget = forms.TextInput(attrs={"inputmode": "numeric", "placeholder": placeholder, "autocomplete": "off"})
    message = f"{label} is not a whole number."
    return forms.IntegerField(
        label=label, help_text=help_text, required=required, widget=widget, error_messages={"invalid": message}
    )


class RunForm(forms.Form):
    """What a person chooses for a run. After `is_valid()`, `planned` is the run that can be launched, and `planned_next` the one over the
    layer path that follows it, where both spaces are searched; `chosen_parents` and `chosen_base` are of the library, whatever else is
    wrong.

    Only what belongs to the chosen space counts; the rest may be sent, wrong or missing.
    """

    name = forms.CharField(
        max_length=200,
        required=False,
        help_text="How you will find it again.",
        widget=forms.TextInput(attrs={"placeholder": "method and benchmark"}),
    )
    space = forms.ChoiceField(
        label="What evolves", choices=[(value, title) for value, title, _ in SPACE_OPTIONS], widget=forms.RadioSelect
    )
    parents = forms.ModelMultipleChoiceField(Parent.objects.none(), required=False, widget=forms.CheckboxSelectMultiple)
    base = forms.ModelChoiceField(
        Parent.objects.none(),
        required=False,
        label="Base model",
        empty_label="None",
        help_text="The ancestor of all parents: what each has learned is measured from it.",
    )
    tokenizer = forms.ChoiceField(
        choices=TOKENIZER_OPTIONS,
        help_text="Where vocabularies differ, rows of the embeddings are found by token, not by number.",
    )
    model_a = forms.ModelChoiceField(
        Parent.objects.none(),
        required=False,
        label="Model A",
        empty_label="Choose a model",
        help_text="Begins and ends the path: embeddings, tokenizer, first and last layer, and head are its own.",
    )
    model_b = forms.ModelChoiceField(
        Parent.objects.none(),
        required=False,
        label="Model B",
        empty_label="None: A alone",
        help_text="Its layers may come between those of A. Without it, layers of A are skipped and repeated.",
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
        "Finalists",
        "So many of the best take the final exam. The best of them on the search questions wins; of paths, the best on validation.",
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
        label="Search", choices=[(kind.name, kind.title) for kind in SEARCHES], widget=forms.RadioSelect
    )
    budget = _number("Candidates to score", "The search ends when so many have been scored.")
    population_size = _number(
        "Candidates per generation", "Leave it empty for the search's own rule.", False, "automatic"
    )
    repeats = _number("Times the list of layers comes", "All layers of A, then all of B, so many times over.")
    max_hops = _number(
        "Layers of a path, at most",
        "What a child may cost. Left empty: as many as A and B have together, or A alone twice.",
        False,
        "automatic",
    )
    p_others = forms.FloatField(
        label="Chance of other layers at the start",
        help_text="0.5 is the paper's, for many thousand candidates. With few, begin nearer to A as it is, such as 0.05.",
        widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}),
        error_messages={"invalid": "Chance of other layers at the start is not a number."},
    )
    scales = forms.ChoiceField(
        label="Scales between layers",
        choices=[(value, title) for value, title, _ in SCALE_OPTIONS],
        widget=forms.RadioSelect,
    )
    path_search = forms.ChoiceField(
        label="Search for the path",
        choices=[(kind.name, kind.title) for kind in PATH_SEARCHES],
        widget=forms.RadioSelect,
    )
    path_budget = _number("Paths to score", "The search ends when so many have been scored.")
    path_population_size = _number(
        "Paths per generation", "Leave it empty for the search's own rule.", False, "automatic"
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
        self.planned_next: Plan | None = None
        self.chosen_parents: list[Parent] = []
        self.chosen_base: Parent | None = None
        for name in ("parents", "base", "model_a", "model_b"):
            cast("forms.ModelChoiceField[Any]", self.fields[name]).queryset = Parent.objects.visible_to(user)
        cast("forms.ModelChoiceField[Any]", self.fields["benchmarks"]).queryset = Benchmark.objects.visible_to(user)
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
        space = chosen.get("space", "")
        self._forget_other_space(space)
        self.chosen_parents, self.chosen_base = self._chosen_models(chosen, space)
        self._forget_other_methods(chosen.get("method", "") if space != "path" else "")
        self._forget_other_fidelities(chosen.get("fidelity", ""))
        self._forget_other_benchmarks(chosen.get("benchmarks", ()))
        unreadable = [name for name in self.fields if name in self.errors and self._is_number(name)]
        if not self.errors.keys() - set(unreadable) - {"name", "key"}:
            try:
                planned = self._plans(chosen | {name: _stand_in(name) for name in unreadable})
                self.planned, self.planned_next = (None, None) if self.errors else planned
            except DraftError as error:
                for name, sentences in error.problems.items():
                    if (field := self._field_of(name, space)) not in unreadable:
                        self.add_error(field, sentences)
        return chosen

    def _plans(self, chosen: dict[str, Any]) -> tuple[Plan, Plan | None]:
        """The run, and the one that follows it; DraftError with all that is wrong."""
        if chosen["space"] == "both":
            return plan_both(self._draft(chosen), self._path_draft(chosen, (chosen["model_b"],)))
        if chosen["space"] == "path":
            return plan(self._path_draft(chosen, (chosen["model_a"], chosen["model_b"]))), None
        return plan(self._draft(chosen)), None

    def _field_of(self, name: str, space: str) -> str:
        """The field of this form where a draft's problem was chosen."""
        of_path = space == "path" or name.startswith(THEN)
        name = name.removeprefix(THEN)
        if not of_path:
            return name
        model = "model_b" if space == "both" or self.cleaned_data.get("model_b") else "model_a"
        return {"parents": model, "budget": "path_budget", "population_size": "path_population_size"}.get(name, name)

    def _chosen_models(self, chosen: dict[str, Any], space: str) -> tuple[list[Parent], Parent | None]:
        """The models that must fit each other; of both spaces those of the first run."""
        if space == "path":
            return [row for row in (chosen.get("model_a"), chosen.get("model_b")) if row], None
        return list(chosen.get("parents", ())), chosen.get("base")

    def _forget_other_space(self, space: str) -> None:
        """What belongs to another space is not asked for, and cannot be wrong."""
        others = {"numbers": OF_PATH, "path": OF_NUMBERS, "both": {"model_a"}}.get(space, ())
        for name in [name for name in self.errors if name in others]:
            del self.errors[name]

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
        return name in (*NUMBERS, *PATH_NUMBERS) or name.rpartition("-")[0] in MEASURED

    def _draft(self, chosen: dict[str, Any]) -> Draft:
        method = methods.get(chosen["method"])
        return Draft(
            parents=tuple(chosen["parents"]),
            base=chosen["base"],
            method=method.name,
            groups=_granularity(chosen["groups"], chosen["n_groups"]),
            filters={"whole": "", "parts": PARTS}.get(chosen["division"], chosen["filters"]),
            search=chosen["search"],
            settings={p.name: chosen[_setting_name(method, p)] for p in method.per_recipe()},
            budget=chosen["budget"],
            population_size=chosen["population_size"],
            tokenizer=chosen["tokenizer"],
            **self._shared(chosen),
        )

    def _path_draft(self, chosen: dict[str, Any], models: Iterable[Parent | None]) -> Draft:
        return Draft(
            parents=tuple(row for row in models if row),
            base=None,
            method=PATH_METHOD.name,
            groups="model",
            search=chosen["path_search"],
            budget=chosen["path_budget"],
            population_size=chosen["path_population_size"],
            path=PathDraft(chosen["repeats"], chosen["scales"], chosen["max_hops"], chosen["p_others"]),
            **self._shared(chosen),
        )

    def _shared(self, chosen: dict[str, Any]) -> dict[str, Any]:
        """What both spaces are told alike."""
        return {
            "measures": tuple(self._measure(row, chosen) for row in chosen["benchmarks"]),
            "fidelity": chosen["fidelity"],
            "fidelity_settings": self._fidelity_settings(chosen),
            "override": Override(self.user.get_username(), _now()) if chosen["override"] else None,
            "seed": chosen["seed"],
            "n_finalists": chosen["n_finalists"],
        }

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
        """Each search over numbers with its radio button."""
        return ((button, searches.get(button.data["value"])) for button in self["search"])

    def path_search_options(self) -> Iterator[tuple[BoundWidget, SearchKind]]:
        """Each search over paths with its radio button."""
        return ((button, searches.get(button.data["value"])) for button in self["path_search"])

    def space_options(self) -> Iterator[tuple[BoundWidget, str]]:
        """Each space's radio button with what it means."""
        return zip(iter(self["space"]), (summary for _, _, summary in SPACE_OPTIONS), strict=True)

    def scale_options(self) -> Iterator[tuple[BoundWidget, str]]:
        """The radio button of each way to find scales with what it means."""
        return zip(iter(self["scales"]), (summary for _, _, summary in SCALE_OPTIONS), strict=True)


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
        "groups": kind,
        "n_groups": n_groups,
        "division": "named" if start.filters else "whole",
        "filters": start.filters,
        "search": start.search,
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


def swapped(user: User, sent: Mapping[str, Any]) -> RunForm:
    """The form as it was sent, nothing checked, with models A and B in each other's places. Alone, A stays A."""
    form = RunForm(user)
    values = {name: field.widget.value_from_datadict(sent, {}, name) for name, field in form.fields.items()}
    if values["model_b"]:
        values |= {"model_a": values["model_b"], "model_b": values["model_a"]}
    return RunForm(user, initial=values)


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
    if name in PATH_NUMBERS:
        return getattr(OWN.path, name.removeprefix("path_"))
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

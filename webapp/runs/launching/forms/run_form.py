"""The form of a new run, built from what methods, searches and the library declare.

It only reads; whether a choice can be launched is decided by `drafts.plan`, the same code as for the command line.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, cast

from django import forms
from django.contrib.auth.models import User

from merging.fidelity import DEFAULT as FULL
from merging.fidelity import fidelities
from merging.genomes import nothing_to_search
from merging.methods import methods
from merging.search import searches
from webapp.library.models import Benchmark, Parent
from webapp.runs.actions import RANDOM_SEARCH
from webapp.runs.launching.drafts import THEN, plan_spaces
from webapp.runs.launching.forms.choices import DIVISIONS, GROUPS, SCALE_OPTIONS, SPACE_OPTIONS, TOKENIZER_OPTIONS
from webapp.runs.launching.forms.drafting import numbers_draft, path_draft
from webapp.runs.launching.forms.fields import (
    MEASURED,
    ManyOptions,
    fidelity_field,
    fidelity_name,
    measure_fields,
    number,
    setting_field,
    setting_name,
)
from webapp.runs.launching.forms.offers import Offers
from webapp.runs.launching.measures import Measure
from webapp.runs.launching.plans import Plan
from webapp.runs.launching.presets import OWN
from webapp.runs.launching.problems import DraftError
from webapp.sharing.models import Project
from webapp.sharing.projects import open_to

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


class RunForm(Offers):
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
    project = forms.ModelChoiceField(
        Project.objects.none(),
        required=False,
        label="Project",
        empty_label="None",
        help_text="Its members see the run in the role that they have there.",
    )
    space = forms.ChoiceField(
        label="What evolves", choices=[(value, title) for value, title, _ in SPACE_OPTIONS], widget=forms.RadioSelect
    )
    parents = forms.ModelMultipleChoiceField(Parent.objects.none(), required=False, widget=forms.CheckboxSelectMultiple)
    base = forms.ModelChoiceField(
        Parent.objects.none(),
        required=False,
        label="Base model",
        widget=ManyOptions,
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
        widget=ManyOptions,
        empty_label="Choose a model",
        help_text="Begins and ends the path: embeddings, tokenizer, first and last layer, and head are its own.",
    )
    model_b = forms.ModelChoiceField(
        Parent.objects.none(),
        required=False,
        label="Model B",
        widget=ManyOptions,
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
    n_finalists = number(
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
    n_groups = number("How many", required=False)
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
    budget = number("Candidates to score", "The search ends when so many have been scored.")
    population_size = number(
        "Candidates per generation", "Leave it empty for the search's own rule.", False, "automatic"
    )
    repeats = number("Times the list of layers comes", "All layers of A, then all of B, so many times over.")
    max_hops = number(
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
    path_budget = number("Paths to score", "The search ends when so many have been scored.")
    path_population_size = number(
        "Paths per generation", "Leave it empty for the search's own rule.", False, "automatic"
    )
    seed = number("Seed", "The same seed gives the same candidates, bit for bit.")
    fidelity = forms.ChoiceField(
        label="Questions a candidate is asked",
        choices=[(kind.name, kind.title) for kind in FIDELITIES],
        widget=forms.RadioSelect,
    )
    steady = forms.BooleanField(
        label="Steady state",
        required=False,
        help_text="Opens a generation when all but the last half of the one before is scored: several workers need not wait. The "
        "search learns of that half a little later. With one worker it takes as long as without.",
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
        cast("forms.ModelChoiceField[Any]", self.fields["project"]).queryset = open_to(user)
        for name in ("parents", "base", "model_a", "model_b"):
            cast("forms.ModelChoiceField[Any]", self.fields[name]).queryset = Parent.objects.visible_to(user)
        cast("forms.ModelChoiceField[Any]", self.fields["benchmarks"]).queryset = Benchmark.objects.visible_to(user)
        for method in SEARCHABLE:
            for parameter in method.per_recipe():
                self.fields[setting_name(method, parameter)] = setting_field(parameter)
        for kind in fidelities:
            for setting in kind.settings:
                self.fields[fidelity_name(kind, setting)] = fidelity_field(setting)
        for row in Benchmark.objects.visible_to(user):
            self.fields |= {Measure(row).field(name): field for name, field in measure_fields(row).items()}

    def clean(self) -> dict[str, Any]:
        """Ask the engine's own checks, whatever could not be read: everything that is wrong is said at once."""
        chosen = self.cleaned_data
        space = chosen.get("space", "")
        self._forget_other_space(space)
        self.chosen_parents, self.chosen_base = self._chosen_models(chosen, space)
        self._forget_other_methods(chosen.get("method", "") if space != "path" else "")
        self._forget_other_fidelities(chosen.get("fidelity", ""))
        self._forget_other_benchmarks(chosen.get("benchmarks", ()))
        unreadable = self.errors.keys() - {"name", "key"}
        if unreadable <= self._replaceable:
            try:
                planned = self._plans(chosen | {name: self._stand_in(name) for name in unreadable})
                self.planned, self.planned_next = (None, None) if self.errors else planned
            except DraftError as error:
                for name, sentences in error.problems.items():
                    if (field := self._field_of(name, space)) not in unreadable:
                        self.add_error(field, sentences)
        return chosen

    def _plans(self, chosen: dict[str, Any]) -> tuple[Plan, Plan | None]:
        """The run, and the one that follows it; DraftError with all that is wrong."""
        names = ("model_b",) if chosen["space"] == "both" else ("model_a", "model_b")
        return plan_spaces(
            chosen["space"],
            lambda: numbers_draft(self.user, chosen),
            lambda: path_draft(self.user, chosen, [chosen[name] for name in names]),
        )

    @property
    def plans(self) -> list[Plan]:
        """What would be launched, in order; nothing while something is wrong."""
        return [found for found in (self.planned, self.planned_next) if found]

    @property
    def is_compared(self) -> bool:
        """Whether a random search is launched beside a run."""
        wanted = bool(self.cleaned_data.get("random_search"))
        return wanted and any(plan.config.search != RANDOM_SEARCH for plan in self.plans)

    @property
    def _replaceable(self) -> set[str]:
        """Fields whose value is no longer there or cannot be read, and that the checks of all others can do without."""
        numbers = (forms.IntegerField, forms.FloatField)
        models = (forms.ModelChoiceField, forms.ModelMultipleChoiceField)
        return {name for name, field in self.fields.items() if isinstance(field, numbers + models)}

    def _stand_in(self, name: str) -> Any:
        """A value in place of one that could not be read: nobody for models, and for numbers what a run begins with."""
        field = self.fields[name]
        if isinstance(field, forms.ModelMultipleChoiceField):
            return ()
        if name == "n_groups":
            return 2  # which models of two layers and more can have
        if name in PATH_NUMBERS:
            return getattr(OWN.path, name.removeprefix("path_"))
        return getattr(OWN, name) if name in NUMBERS else field.initial

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

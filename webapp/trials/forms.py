"""What is tried on what: a candidate on its run's benchmarks, or a model of the library on a benchmark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django import forms
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import Http404

from merging.benchmarks import BenchmarkSpec
from merging.errors import BenchmarkError
from merging.recipes import Recipe, passthrough_recipe
from merging.words import as_sentence
from webapp.library.lengths import too_long
from webapp.library.models import Benchmark, Parent
from webapp.runs.config import RunConfig
from webapp.runs.models import Candidate
from webapp.sharing.access import editable_by, run_or_refusal

MAX_ID: Final = 2**62


@dataclass(frozen=True)
class Wanted:
    """What a trial would be of."""

    name: str
    recipe: Recipe
    benchmarks: Sequence[BenchmarkSpec]


@dataclass(frozen=True)
class Choice:
    """A row that can be chosen."""

    pk: int
    name: str
    is_chosen: bool


class TrialForm(forms.Form):
    """A model and a benchmark."""

    model = forms.ModelChoiceField(
        queryset=Parent.objects.none(), empty_label=None, error_messages={"required": "Choose a model."}
    )
    benchmark = forms.ModelChoiceField(
        queryset=Benchmark.objects.none(), empty_label=None, error_messages={"required": "Choose a benchmark."}
    )

    def __init__(self, user: User, *args: Any, **words: Any) -> None:
        super().__init__(*args, **words)
        self.models, self.benchmarks = Parent.objects.visible_to(user), Benchmark.objects.visible_to(user)
        self.fields["model"].queryset = self.models  # type: ignore[attr-defined]
        self.fields["benchmark"].queryset = self.benchmarks  # type: ignore[attr-defined]

    @property
    def can_choose(self) -> bool:
        """Whether there is a model and a benchmark."""
        return self.models.exists() and self.benchmarks.exists()

    @property
    def model_choices(self) -> Iterator[Choice]:
        """For a template, which goes through a thousand in no time; a widget takes half a second."""
        return self._choices("model", self.models.values_list("pk", "name"))

    @property
    def benchmark_choices(self) -> Iterator[Choice]:
        return self._choices("benchmark", self.benchmarks.values_list("pk", "title"))

    def _choices(self, field: str, rows: Iterable[tuple[int, str]]) -> Iterator[Choice]:
        chosen = str(self[field].value())
        return (Choice(pk, name, str(pk) == chosen) for pk, name in rows)

    def clean(self) -> dict[str, Any]:
        chosen = super().clean() or {}
        if (model := chosen.get("model")) and (benchmark := chosen.get("benchmark")):
            try:
                sentence = too_long(BenchmarkSpec.from_json(benchmark.spec), benchmark.title, [model])
            except BenchmarkError:
                return chosen  # which the trial itself says
            if sentence:
                raise ValidationError(as_sentence(sentence))
        return chosen

    def wanted(self) -> Wanted:
        """Of a valid form."""
        parent, benchmark = self.cleaned_data["model"], self.cleaned_data["benchmark"]
        return Wanted(parent.name, passthrough_recipe(parent.model), [BenchmarkSpec.from_json(benchmark.spec)])


class CandidateForm(forms.Form):
    """A candidate by its number."""

    candidate = forms.IntegerField(min_value=1, max_value=MAX_ID)

    def chosen(self, user: User) -> Candidate:
        """The candidate, with its run; Http404 where this person may not see it, PermissionDenied where they may not have it tried."""
        if not self.is_valid():
            raise Http404
        candidate = Candidate.objects.filter(pk=self.cleaned_data["candidate"]).first()
        if candidate is None:
            raise Http404
        candidate.run = run_or_refusal(editable_by, user, candidate.run_id)
        return candidate


def wanted_of(candidate: Candidate) -> Wanted:
    """The candidate on the benchmarks of its run."""
    config = RunConfig.from_json(candidate.run.config)
    specs = [objective.spec for objective in config.objectives]
    return Wanted(f"{candidate.name} of {candidate.run.name}", Recipe.from_json(candidate.recipe), specs)

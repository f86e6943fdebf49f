"""What a form amounts to as it stands: each of its runs with its numbers and its cost, what blocks it, how good the choices are."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import User

from merging.errors import MergingError
from merging.mergekit import to_yaml
from merging.objectives import Objective, shares
from merging.recipes import Recipe
from webapp.library.models import Benchmark
from webapp.runs.config import RunConfig
from webapp.runs.launching import estimates, preflight
from webapp.runs.launching.estimates import Cost, Tried
from webapp.runs.launching.forms.run_form import RunForm
from webapp.runs.launching.plans import Plan
from webapp.runs.launching.preflight import Remark
from webapp.runs.launching.presets import about
from webapp.runs.launching.steps import Step, steps
from webapp.trials.models import Trial


@dataclass(frozen=True)
class Amounts:
    """A run in numbers. Of one that waits for its model A nobody knows how long that takes; `about` is what a preset took elsewhere."""

    plan: Plan
    cost: Cost
    about: str

    @property
    def enough(self) -> int:
        """Candidates for every number from which on a search is not thin."""
        return estimates.CANDIDATES_PER_NUMBER


@dataclass(frozen=True)
class Outlook:
    """See above. `built_bytes` is of the model that is written to disk between two runs."""

    runs: list[Amounts]
    blockers: list[Remark]
    health: list[Remark]
    measured: list[tuple[Benchmark, Objective, float]]
    built_bytes: int | None

    @property
    def steps(self) -> list[Step]:
        """Where each step stands."""
        return steps(remark.field for remark in self.blockers)

    @property
    def config(self) -> RunConfig | None:
        """Of the first run, when nothing is wrong with it."""
        return self.runs[0].plan.config if self.runs else None


def outlook(form: RunForm) -> Outlook:
    """Of a form that was validated."""
    blocking = preflight.blockers(form)
    plans = form.plans
    measured: list[tuple[Benchmark, Objective, float]] = []
    if plans:
        config = plans[0].config
        measured = list(zip(form.cleaned_data["benchmarks"], config.objectives, shares(config.weights), strict=True))
    return Outlook(
        [Amounts(plan, estimates.cost(plan, tried(form.user, plan.config)), about(plan.config)) for plan in plans],
        blocking,
        preflight.health(form, blocking),
        measured,
        estimates.built_bytes(plans[0].config) if len(plans) > 1 else None,
    )


def starting_point(config: RunConfig) -> Recipe:
    """The recipe that the search begins around."""
    space = config.space()
    return space.decode(space.centre)


def recipe_yaml(config: RunConfig) -> str:
    """The starting point as a mergekit file, models by their names; in a sentence why mergekit cannot be told of it."""
    try:
        return to_yaml(starting_point(config), lambda parent: parent.name)
    except MergingError as error:
        return f"# {error}\n"


def tried(user: User, config: RunConfig) -> Tried | None:
    """What was measured when this person tried the starting point of such a run; None when they never did."""
    mine = Trial.objects.filter(owner=user, status="done")
    if not mine.exists():
        return None
    found = mine.filter(recipe=starting_point(config).to_json()).order_by("-created").first()
    if found is None or found.seconds is None:
        return None
    digests = {spec["name"]: spec["digest"] for spec in found.benchmarks}
    asked = {one.benchmark: [question.seconds for question in one.questions] for one in found.tried}
    return Tried(
        merge_seconds=max(0.0, found.seconds - sum(map(sum, asked.values()))),
        question_seconds={digests[name]: sum(seconds) / len(seconds) for name, seconds in asked.items()},
    )

"""What is looked at before a launch: everything that stands in its way, all at once, and what is merely a reason to think.

A blocker refuses the launch, a warning does not. Each says where it was chosen. Reads rows and the disk, changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlencode

from django.conf import settings
from django.urls import reverse

from merging.recipes import Tokenizer
from merging.words import counted, size
from webapp.library.fit import fit_of
from webapp.runs import actions
from webapp.runs.launching import estimates
from webapp.runs.launching.forms.run_form import RunForm
from webapp.runs.launching.plans import Plan
from webapp.runs.launching.presets import about
from webapp.runs.launching.steps import Name, step_of
from webapp.system.checks import RESERVE_BYTES, disk_usage, someone_works
from webapp.system.status import workers

Level = Literal["error", "warning", "good"]
FEW_QUESTIONS: Final = 50
"""With fewer, a score of one half has an interval of 14 points to either side."""


@dataclass(frozen=True)
class Remark:
    """One thing that was looked at. `field` is the name of where it was chosen, empty for what is not chosen here; then `address` may lead
    to where something can be done about it.
    """

    level: Level
    found: str
    remedy: str = ""
    field: str = ""
    label: str = ""
    address: str = ""

    @property
    def step(self) -> Name:
        return step_of(self.field)


def blockers(form: RunForm) -> list[Remark]:
    """All that refuses a launch of this form, which was validated."""
    found = [
        Remark("error", str(sentence), field=name if name in form.fields else "", label=_label(form, name))
        for name, sentences in form.errors.items()
        for sentence in sentences
    ]
    return [*found, *_places(form)]


def health(form: RunForm, blocking: Sequence[Remark]) -> list[Remark]:
    """How good the choices are, the worst first, whether or not something stands in the way. What blocks is not said again."""
    plans = form.plans
    said = " ".join(remark.found for remark in blocking)
    found = [*_of_fit(form, said), *(remark for plan in plans for remark in _of_plan(plan)), *_of_server(plans)]
    return sorted(found, key=lambda remark: ("error", "warning", "good").index(remark.level))


def _label(form: RunForm, name: str) -> str:
    return str(form[name].label) if name in form.fields else ""


def _places(form: RunForm) -> Iterator[Remark]:
    """One may have so many runs at a time. A run that follows another takes the place of the first."""
    if actions.n_places(form.user) < 1 + form.is_compared:
        most = counted(settings.QUOTAS.n_runs, "run")
        yield Remark(
            "error",
            f"{most} at a time are all that one may have here: wait for one to end, or stop one.",
            address=reverse("runs:list"),
        )


def _of_fit(form: RunForm, said: str) -> Iterator[Remark]:
    """Whether the chosen models fit each other, with what deserves a thought and is not said elsewhere."""
    models = [*form.chosen_parents, *([form.chosen_base] if form.chosen_base else [])]
    if len(models) < 2:
        return
    is_path = form.cleaned_data.get("space") == "path"
    tokenizer: Tokenizer = "same" if is_path else form.cleaned_data.get("tokenizer", "same")
    found = fit_of(form.chosen_parents, form.chosen_base, tokenizer=tokenizer, is_path=is_path)
    address = "" if is_path else f"{reverse('library:parents')}?{urlencode([('model', row.pk) for row in models])}#fit"
    if is_path and not found.errors:
        yield Remark("good", "Layers of these models can follow each other.")
    else:
        yield Remark("error" if found.errors else "good", found.sentence, address=address)
    known = ""
    for finding in found.findings:
        if finding.level != "info" and finding.found not in said:
            yield Remark(finding.level, f"{finding.found}.", "" if finding.remedy == known else finding.remedy)
            known = finding.remedy


def _of_plan(plan: Plan) -> Iterator[Remark]:
    config = plan.config
    budget = "path_budget" if plan.route else "budget"
    if plan.n_per_number < estimates.CANDIDATES_PER_NUMBER and not about(config):
        less = "fewer repeats or scales" if plan.route else "fewer layer groups"
        yield Remark(
            "warning",
            f"{plan.n_per_number:.1f} candidates for every number to find are few.",
            f"Score more candidates, or choose {less}.",
            budget,
        )
    for asked in config.objectives:
        if asked.n_search < FEW_QUESTIONS:
            half = 98 / asked.n_search**0.5
            yield Remark(
                "warning",
                f"{counted(asked.n_search, 'search question')} of {asked.spec.name} tell a score to within {half:.0f} points.",
                "Ask more of them, or take the leaderboard's intervals seriously.",
                "benchmarks",
            )
    if config.override:
        yield Remark(
            "warning", "It searches on a public test set.", "That you allowed it is kept with the run.", "override"
        )


def _of_server(plans: Sequence[Plan]) -> Iterator[Remark]:
    worker = someone_works(workers())
    if worker.state == "ok":
        yield Remark("good", f"{worker.found.capitalize()} to work.")
    else:
        yield Remark("warning", f"No worker is ready: {worker.found}.", worker.advice, address=reverse("system:page"))
    usage = disk_usage()
    free = usage.free if usage else 0
    needed = sum(estimates.built_bytes(plan.config) or 0 for plan in plans[:-1]) + RESERVE_BYTES
    if free < needed:
        yield Remark("warning", f"{size(free)} are free on disk, and {size(needed)} may be needed.", "Free some space.")

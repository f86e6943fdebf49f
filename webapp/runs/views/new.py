"""New run: from intention to launch on one page, with a summary that follows every change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final
from uuid import uuid4

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from merging import plain
from merging.errors import BenchmarkError, ParentError
from webapp.accounts.requests import SignedIn
from webapp.library.listing import NUMBER
from webapp.lineage.actions import launch_both
from webapp.quotas import QuotaError
from webapp.runs import actions
from webapp.runs.launching import saved_drafts
from webapp.runs.launching.forms.import_form import ImportForm
from webapp.runs.launching.forms.run_form import RunForm
from webapp.runs.launching.forms.values import initial, restored, swapped
from webapp.runs.launching.outlook import outlook, recipe_yaml
from webapp.runs.launching.plans import Plan
from webapp.runs.launching.presets import PRESETS, Preset
from webapp.runs.launching.starts import start_of
from webapp.runs.launching.steps import UNSEEN
from webapp.runs.models import Run, RunDraft
from webapp.sharing.access import runs_of
from webapp.sharing.projects import open_to, place_launched, with_projects

N_EARLIER: Final = 5
STARTS: Final = ("preset", "like", "parent", "project")


@require_http_methods(["GET", "HEAD", "POST"])
def new_run(request: SignedIn) -> HttpResponse:
    """The form, filled in from `?preset=NAME`, from a run `?like=ID`, with the model `?parent=ID` or from `?draft=ID`; without any of these
    from one's latest draft, if there is one; `?project=ID` chooses a project for it. Posted, the run.

    Posted by its button "swap", it comes back with models A and B in each other's places.
    """
    if request.method != "POST":
        return page(request, *_opened(request))
    if "swap" in request.POST:
        return page(request, swapped(request.user, request.POST))
    form = RunForm(request.user, request.POST)
    if not form.is_valid() or form.planned is None:
        return page(request, form)
    try:
        run = _launch(request.user, form, form.planned)
    except (QuotaError, BenchmarkError, ParentError) as error:
        form.add_error(None, str(error))
        return page(request, form)
    saved_drafts.forget(request.user, form.cleaned_data["key"])
    return redirect("runs:detail", run.pk)


@require_POST
def summary(request: SignedIn) -> HttpResponse:
    """What the form amounts to as it stands, or what it still lacks; with its recipe as a file when that is unfolded."""
    form = RunForm(request.user, request.POST)
    form.is_valid()
    found = outlook(form)
    context = {
        "form": form,
        "outlook": found,
        "steps": found.steps,
        "is_answer": True,
        "recipe_yaml": recipe_yaml(found.config) if found.config and "yaml" in request.POST else "",
    }
    return render(request, "runs/_summary.html", context)


def page(
    request: SignedIn,
    form: RunForm,
    start: Preset | None = None,
    draft: RunDraft | None = None,
    importing: ImportForm | None = None,
) -> HttpResponse:
    """The page with this form, which begins with a preset or a draft, and perhaps with a file that could not be imported."""
    others = saved_drafts.drafts_of(request.user)
    context = {
        "form": form,
        "presets": PRESETS.values(),
        "start": start,
        "draft": draft,
        "drafts": (others.exclude(pk=draft.pk) if draft else others).defer("data"),
        "earlier": runs_of(request.user).defer("config")[:N_EARLIER],
        "importing": importing or ImportForm(),
        "has_projects": open_to(request.user).exists(),
        "steps": outlook(form).steps if form.is_bound else UNSEEN,
    }
    return render(request, "runs/new.html", context)


def _launch(user: User, form: RunForm, planned: Plan) -> Run:
    chosen, follows = form.cleaned_data, form.planned_next
    name, with_random_search = chosen["name"] or planned.name, chosen["random_search"]
    digests = "".join(replace(plan.config, override=None).digest() for plan in form.plans)
    key = f"{chosen['key']}.{plain.digest(digests)[-24:]}"
    with transaction.atomic():
        if follows:
            run = launch_both(user, planned.config, follows.config, name, key, with_random_search)
        else:
            run = actions.launch(user, planned.config, name, key, with_random_search)
        if chosen["project"]:
            place_launched(run, chosen["project"])
    return run


def _opened(request: SignedIn) -> tuple[RunForm, Preset | None, RunDraft | None]:
    """The form with what it begins with, a preset or a draft."""
    draft = _draft(request)
    if draft:
        return restored(request.user, saved_drafts.sent_of(draft)), None, draft
    start = start_of(request.user, request.GET)
    values = initial(request.user, start, uuid4().hex) | {"project": _project(request)}
    return RunForm(request.user, initial=values), start, None


def _project(request: SignedIn) -> Any:
    """The number of the project that the address names, or that the run which it names is in; the form offers it if one may choose it."""
    if like := request.GET.get("like"):
        known: QuerySet[Any] = with_projects(runs_of(request.user), request.user)
        return known.values_list("project_id", flat=True).get(pk=like)
    return request.GET.get("project")


def _draft(request: SignedIn) -> RunDraft | None:
    drafts = saved_drafts.drafts_of(request.user)
    if wanted := request.GET.get("draft"):
        return get_object_or_404(drafts, pk=int(wanted) if NUMBER.fullmatch(wanted) else 0)
    return None if any(name in request.GET for name in STARTS) else drafts.first()

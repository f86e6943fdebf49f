"""New run: from intention to launch on one page, with a summary that follows every change."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID, uuid4

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from merging.errors import UnknownNameError
from merging.objectives import shares
from webapp.accounts.requests import SignedIn
from webapp.library.fit import fit_of
from webapp.runs import actions, estimates
from webapp.runs.config import RunConfig
from webapp.runs.forms import RunForm, initial
from webapp.runs.listing import runs_of
from webapp.runs.presets import OWN, PRESETS, Measure, Preset, about, preset


def new_run(request: SignedIn) -> HttpResponse:
    """The form, filled in from `?preset=NAME` or from one's own run `?like=ID`; posted, the run."""
    start = _start(request)
    if request.method != "POST":
        form = RunForm(request.user, initial=initial(request.user, start, uuid4().hex))
        return render(request, "runs/new.html", _context(form, start))
    form = RunForm(request.user, request.POST)
    if not form.is_valid() or form.planned is None:
        return render(request, "runs/new.html", _context(form, start))
    chosen = form.cleaned_data
    config = form.planned.config
    run = actions.launch(
        request.user,
        config,
        chosen["name"] or form.planned.name,
        idempotency_key=f"{chosen['key']}.{replace(config, override=None).digest()[-24:]}",
        with_random_search=chosen["random_search"] and config.search != actions.RANDOM_SEARCH,
    )
    return redirect("runs:detail", run.pk)


@require_POST
def summary(request: SignedIn) -> HttpResponse:
    """What the form amounts to as it stands, or what it still lacks."""
    form = RunForm(request.user, request.POST)
    form.is_valid()
    return render(request, "runs/_summary.html", _summary(form))


def _summary(form: RunForm) -> dict[str, object]:
    plan = form.planned
    problems = [(form[name] if name in form.fields else None, errors) for name, errors in form.errors.items()]
    if plan is None:
        return {"form": form, "problems": problems, **_fit(form)}
    per_number = plan.config.budget / plan.n_genes
    return {
        "form": form,
        **_fit(form),
        "plan": plan,
        "measured": list(
            zip(form.cleaned_data["benchmarks"], plan.config.objectives, shares(plan.config.weights), strict=True)
        ),
        "config_override": plan.config.override,
        "with_random_search": form.cleaned_data["random_search"] and plan.config.search != actions.RANDOM_SEARCH,
        "seconds": estimates.seconds(plan),
        "about": about(plan.config),
        "n_generations": -(-plan.config.budget // plan.population_size),
        "per_number": per_number,
        "is_thin": per_number < estimates.CANDIDATES_PER_NUMBER,
    }


def _fit(form: RunForm) -> dict[str, object]:
    """Whether the chosen models fit each other, with what deserves a thought and is not said elsewhere."""
    models = [*form.chosen_parents, *([form.chosen_base] if form.chosen_base else [])]
    if len(models) < 2:
        return {}
    found, said = fit_of(form.chosen_parents, form.chosen_base), " ".join(map(str, form.errors.get("parents", ())))
    concerns = [finding for finding in found.findings if finding.level != "info" and finding.found not in said]
    return {"fit": found, "concerns": concerns, "models": [model.pk for model in models]}


def _context(form: RunForm, start: Preset) -> dict[str, object]:
    return {"form": form, "presets": PRESETS.values(), "start": start}


def _start(request: SignedIn) -> Preset:
    if like := request.GET.get("like"):
        return _like(request, like)
    try:
        return preset(request.GET.get("preset", OWN.name))
    except UnknownNameError as error:
        raise Http404(str(error)) from error


def _like(request: SignedIn, run_id: str) -> Preset:
    """What one of one's own runs was launched with."""
    try:
        run = get_object_or_404(runs_of(request.user), pk=UUID(run_id))
    except ValueError as error:
        raise Http404(f"there is no run {run_id!r}") from error
    config = RunConfig.from_json(run.config)
    return replace(
        OWN,
        title=run.name,
        base=config.base.name if config.base else None,
        parents=tuple(parent.name for parent in config.parents),
        measures=tuple(
            Measure(asked.spec.name, asked.weight, asked.n_search, asked.n_validation, asked.n_final)
            for asked in config.objectives
        ),
        method=config.method,
        groups=config.groups,
        filters=",".join(config.filters),
        search=config.search,
        population_size=config.population_size,
        budget=config.budget,
        seed=config.seed,
        n_finalists=config.n_finalists,
        fidelity=config.fidelity,
        fidelity_settings=config.fidelity_settings,
    )

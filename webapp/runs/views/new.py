"""New run: from intention to launch on one page, with a summary that follows every change."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID, uuid4

from django.contrib.auth.models import User
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from merging import plain
from merging.errors import UnknownNameError
from merging.objectives import shares
from merging.recipes import Recipe, Tokenizer
from webapp.accounts.requests import SignedIn
from webapp.library.fit import fit_of
from webapp.library.models import Parent
from webapp.library.views.parents import NUMBER
from webapp.lineage.actions import launch_both
from webapp.lineage.models import Sequel
from webapp.lineage.queries import open_origins
from webapp.quotas import QuotaError
from webapp.runs import actions, estimates
from webapp.runs.config import PathSettings, RunConfig
from webapp.runs.forms import RunForm, initial, swapped
from webapp.runs.models import Run
from webapp.runs.plans import Plan
from webapp.runs.presets import OWN, PRESETS, Measure, PathPreset, Preset, Spaces, about, preset
from webapp.sharing.access import runs_of


@require_http_methods(["GET", "HEAD", "POST"])
def new_run(request: SignedIn) -> HttpResponse:
    """The form, filled in from `?preset=NAME`, from one's own run `?like=ID` or with the model `?parent=ID`; posted, the run.

    Posted by its button "swap", it comes back with models A and B in each other's places.
    """
    start = _start(request)
    if request.method != "POST":
        form = RunForm(request.user, initial=initial(request.user, start, uuid4().hex))
        return render(request, "runs/new.html", _context(form, start))
    if "swap" in request.POST:
        return render(request, "runs/new.html", _context(swapped(request.user, request.POST), start))
    form = RunForm(request.user, request.POST)
    if not form.is_valid() or form.planned is None:
        return render(request, "runs/new.html", _context(form, start))
    try:
        return redirect("runs:detail", _launch(request.user, form, form.planned).pk)
    except QuotaError as error:
        form.add_error(None, str(error))
        return render(request, "runs/new.html", _context(form, start))


def _launch(user: User, form: RunForm, planned: Plan) -> Run:
    chosen, follows = form.cleaned_data, form.planned_next
    name, with_random_search = chosen["name"] or planned.name, chosen["random_search"]
    configs = [plan.config for plan in (planned, follows) if plan]
    digests = "".join(replace(config, override=None).digest() for config in configs)
    key = f"{chosen['key']}.{plain.digest(digests)[-24:]}"
    if follows:
        return launch_both(user, planned.config, follows.config, name, key, with_random_search)
    return actions.launch(user, planned.config, name, key, with_random_search)


@require_POST
def summary(request: SignedIn) -> HttpResponse:
    """What the form amounts to as it stands, or what it still lacks."""
    form = RunForm(request.user, request.POST)
    form.is_valid()
    return render(request, "runs/_summary.html", _summary(form))


def _summary(form: RunForm) -> dict[str, object]:
    problems = [(form[name] if name in form.fields else None, errors) for name, errors in form.errors.items()]
    if form.planned is None:
        return {"form": form, "problems": problems, **_fit(form)}
    config = form.planned.config
    plans = [plan for plan in (form.planned, form.planned_next) if plan]
    return {
        "form": form,
        **_fit(form),
        "plans": [_amounts(plan) for plan in plans],
        "config": config,
        "measured": list(zip(form.cleaned_data["benchmarks"], config.objectives, shares(config.weights), strict=True)),
        "with_random_search": form.cleaned_data["random_search"]
        and any(plan.config.search != actions.RANDOM_SEARCH for plan in plans),
    }


def _amounts(plan: Plan) -> dict[str, object]:
    """A run in numbers. Of one that waits for its model A nobody knows how long that takes."""
    per_number = plan.config.budget / plan.n_genes
    return {
        "plan": plan,
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
    is_path = form.cleaned_data.get("space") == "path"
    tokenizer: Tokenizer = "same" if is_path else form.cleaned_data.get("tokenizer", "same")
    found = fit_of(form.chosen_parents, form.chosen_base, tokenizer=tokenizer, is_path=is_path)
    said = " ".join(str(said) for name in ("parents", "model_a", "model_b") for said in form.errors.get(name, ()))
    concerns = [finding for finding in found.findings if finding.level != "info" and finding.found not in said]
    return {"fit": found, "concerns": concerns, "is_path": is_path, "models": [model.pk for model in models]}


def _context(form: RunForm, start: Preset) -> dict[str, object]:
    return {"form": form, "presets": PRESETS.values(), "start": start}


def _start(request: SignedIn) -> Preset:
    if like := request.GET.get("like"):
        return _like(request, like)
    if parent := request.GET.get("parent"):
        return _with(request, parent)
    try:
        return preset(request.GET.get("preset", OWN.name))
    except UnknownNameError as error:
        raise Http404(str(error)) from error


def _with(request: SignedIn, parent_id: str) -> Preset:
    """With one model chosen already, as a parent and as model A. One that was bred here brings the base model and the benchmarks of its
    run; where it is a path no other model has its layers, so that paths are searched.
    """
    number = int(parent_id) if NUMBER.fullmatch(parent_id) else 0
    parent = get_object_or_404(Parent.objects.visible_to(request.user), pk=number)
    start = replace(OWN, title="", parents=(parent.name,), path=replace(OWN.path, model_a=parent.name))
    origin = open_origins([parent.folder], request.user).get(parent.folder)
    if origin is None:
        return start
    config = RunConfig.from_json(origin.run.config)
    space: Spaces = "path" if Recipe.from_json(origin.recipe).path else "numbers"
    return replace(start, space=space, base=config.base.name if config.base else None, measures=_measures(config))


def _like(request: SignedIn, run_id: str) -> Preset:
    """What one of one's own runs was launched with; both runs, where another was to follow it."""
    try:
        run = get_object_or_404(runs_of(request.user), pk=UUID(run_id))
    except ValueError as error:
        raise Http404(f"there is no run {run_id!r}") from error
    config = RunConfig.from_json(run.config)
    start = replace(
        OWN,
        title=run.name,
        measures=_measures(config),
        seed=config.seed,
        n_finalists=config.n_finalists,
        fidelity=config.fidelity,
        fidelity_settings=config.fidelity_settings,
    )
    if config.path:
        return replace(start, space="path", path=_path_of(config, config.path))
    start = replace(
        start,
        base=config.base.name if config.base else None,
        parents=tuple(parent.name for parent in config.parents),
        method=config.method,
        groups=config.groups,
        filters=",".join(config.filters),
        search=config.search,
        population_size=config.population_size,
        budget=config.budget,
        tokenizer=config.tokenizer,
    )
    sequel = Sequel.objects.filter(first=run).first()
    follows = RunConfig.from_json(sequel.config) if sequel else None
    if follows is None or follows.path is None:
        return start
    return replace(start, space="both", path=replace(_path_of(follows, follows.path), model_a=None))


def _measures(config: RunConfig) -> tuple[Measure, ...]:
    return tuple(
        Measure(asked.spec.name, asked.weight, asked.n_search, asked.n_validation, asked.n_final)
        for asked in config.objectives
    )


def _path_of(config: RunConfig, path: PathSettings) -> PathPreset:
    model_a, model_b = (*(parent.name for parent in config.parents), None)[:2]
    return PathPreset(
        model_a=model_a,
        model_b=model_b,
        repeats=path.repeats,
        scales=path.scales,
        max_hops=path.max_hops,
        p_others=path.p_others,
        search=config.search,
        population_size=config.population_size,
        budget=config.budget,
    )

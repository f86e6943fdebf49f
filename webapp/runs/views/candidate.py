"""Everything about one candidate: its recipe, its scores, and every answer that it gave."""

from __future__ import annotations

import json
from typing import Any, Final
from uuid import UUID

from django.core.paginator import Paginator
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.http import content_disposition_header
from django.utils.text import slugify
from django.views.decorators.http import require_safe

from merging.errors import RecipeError
from merging.mergekit import to_yaml
from merging.recipes import Recipe
from webapp.accounts.requests import SignedIn
from webapp.library.actions import key_of
from webapp.runs import answers, layer_map, paths, slots, standing
from webapp.runs.config import RunConfig
from webapp.runs.models import ENDED, Candidate, Run
from webapp.runs.views import compare
from webapp.sharing.access import runs_of

PER_PAGE: Final = 20


@require_safe
def detail(request: SignedIn, run_id: UUID, candidate_id: int) -> HttpResponse:
    """The page; `?recipe=json` or `?recipe=yaml` answers with the recipe as a file."""
    run = get_object_or_404(runs_of(request.user), pk=run_id)
    candidate = get_object_or_404(run.candidates.select_related("generation", "export"), pk=candidate_id)
    recipe = Recipe.from_json(candidate.recipe)
    if "recipe" in request.GET:
        return _recipe_file(candidate, recipe, request.GET["recipe"])
    config = RunConfig.from_json(run.config)
    found = standing.standing(run, candidate)
    context = {
        "run": run,
        "candidate": candidate,
        "recipe": recipe,
        "recipe_json": _json(recipe),
        **_as_mergekit(recipe),
        "map": layer_map.layer_map(recipe),
        "route": paths.route_of(recipe, config.parents) if recipe.path else None,
        "genes": () if recipe.path else layer_map.gene_rows(recipe, config.groups, candidate.genome or ()),
        "switches": slots.switches(config, tuple(candidate.genome or ())) if recipe.path else (),
        "standing": found,
        "others": compare.others(run, candidate),
        "failed": [e for e in found.own.values() if e.status == "failed"],
        "export": getattr(candidate, "export", None),
        **_answers(request, run, config, found),
    }
    return render(request, "runs/candidate.html", context)


def _answers(request: SignedIn, run: Run, config: RunConfig, found: standing.Standing) -> dict[str, Any]:
    """The questions of the chosen split and benchmark, filtered and paged. Those of the final split stay closed until the run has ended."""
    splits = [split for split in standing.SPLITS if split in found.own and found.own[split].status == "done"]
    split = next((name for name in splits if name == request.GET.get("split")), next(iter(splits), None))
    names = [objective.spec.name for objective in config.objectives]
    number = next((i for i in range(len(names)) if str(i) == request.GET.get("benchmark")), 0)
    context: dict[str, Any] = {"splits": splits, "split": split, "benchmarks": names, "benchmark": number}
    if split is None or (split == "final" and run.state not in ENDED):
        return context | {"is_closed": split == "final"}
    parent = found.best_parent.get(split)
    spec = config.objectives[number].spec
    all_answers = answers.answers(
        spec,
        split,
        found.parts[found.own[split].pk][number],
        found.parts[parent.pk][number] if parent else None,
        key_of(spec) if split == "final" else None,
    )
    show: answers.Show = next((name for name in answers.SHOWN if name == request.GET.get("show")), "all")
    shown = [answer for answer in all_answers.answers if answer.is_in(show)]
    filters = [(name, all_answers.count(name)) for name in answers.SHOWN if parent or name in ("all", "right", "wrong")]
    page = Paginator(shown, PER_PAGE).get_page(request.GET.get("page"))
    return context | {"page": page, "filters": filters, "show": show, "parent": parent, "problem": all_answers.problem}


def _recipe_file(candidate: Candidate, recipe: Recipe, kind: str) -> HttpResponse:
    try:
        text, ending = (to_yaml(recipe), "yml") if kind == "yaml" else (_json(recipe), "json")
    except RecipeError as error:
        raise Http404(str(error)) from error
    name = f"{slugify(candidate.name.replace('.', '-')) or candidate.pk}.{ending}"
    headers = {"Content-Disposition": content_disposition_header(as_attachment=True, filename=name) or "attachment"}
    return HttpResponse(text, content_type="text/plain; charset=utf-8", headers=headers)


def _as_mergekit(recipe: Recipe) -> dict[str, str]:
    """The recipe as YAML, or why mergekit cannot have it."""
    try:
        return {"recipe_yaml": to_yaml(recipe)}
    except RecipeError as error:
        return {"no_yaml": str(error)}


def _json(recipe: Recipe) -> str:
    return json.dumps(recipe.to_json(), ensure_ascii=False, indent=2)

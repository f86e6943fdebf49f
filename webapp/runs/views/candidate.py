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
from webapp.addresses import one_of
from webapp.exports.panels import panels
from webapp.library.actions import key_of
from webapp.lineage.queries import open_origins
from webapp.marks import queries as marks
from webapp.runs import answers, story
from webapp.runs.board import lines as board_lines
from webapp.runs.board import standing
from webapp.runs.config import RunConfig
from webapp.runs.models import ENDED, LIVE, Candidate, Run, Score
from webapp.runs.pictures import layer_map, paths, slots
from webapp.runs.views import compare
from webapp.sharing.access import runs_of

PER_PAGE: Final = 20
N_EXAMPLES: Final = 3
FULL_OF: Final = {"search": "full"}
"""A score on all search samples stands for an estimate from some of them."""


@require_safe
def detail(request: SignedIn, run_id: UUID, candidate_id: int) -> HttpResponse:
    """The page; `?recipe=json` or `?recipe=yaml` answers with the recipe as a file, `?part=standing` with the scores alone."""
    run = get_object_or_404(runs_of(request.user).select_related("owner"), pk=run_id)
    candidates = run.candidates.select_related("generation", "adoption__parent")
    candidate = get_object_or_404(candidates.defer("adoption__parent__inventory"), pk=candidate_id)
    recipe = Recipe.from_json(candidate.recipe)
    if "recipe" in request.GET:
        return _recipe_file(candidate, recipe, request.GET["recipe"])
    config = RunConfig.from_json(run.config)
    found = standing.standing(run, candidate)
    is_awaited = run.state in LIVE and any(e.is_under_way for e in found.own.values())
    if request.GET.get("part") == "standing":
        context = {"run": run, "candidate": candidate, "standing": found, "is_awaited": is_awaited}
        refresh = {} if is_awaited else {"HX-Refresh": "true"}  # answers and examples have come
        return HttpResponse(render(request, "runs/_standing.html", context).content, headers=refresh)
    failed = [e for e in found.own.values() if e.status == "failed"]
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
        "is_awaited": is_awaited,
        "failed": failed,
        "alike": story.alike(failed[0]) if failed else None,
        "marked": marks.of_candidate(candidate, request.user),
        "origin": story.origin(candidate, found.own.get("search")),
        "bred_here": list(open_origins((parent.folder for parent in recipe.models), request.user).items()),
        "afterwards": story.afterwards(candidate, request.user),
        "attempts": story.attempts(candidate),
        "health": _health(found),
        **panels(run, candidate, request.user),
        **_answers(request, run, config, found),
    }
    return render(request, "runs/candidate.html", context)


def _answers(request: SignedIn, run: Run, config: RunConfig, found: standing.Standing) -> dict[str, Any]:
    """The questions of the chosen split and benchmark, filtered and paged. Those of the final split stay closed until the run has ended."""
    splits = [split for split in standing.SPLITS if split in found.own and found.own[split].status == "done"]
    split = one_of(splits, request.GET.get("split")) if splits else None
    names = [objective.spec.name for objective in config.objectives]
    number = next((i for i in range(len(names)) if str(i) == request.GET.get("benchmark")), 0)
    context: dict[str, Any] = {"splits": splits, "split": split, "benchmarks": names, "benchmark": number}
    if split is None or (split == "final" and run.state not in ENDED):
        return context | {"is_closed": split == "final"}
    parent = found.best_parent.get(split)
    spec = config.objectives[number].spec
    rivals = [e for line in found.lines if not line.is_subject for cell in line.cells if (e := cell.evaluation)]
    all_answers = answers.answers(
        spec,
        split,
        found.parts[found.own[split].pk][number],
        found.parts[parent.pk][number] if parent else None,
        [found.parts[e.pk][number] for e in rivals if e.split in (split, FULL_OF.get(split)) and e.status == "done"],
        key_of(spec) if split == "final" else None,
    )
    show = one_of(answers.SHOWN, request.GET.get("show"))
    shown = [answer for answer in all_answers.answers if answer.is_in(show)]
    names_shown = [name for name in answers.SHOWN if parent or name not in answers.COMPARED]
    return context | {
        "page": Paginator(shown, PER_PAGE).get_page(request.GET.get("page")),
        "filters": [(name, answers.WORDS.get(name, name), all_answers.count(name)) for name in names_shown],
        "show": show,
        "show_words": answers.WORDS.get(show, show),
        "parent": parent,
        "problem": all_answers.problem,
        "tokens": all_answers.n_tokens,
        "examples": all_answers.unsound(N_EXAMPLES) if found.concerns else (),
    }


def _health(found: standing.Standing) -> list[tuple[str, Score, list[str]]]:
    """By split and benchmark what is wrong with the answers as such, in words; only of scores whose answers were looked at."""
    done = [(split, score) for split, e in found.own.items() if e.status == "done" for score in found.parts[e.pk]]
    return [(split, score, board_lines.unsound([score])) for split, score in done if score.health]


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

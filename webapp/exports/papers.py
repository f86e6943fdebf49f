"""The files of exports that are no model: a recipe for mergekit, a recipe, and all that reproduces a candidate. Reads rows only.

Written for people elsewhere: models go by their names, and no path of this server is among it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from merging.cards import CARD
from merging.exports import MERGEKIT, RECIPE, as_json, as_mergekit, recipe_json
from merging.folders import SUMS, sums_text
from merging.mergekit import to_yaml
from merging.recipes import Recipe
from webapp.exports.cards import model_card
from webapp.exports.licensing import licences_of
from webapp.exports.models import Export
from webapp.runs.config import RunConfig
from webapp.runs.models import Candidate, Run
from webapp.runs.report import report
from webapp.system.status import code_version

BUNDLE: Final = "bundle.json"
REPORT: Final = "report.json"
EXPECTED: Final = "model.sha256"
"""What a bundle says of the finished model: `sha256sum -c` reads it."""
PLACES: Final = ("folder", "path")
HOW: Final = """\
# To reproduce this

    ./progeny reproduce THIS_FOLDER NEW_FOLDER

builds the model from `recipe.json` with Progeny, from parents of the same names on its Models page, whose files must have the fingerprints
that the recipe names, and compares every file with `model.sha256`, where that is here. Tensors are the same to the byte on any machine.

`bundle.json` has the run's configuration and seed, with which the search proposes the same candidates, the fingerprints of parents, the
digests of benchmarks, and versions; `report.json` has every candidate and score of the run.
"""


def files_of(export: Export) -> Mapping[str, str]:
    """The texts by name; RecipeError when there is no such file for this candidate."""
    candidate = Candidate.objects.select_related("run__owner", "generation").get(pk=export.candidate_id)
    found = _MAKERS[export.kind](candidate)
    return found | {CARD: model_card(export)} if export.kind == "bundle" else found


def _mergekit(candidate: Candidate) -> dict[str, str]:
    return {MERGEKIT: to_yaml(Recipe.from_json(candidate.recipe), call=lambda parent: parent.name)}


def _recipe(candidate: Candidate) -> dict[str, str]:
    return {RECIPE: recipe_json(Recipe.from_json(candidate.recipe))}


def _bundle(candidate: Candidate) -> dict[str, str]:
    folder = candidate.exports.filter(kind="folder", status="done").first()
    files = {
        "HOW.md": HOW,
        **_recipe(candidate),
        **as_mergekit(Recipe.from_json(candidate.recipe)),
        BUNDLE: as_json(_facts(candidate)),
        REPORT: as_json(_without_places(dict(report(candidate.run)))),
    }
    if folder is not None:
        built = folder.files.exclude(name__in=(CARD, SUMS))
        files[EXPECTED] = sums_text(built.values_list("name", "sha256"))
    return files


_MAKERS: Final[Mapping[str, Callable[[Candidate], dict[str, str]]]] = {
    "mergekit": _mergekit,
    "recipe": _recipe,
    "bundle": _bundle,
}


def _facts(candidate: Candidate) -> dict[str, Any]:
    run = candidate.run
    config = RunConfig.from_json(run.config)
    models = list(Recipe.from_json(candidate.recipe).models)
    licences = licences_of(models)
    return {
        "progeny": code_version(),
        "environment": _environment(run),
        "run": {
            "id": str(run.pk),
            "name": run.name,
            "seed": run.seed,
            "budget": run.budget,
            "algo_version": run.algo_version,
            "config_digest": run.config_digest,
            "config": _without_places(run.config),
        },
        "candidate": {
            "name": candidate.name,
            "kind": candidate.kind,
            "generation": candidate.generation.number if candidate.generation else None,
            "index": candidate.index,
            "genome": candidate.genome,
            "recipe_digest": candidate.recipe_digest,
        },
        "models": [
            {"name": model.name, "fingerprint": model.fingerprint, "licence": licences.get(model.fingerprint, "")}
            for model in models
        ],
        "benchmarks": [{"name": o.spec.name, "digest": o.spec.digest, "weight": o.weight} for o in config.objectives],
    }


def _environment(run: Run) -> dict[str, Any]:
    newest = run.generations.order_by("-number").first()
    return newest.environment if newest else {}


def _without_places(value: Any) -> Any:
    """The same without what says where something lies on this server. A path of layers is no place: it is no text."""
    if isinstance(value, dict):
        return {
            name: _without_places(one) for name, one in value.items() if not (name in PLACES and isinstance(one, str))
        }
    return [_without_places(one) for one in value] if isinstance(value, list) else value

"""What people ask of a model layer by layer: the same model with something left out, scored by the workers on the search split.

A probe is a candidate of its run that no ranking, exam or search ever sees. Transitions and claims treat it as work that may wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.db import transaction
from django.db.models import Max
from django.db.models.functions import Coalesce

from merging.probes import Probe, hops_left_out, layers_skipped
from merging.recipes import Recipe
from webapp.queue import wake
from webapp.runs import ranks, transitions
from webapp.runs.models import Candidate, Evaluation, Run
from webapp.runs.pictures.paths import depths_of

NAME_LENGTH: Final = 150  # of the whole in the name of a probe


def probes_of(whole: Candidate) -> tuple[Probe, ...]:
    """All that can be left out of a candidate, one by one: hops of a path, layers of a parent. Nothing of a merge of tensors, nor where
    nobody knows how many layers a parent has, and where there is but one.
    """
    recipe = Recipe.from_json(whole.recipe)
    if recipe.path:
        return hops_left_out(recipe) if recipe.path.n_hops > 1 else ()
    depth = depths_of(recipe.parents).get(recipe.parents[0], 0) if whole.kind == "parent" else 0
    return layers_skipped(recipe.parents[0], depth, recipe.dtype) if depth > 1 else ()


def ask_each(whole: Candidate) -> int:
    """Ask for everything that can be left out of a candidate and is not asked for yet. Returns how many probes are new."""
    name = whole.name[:NAME_LENGTH]
    return ask(whole, [(f"{name}: {probe.name}"[:200], probe.recipe) for probe in probes_of(whole)])


@transaction.atomic
def ask(whole: Candidate, models: Sequence[tuple[str, Recipe]]) -> int:
    """Ask for the search scores of these models, each with its name, which leave something out of `whole`. Returns how many are new.

    What is asked for or scored already is not asked again; what failed or was dropped is. 0 for a run that failed.
    """
    run = transitions.locked(whole.run_id)
    if run.state == "failed":
        return 0
    through = ("pending", "leased", "done")
    known = set(whole.probes.filter(evaluations__status__in=through).values_list("recipe_digest", flat=True))
    first = run.candidates.filter(generation=None).aggregate(n=Coalesce(Max("index"), -1))["n"] + 1
    wanted = {digest: (name, recipe) for name, recipe in models if (digest := recipe.digest()) not in known}
    made = Candidate.objects.bulk_create(
        Candidate(
            run=run,
            kind="probe",
            probe_of=whole,
            index=index,
            name=name,
            recipe=recipe.to_json(),
            recipe_digest=digest,
        )
        for index, (digest, (name, recipe)) in enumerate(wanted.items(), first)
    )
    rank = _rank(run)
    Evaluation.objects.bulk_create(Evaluation(run=run, candidate=probe, split="probe", rank=rank) for probe in made)
    transaction.on_commit(lambda: wake(run.pk))
    return len(made)


def _rank(run: Run) -> int:
    """Next in turn while the search goes on, after the generation that is being scored; last once it is over."""
    if transitions.is_over(run.pk):
        return ranks.AFTER_ALL
    newest = run.generations.aggregate(number=Coalesce(Max("number"), ranks.BEFORE_ALL))["number"]
    return ranks.of_generation(newest, "probe")

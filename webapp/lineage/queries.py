"""Where models come from, as far as they were bred here, and what comes after a run. Reads rows only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef, Q, QuerySet

from merging.recipes import Parent, Recipe
from webapp.lineage.models import Adoption, Sequel
from webapp.runs.models import Candidate, Run
from webapp.sharing.access import runs_of


def origins(folders: Iterable[str], owner: User) -> Mapping[str, Candidate]:
    """The candidate that each model was, by the model's folder, with its run; only of this person's own runs, deleted ones too."""
    return _bred(folders, Run.objects.filter(owner=owner))


def open_origins(folders: Iterable[str], user: User) -> Mapping[str, Candidate]:
    """The same, of the runs that this person may see."""
    return _bred(folders, runs_of(user))


def _bred(folders: Iterable[str], runs: QuerySet[Run]) -> Mapping[str, Candidate]:
    built = [folder for folder in folders if Path(folder).is_relative_to(Path(settings.DATA_DIR) / "exports")]
    if not built:
        return {}
    found = Adoption.objects.filter(parent__folder__in=built, candidate__run__in=runs)
    rows = found.select_related("candidate__run", "parent").defer("candidate__genome", "parent__inventory")
    return {row.parent.folder: row.candidate for row in rows if row.parent}


def ancestry(models: Sequence[Parent], owner: User) -> list[tuple[Parent, Candidate]]:
    """Those of these models and of what they were made from that were bred here, each once, with the candidate that it was."""
    known: dict[str, tuple[Parent, Candidate]] = {}
    new = list(models)
    while new:
        found = origins((model.folder for model in new), owner)
        fresh = {m.folder: (m, found[m.folder]) for m in new if m.folder in found and m.folder not in known}
        known |= fresh
        new = [model for _, candidate in fresh.values() for model in Recipe.from_json(candidate.recipe).models]
    return list(known.values())


def ancestors(models: Sequence[Parent], bred_here: Iterable[tuple[Parent, Candidate]]) -> list[Parent]:
    """The models from elsewhere that these were made from in the end, each once; a model from elsewhere is its own. `bred_here` is their
    `ancestry`.
    """
    bred = {model.folder: candidate for model, candidate in bred_here}

    def of(model: Parent) -> list[Parent]:
        if model.folder not in bred:
            return [model]
        return [older for made_from in Recipe.from_json(bred[model.folder].recipe).models for older in of(made_from)]

    return list({older.fingerprint: older for model in models for older in of(model)}.values())


def around(run: Run, user: User) -> tuple[Sequel | None, Sequel | None]:
    """What a run came after, where this person may see that, and what comes after it, as its page shows them."""
    rows = _shown(user).filter(Q(first=run) | Q(run=run, first__in=runs_of(user)))
    found = {row.first_id == run.pk: row for row in rows}
    return found.get(False), found.get(True)


def sequel_of(run: Run, user: User) -> Sequel | None:
    """What comes after a run, as this person may see it."""
    return _shown(user).filter(first=run).first()


def _shown(user: User) -> QuerySet[Sequel]:
    """Each says whether this person `may_open` its run."""
    related = ("first__winner", "run", "adoption__candidate", "adoption__parent")
    may_open = Exists(runs_of(user).filter(pk=OuterRef("run")))
    rows = Sequel.objects.select_related(*related).defer("adoption__parent__inventory")
    return rows.annotate(may_open=may_open)

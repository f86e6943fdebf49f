"""Where models come from, as far as they were bred here, and what comes after a run. Reads rows only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Q, QuerySet

from merging.recipes import Parent, Recipe
from webapp.lineage.models import Adoption, Sequel
from webapp.runs.models import Candidate, Run


def origins(folders: Iterable[str], owner: User) -> Mapping[str, Candidate]:
    """The candidate that each model was, by the model's folder, with its run; only of this person's runs, deleted ones too."""
    built = [folder for folder in folders if Path(folder).is_relative_to(Path(settings.DATA_DIR) / "exports")]
    if not built:
        return {}
    found = Adoption.objects.filter(parent__folder__in=built, candidate__run__owner=owner)
    rows = found.select_related("candidate__run", "parent").defer("candidate__genome", "parent__inventory")
    return {row.parent.folder: row.candidate for row in rows if row.parent}


def open_origins(folders: Iterable[str], owner: User) -> Mapping[str, Candidate]:
    """Those whose runs have pages."""
    found = origins(folders, owner)
    return {folder: candidate for folder, candidate in found.items() if candidate.run.deleted_at is None}


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


def around(run: Run) -> tuple[Sequel | None, Sequel | None]:
    """What a run came after, unless that was deleted, and what comes after it, as its page shows them."""
    found = {row.first_id == run.pk: row for row in _shown().filter(Q(first=run) | Q(run=run, first__deleted_at=None))}
    return found.get(False), found.get(True)


def sequel_of(run: Run) -> Sequel | None:
    """What comes after a run."""
    return _shown().filter(first=run).first()


def _shown() -> QuerySet[Sequel]:
    return Sequel.objects.select_related("first__winner", "run", "adoption__candidate__export", "adoption__parent")

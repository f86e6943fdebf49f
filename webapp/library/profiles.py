"""What this server knows of one model: its files and how it is prompted, where it comes from, what it scored, who uses it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django.contrib.auth.models import User
from django.db.models import Case, Q, QuerySet, Value, When

from merging.cards import read_card
from merging.errors import ParentError
from merging.fingerprints import Inventory
from merging.tokenizers import TOKENIZER, default_template
from webapp.library.models import Benchmark, Parent
from webapp.runs.models import Candidate, Run, Score, SplitName
from webapp.sharing.access import runs_of

N_RUNS: Final = 5
"""Runs that a page names; the rest are counted."""
SPLITS: Final[dict[str, SplitName]] = {
    "search": "search", "full": "search", "validation": "validation", "final": "final",
}  # fmt: skip


@dataclass(frozen=True)
class File:
    """One of the files that decide what a model does. `hash` names its algorithm."""

    name: str
    n_bytes: int
    hash: str


@dataclass(frozen=True)
class Prompting:
    """How a model is prompted. `tokenizer` and `template` are fingerprints, "" where there is none; `problem` says why nothing is known."""

    tokenizer: str
    template: str
    problem: str


@dataclass(frozen=True)
class Ancestor:
    """A model that a card names as what it was made from. `row` is the one of that name here, if there is one."""

    name: str
    row: Parent | None


@dataclass(frozen=True)
class Baseline:
    """What a model scored as a parent on one benchmark: on each split the score over most questions, the newest of equals."""

    name: str
    benchmark: Benchmark | None
    scores: Mapping[SplitName, Score]

    @property
    def cells(self) -> list[tuple[SplitName, Score | None]]:
        """All three splits in order."""
        return [(split, self.scores.get(split)) for split in ("search", "validation", "final")]


def files_of(parent: Parent) -> list[File]:
    """With exact sizes and hashes; none for a model that was registered before these were kept."""
    inventory = Inventory.from_json(parent.inventory)
    return [
        File(name, sums.n_bytes, f"{inventory.algorithm}:{sums.hash}") for name, sums in sorted(inventory.files.items())
    ]


def prompting_of(parent: Parent, files: Iterable[File]) -> Prompting:
    """From the inventory, and from the folder as it is now."""
    tokenizer = next((file.hash for file in files if file.name == TOKENIZER), "")
    try:
        template = default_template(Path(parent.folder))
    except (ParentError, OSError) as error:
        return Prompting(tokenizer, "", str(error))
    return Prompting(tokenizer, f"sha256:{hashlib.sha256(template.encode()).hexdigest()}" if template else "", "")


def ancestors_of(parent: Parent, user: User) -> list[Ancestor]:
    """What its card says that it was made from."""
    try:
        names = read_card(Path(parent.folder)).ancestors
    except (ParentError, OSError):
        return []
    rows = {_last(row.name): row for row in Parent.objects.visible_to(user).exclude(pk=parent.pk)} if names else {}
    return [Ancestor(name, rows.get(_last(name))) for name in names]


def runs_with(parent: Parent, user: User) -> QuerySet[Run]:
    """The runs that this person may see and that have it as a parent or base model, newest first."""
    mark = parent.fingerprint
    return runs_of(user).filter(
        Q(config__parents__contains=[{"fingerprint": mark}]) | Q(config__base__fingerprint=mark)
    )


def twins_of(parent: Parent, user: User) -> QuerySet[Parent]:
    """The other models that this person knows here whose files are the same, byte by byte."""
    return Parent.objects.known_to(user).filter(fingerprint=parent.fingerprint).exclude(pk=parent.pk)


def n_runs_by_fingerprint(user: User) -> Counter[str]:
    """How many of the runs that this person may see use each model, by its fingerprint."""
    chosen = runs_of(user).values_list("config__parents", "config__base")
    return Counter(mark for parents, base in chosen for mark in {one["fingerprint"] for one in [*parents, base] if one})


def baselines_of(parent: Parent, user: User) -> list[Baseline]:
    """Its scores as a parent in the runs that this person may see, by benchmark; final ones of exams that are over."""
    as_parent = Candidate.objects.filter(
        run__in=runs_of(user), generation=None, kind="parent", recipe__parents__0__fingerprint=parent.fingerprint
    )
    is_open = ~Q(evaluation__split="final") | Q(evaluation__run__examined__isnull=False)
    scores = Score.objects.filter(is_open, evaluation__candidate__in=as_parent, evaluation__split__in=SPLITS)
    best = scores.order_by("digest", "evaluation__split", "-n", "-pk").distinct("digest", "evaluation__split")
    rows = list(best.select_related("evaluation__run", "evaluation__candidate"))
    here = {
        row.digest: row for row in Benchmark.objects.visible_to(user).filter(digest__in={row.digest for row in rows})
    }
    by_digest: dict[str, dict[SplitName, Score]] = {}
    for row in rows:
        found = by_digest.setdefault(row.digest, {})
        split = SPLITS[row.evaluation.split]
        found[split] = max(found.get(split, row), row, key=lambda score: score.n)
    return [
        Baseline(next(iter(found.values())).benchmark, here.get(digest), found) for digest, found in by_digest.items()
    ]


def others_by_likeness(parent: Parent, user: User) -> QuerySet[Parent]:
    """The other models that this person may choose, those of its architecture and shape first."""
    counts = {"model_type": 2, "n_layers": 2, "hidden_size": 2, "vocab_size": 1}  # for other tokens there is a remedy
    likeness = sum(
        (Case(When(**{name: getattr(parent, name)}, then=n), default=0) for name, n in counts.items()), start=Value(0)
    )
    others = Parent.objects.visible_to(user).exclude(pk=parent.pk)
    return others.alias(likeness=likeness).order_by("-likeness", "name", "pk")


def _last(name: str) -> str:
    """A model's name without whose it is: copies in other places keep it."""
    return name.rstrip("/").rpartition("/")[2].lower()

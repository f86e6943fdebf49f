"""What may happen by itself: a model that was built is registered, and a run that waited for it is launched.

Anybody may call `go_on`, any number of times and from any process: whoever is at a row holds it, each step may be done again, and whoever
dies in between leaves it to the next.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from django.db.models import Q, QuerySet
from django.utils.text import slugify

from merging.errors import MergingError
from webapp.library.actions import MAX_NAME, register_parent
from webapp.library.models import Parent
from webapp.lineage.actions import adopt, model_a
from webapp.lineage.models import Adoption, Sequel
from webapp.runs import actions
from webapp.runs.config import RunConfig
from webapp.runs.models import Candidate
from webapp.sharing.projects import follow

N_MARK: Final = 8
"""Characters of a run's id that tell its candidate from another of the same name."""
UNLUCKY: Final = (MergingError, OSError, ArithmeticError, LookupError, TypeError, ValueError)
"""What folders and rows of another version raise. It is said on the page, and nobody else's work waits for it."""
ADVISORY_LOCK: Final = 0x6C696E65  # "line"
log = logging.getLogger(__name__)


def is_due() -> bool:
    """Whether `go_on` would find anything."""
    return _unregistered().exists() or _ready().exists()


def go_on() -> list[UUID]:
    """Do whatever is due. Returns the runs that have work now. Takes as long as it takes to read the models that were built."""
    for pk in _unregistered().values_list("pk", flat=True):
        _register(pk)
    return list(_launched())


def _unregistered() -> QuerySet[Adoption]:
    return Adoption.objects.filter(
        parent=None, failure="", candidate__exports__kind="folder", candidate__exports__status="done"
    )


def _ready() -> QuerySet[Sequel]:
    """Their first run has ended as it should, and their model A waits to be asked for, or is there."""
    has_ended = Q(first__state="done") | Q(by_hand=True)
    has_news = Q(adoption=None) | Q(adoption__parent__isnull=False)
    return Sequel.objects.filter(has_ended, has_news, run=None, called_off=False, failure="", first__deleted_at=None)


def _launched() -> Iterator[UUID]:
    for pk in _ready().values_list("pk", flat=True):
        try:
            run_id = _follow(pk)
        except UNLUCKY as error:
            log.warning("the run after %s cannot be launched: %s", pk, error)
            Sequel.objects.filter(pk=pk, run=None).update(failure=str(error))
        else:
            if run_id is not None:
                yield run_id


@transaction.atomic
def _follow(pk: int) -> UUID | None:
    """Ask for model A, or launch with it. The run that has work now; None when another process is at it."""
    sequel = _ready().select_for_update(of=("self",), skip_locked=True).filter(pk=pk).first()
    if sequel is None:
        return None
    if sequel.adoption is None:
        candidate = model_a(sequel.first)
        if candidate is None:
            raise MergingError("nothing was scored, so there is no model A")
        sequel.adoption = adopt(candidate)
        sequel.save(update_fields=["adoption"])
    if sequel.adoption.parent is None:
        return sequel.first_id
    config = RunConfig.from_json(sequel.config)
    config = replace(config, parents=(sequel.adoption.parent.model, *config.parents[1:]))
    sequel.run = actions.launch(
        sequel.first.owner, config, sequel.name, sequel.idempotency_key, sequel.with_random_search
    )
    sequel.save(update_fields=["run"])
    follow(sequel.first, sequel.run)
    return sequel.run.pk


def _register(pk: int) -> None:
    """Reads every byte of the folder, which may take minutes, and no transaction may. To register a folder again changes nothing."""
    with _alone_at(pk) as is_alone:
        adoption = is_alone and _unregistered().select_related("candidate__run__owner").filter(pk=pk).first()
        if not adoption:
            return
        try:
            parent = _registered(adoption.candidate)
        except UNLUCKY as error:
            log.warning("candidate of adoption %s cannot be a parent: %s", pk, error)
            Adoption.objects.filter(pk=pk, parent=None).update(failure=str(error))
        except IntegrityError as error:  # its name was taken at the same moment: the next time it gets another
            log.info("adoption %s is registered a little later: %s", pk, error)
        else:
            Adoption.objects.filter(pk=pk, failure="").update(parent=parent)


@contextmanager
def _alone_at(pk: int) -> Iterator[bool]:
    """Whether this process alone is at an adoption, in the block. Whoever dies lets go with its session."""
    key = [ADVISORY_LOCK, pk]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s::int)", key)
        (is_alone,) = cursor.fetchone()
    try:
        yield is_alone
    finally:
        if is_alone:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s::int)", key)


def _registered(candidate: Candidate) -> Parent:
    """The export's folder in the library of the run's owner."""
    folder = candidate.exports.get(kind="folder").folder
    parent = register_parent(candidate.run.owner, folder, _free_name(candidate, folder))
    parent.summary = f"{candidate.name} of the run “{candidate.run.name}”."
    parent.save(update_fields=["summary"])
    return parent


def _free_name(candidate: Candidate, folder: Path) -> str:
    """`quick-demo-g12-3`, with a mark where another model has that name."""
    name = slugify(f"{candidate.run.name} {candidate.name}".replace(".", "-")) or f"candidate-{candidate.pk}"
    name = name[: MAX_NAME - N_MARK - 1]
    whose = Q(owner=None) | Q(owner=candidate.run.owner)
    is_taken = Parent.objects.filter(whose, name=name).exclude(folder=str(folder)).exists()
    return f"{name}-{str(candidate.run_id)[:N_MARK]}" if is_taken else name

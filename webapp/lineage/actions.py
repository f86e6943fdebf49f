"""What people ask for: a candidate as a parent, a run that follows another. Each is one short transaction; workers are woken after it.

What is asked for here happens in `progress.py`. Who may ask is the caller's question.
"""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import transaction

from webapp.exports.actions import request_export
from webapp.lineage.models import Adoption, Sequel
from webapp.queue import wake
from webapp.runs import actions, winners
from webapp.runs.config import RunConfig
from webapp.runs.models import LIVE, Candidate, Run


@transaction.atomic
def adopt(candidate: Candidate) -> Adoption:
    """Ask for the candidate as a parent of its run's owner. What was asked for already goes on as it is; what failed begins anew, and so
    does a parent that was taken off the list.
    """
    adoption, _ = Adoption.objects.select_for_update().get_or_create(candidate=candidate)
    if adoption.failure or (adoption.parent and adoption.parent.hidden_at):
        adoption.failure, adoption.parent = "", None
        adoption.save(update_fields=["failure", "parent"])
    if adoption.parent_id is None:
        request_export(candidate.run.owner, candidate)
        transaction.on_commit(lambda: wake(candidate.run_id))
    return adoption


@transaction.atomic
def launch_both(
    owner: User, first: RunConfig, then: RunConfig, name: str, idempotency_key: str, with_random_search: bool = False
) -> Run:
    """Launch `first`, a run over numbers; when it is done, `then` follows with its winner in the place of the first of `then.parents`.

    The same key of the same owner gives the run that it gave the first time.
    """
    run = actions.launch(owner, first, name, idempotency_key, with_random_search)
    Sequel.objects.get_or_create(
        first=run,
        defaults={
            "name": f"{name[:180]}, layer path",
            "config": then.to_json(),
            "with_random_search": with_random_search,
        },
    )
    return run


def model_a(first: Run) -> Candidate | None:
    """Who becomes model A of the run that follows: the winner; of a run that has none, its best so far."""
    return first.winner or next(iter(winners.best(first)), None)


def call_off(sequel: Sequel) -> bool:
    """Let no second run follow. False when it is there already: it is stopped as any other."""
    return bool(Sequel.objects.filter(pk=sequel.pk, run=None).update(called_off=True))


@transaction.atomic
def go_on(sequel: Sequel) -> bool:
    """Let the second run follow although it was called off, the first was stopped or failed, or it could not be launched before.

    False while the first run is live and nothing was called off, when the second is there already, and when nothing was scored that could
    be its model A.
    """
    held = Sequel.objects.select_for_update(of=("self",)).select_related("first").get(pk=sequel.pk)
    if held.first.state in LIVE:
        return bool(Sequel.objects.filter(pk=sequel.pk, called_off=True).update(called_off=False))
    candidate = model_a(held.first)
    if held.run_id is not None or candidate is None:
        return False
    held.by_hand, held.called_off, held.failure = True, False, ""
    held.adoption = adopt(held.adoption.candidate if held.adoption else candidate)
    held.save(update_fields=["by_hand", "called_off", "failure", "adoption"])
    transaction.on_commit(lambda: wake(held.first_id))
    return True

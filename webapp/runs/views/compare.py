"""What a candidate is worth comparing with, and the address under which two of a run were compared once."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_safe

from webapp.accounts.requests import SignedIn
from webapp.addresses import number
from webapp.runs import winners
from webapp.runs.models import REFERENCES, Candidate, Run
from webapp.sharing.access import runs_of

N_OFFERED: Final = 12


@require_safe
def pair(request: SignedIn, run_id: UUID, candidate_id: int) -> HttpResponse:
    """Leads to the comparison of a candidate with that of `?with=`; without it, with the first that is offered."""
    run = get_object_or_404(runs_of(request.user).select_related("winner"), pk=run_id)
    first = get_object_or_404(run.candidates, pk=candidate_id)
    asked = request.GET.get("with", "")
    rest = run.candidates.exclude(pk=first.pk)
    seconds = [get_object_or_404(rest, pk=number(asked))] if asked else others(run, first)[:1]
    return redirect(f"{reverse('analysis:compare')}?{urlencode([('c', one.pk) for one in (first, *seconds)])}")


def others(run: Run, candidate: Candidate) -> list[Candidate]:
    """What a candidate is worth comparing with: the winner, the best, the parents and the baselines."""
    references = run.candidates.filter(kind__in=REFERENCES).order_by("index")
    found = [*([run.winner] if run.winner else []), *winners.best(run, N_OFFERED), *references]
    return [other for other in dict.fromkeys(found) if other != candidate]

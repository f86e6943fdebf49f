"""The numbers behind the pictures of the live page, each asked for when its picture is looked at."""

from __future__ import annotations

from uuid import UUID

from django.http import JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from webapp.accounts.requests import SignedIn
from webapp.addresses import number
from webapp.runs.config import RunConfig
from webapp.runs.live.benchmark_scores import benchmark_scores
from webapp.runs.live.genes import trajectories
from webapp.runs.live.notes import notes_of
from webapp.runs.live.timeline import timeline as timeline_of
from webapp.runs.models import Run
from webapp.sharing.access import runs_of


@never_cache
@require_safe
def benchmark(request: SignedIn, run_id: UUID) -> JsonResponse:
    """The scores on the benchmark `?index=` alone, of candidates after the first `?after=`."""
    index, after = (number(request.GET.get(name, "")) or 0 for name in ("index", "after"))
    return JsonResponse(benchmark_scores(_visible(request, run_id).pk, index, after))


@never_cache
@require_safe
def notes(request: SignedIn, run_id: UUID) -> JsonResponse:
    """What is written beside the scores."""
    return JsonResponse({"notes": notes_of(_visible(request, run_id))})


@never_cache
@require_safe
def genes(request: SignedIn, run_id: UUID) -> JsonResponse:
    """How every gene moved over the generations."""
    run = _visible(request, run_id)
    return JsonResponse(trajectories(run, RunConfig.from_json(run.config)))


@never_cache
@require_safe
def timeline(request: SignedIn, run_id: UUID) -> JsonResponse:
    """Who computed what when."""
    return JsonResponse(timeline_of(_visible(request, run_id)))


def _visible(request: SignedIn, run_id: UUID) -> Run:
    return get_object_or_404(runs_of(request.user), pk=run_id)

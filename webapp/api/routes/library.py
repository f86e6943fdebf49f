"""What runs are made of: models and benchmarks that one may choose."""

from __future__ import annotations

from django.shortcuts import get_object_or_404
from ninja import Router

from webapp.api.paging import USUAL, AfterId, Limit, oldest_first
from webapp.api.routes import GET
from webapp.api.security import READ, Asked
from webapp.api.shapes import runs as shapes
from webapp.api.shapes.keys import RowId
from webapp.library.models import Benchmark, Parent

router = Router(tags=["library"])


@router.api_operation(GET, "/parents", response=shapes.ParentPage, auth=READ, summary="Models that you may choose")
def list_parents(request: Asked, limit: Limit = USUAL, after: AfterId = 0) -> shapes.ParentPage:
    rows, follows = oldest_first(Parent.objects.visible_to(request.user), after, limit)
    return shapes.ParentPage(items=[_parent(row) for row in rows], next=follows)


@router.api_operation(GET, "/parents/{int:parent_id}", response=shapes.Parent, auth=READ, summary="A model")
def get_parent(request: Asked, parent_id: RowId) -> shapes.Parent:
    return _parent(get_object_or_404(Parent.objects.visible_to(request.user), pk=parent_id))


@router.api_operation(
    GET, "/benchmarks", response=shapes.BenchmarkPage, auth=READ, summary="Benchmarks that you may choose"
)
def list_benchmarks(request: Asked, limit: Limit = USUAL, after: AfterId = 0) -> shapes.BenchmarkPage:
    visible = Benchmark.objects.visible_to(request.user).defer("spec")
    rows, follows = oldest_first(visible, after, limit)
    return shapes.BenchmarkPage(items=[_benchmark(row) for row in rows], next=follows)


@router.api_operation(
    GET, "/benchmarks/{int:benchmark_id}", response=shapes.Benchmark, auth=READ, summary="A benchmark"
)
def get_benchmark(request: Asked, benchmark_id: RowId) -> shapes.Benchmark:
    visible = Benchmark.objects.visible_to(request.user).defer("spec")
    return _benchmark(get_object_or_404(visible, pk=benchmark_id))


def _parent(row: Parent) -> shapes.Parent:
    return shapes.Parent(
        id=row.pk,
        name=row.name,
        is_own=row.owner_id is not None,
        model_type=row.model_type,
        n_layers=row.n_layers,
        hidden_size=row.hidden_size,
        vocab_size=row.vocab_size,
        n_parameters=row.n_parameters,
        n_bytes=row.n_bytes,
        dtype=row.dtype,
        licence=row.licence,
        fingerprint=row.fingerprint,
        created=row.created,
    )


def _benchmark(row: Benchmark) -> shapes.Benchmark:
    return shapes.Benchmark(
        id=row.pk,
        name=row.name,
        title=row.title,
        is_own=row.owner_id is not None,
        scorer=row.scorer,
        digest=row.digest,
        is_public_test=row.is_public_test,
        n_search=row.n_search,
        n_validation=row.n_validation,
        n_final=row.n_final,
        created=row.created,
    )

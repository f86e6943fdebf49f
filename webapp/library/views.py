"""The pages of the library: models and benchmarks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from merging.benchmarks import Benchmark as Questions
from merging.benchmarks import BenchmarkSpec, Sample, Split
from merging.errors import BenchmarkError, MergingError, ParentError
from webapp.accounts.requests import SignedIn
from webapp.library import actions
from webapp.library.fit import fit_of
from webapp.library.forms import BenchmarkForm, ParentForm
from webapp.library.models import Benchmark, Parent
from webapp.library.question_files import on_disk

N_SHOWN: Final = 5
NUMBER: Final = re.compile(r"[0-9]{1,9}")


def parents(request: SignedIn) -> HttpResponse:
    """The models that one may choose, and whether those ticked fit; staff may post a folder to register."""
    if request.method == "POST" and not request.user.is_staff:
        raise PermissionDenied("only staff registers folders of the server")
    form = ParentForm(request.POST or None)
    if form.is_valid() and (parent := _registered(request.user, form)):
        messages.success(request, f"{parent.name} can be chosen now.")
        return redirect("library:parents")
    chosen = _chosen(request)
    rows = [(row, _may_hide(request.user, row), row in chosen) for row in Parent.objects.visible_to(request.user)]
    context = {
        "parents": rows,
        "fit": fit_of(chosen) if chosen else None,
        "form": form if request.user.is_staff else None,
    }
    return render(request, "library/parents.html", context)


@require_POST
def parent_hide(request: SignedIn, parent_id: int) -> HttpResponse:
    return _hide(request, get_object_or_404(Parent.objects.visible_to(request.user), pk=parent_id), "library:parents")


def benchmarks(request: SignedIn) -> HttpResponse:
    """The benchmarks that one may choose; a file of questions may be posted."""
    form = BenchmarkForm(request.POST, request.FILES) if request.method == "POST" else BenchmarkForm()
    if form.is_valid() and (added := _added(request.user, form)):
        messages.success(request, f"{added.title} can be chosen now.")
        return redirect("library:benchmark", added.pk)
    rows = Benchmark.objects.visible_to(request.user)
    return render(request, "library/benchmarks.html", {"benchmarks": rows, "form": form})


def benchmark(request: SignedIn, benchmark_id: int) -> HttpResponse:
    """One benchmark with its first questions; of the final split only how many there are."""
    row = get_object_or_404(Benchmark.objects.visible_to(request.user), pk=benchmark_id)
    context = {"benchmark": row, "may_hide": _may_hide(request.user, row)}
    try:
        questions = BenchmarkSpec.from_json(row.spec).load()
    except MergingError as error:
        return render(request, "library/benchmark.html", context | {"error": str(error)})
    return render(request, "library/benchmark.html", context | {"questions": questions, "shown": _shown(questions)})


@require_POST
def benchmark_hide(request: SignedIn, benchmark_id: int) -> HttpResponse:
    row = get_object_or_404(Benchmark.objects.visible_to(request.user), pk=benchmark_id)
    return _hide(request, row, "library:benchmarks")


def _registered(user: User, form: ParentForm) -> Parent | None:
    """The parent; None when it was refused, and then the form says why."""
    chosen = form.cleaned_data
    try:
        return actions.register_parent(None if chosen["shared"] else user, Path(chosen["folder"]), chosen["name"])
    except (ParentError, OSError) as error:
        form.add_error("folder", str(error))
        return None


def _added(user: User, form: BenchmarkForm) -> Benchmark | None:
    """The benchmark; None when it was refused, and then the form says why."""
    with on_disk(form.cleaned_data["file"]) as path:
        try:
            return actions.add_benchmark(user, form.question_file(path), form.cleaned_data["name"])
        except BenchmarkError as error:
            form.add_error("file", str(error))
            return None


def _shown(questions: Questions) -> list[tuple[str, int, tuple[Sample, ...]]]:
    """The first samples of the splits that people may see."""
    shown: tuple[Split, ...] = ("search", "validation")
    return [(split, len(questions.samples[split]), questions.samples[split][:N_SHOWN]) for split in shown]


def _chosen(request: SignedIn) -> list[Parent]:
    """The models that the address names, as far as one may choose them."""
    numbers = [int(number) for number in request.GET.getlist("model") if NUMBER.fullmatch(number)]
    return list(Parent.objects.visible_to(request.user).filter(pk__in=numbers))


def _may_hide(user: User, row: Parent | Benchmark) -> bool:
    """One's own rows; for staff also what everybody may choose, but not what came with Progeny."""
    return row.owner_id == user.pk or (user.is_staff and row.owner_id is None and not row.name.startswith("demo/"))


def _hide(request: SignedIn, row: Parent | Benchmark, back: str) -> HttpResponse:
    if not _may_hide(request.user, row):
        raise Http404(f"{row.name} is not yours")
    actions.hide(row)
    messages.success(request, f"{row.name} is off the list.")
    return redirect(back)

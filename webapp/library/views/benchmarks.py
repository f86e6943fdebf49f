"""The pages of the benchmarks that one may choose: the list, one of them with its splits, and adding a file of questions in two steps."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect

from merging.benchmarks import Benchmark as Asked
from merging.benchmarks import BenchmarkSpec, Questions
from merging.benchmarks.harness import HarnessBenchmark
from merging.benchmarks.question_files import MAX_PROBLEMS, BadLines
from merging.errors import MergingError
from webapp.accounts.requests import SignedIn
from webapp.library import actions
from webapp.library.dealing import can_be_dealt, deal_anew
from webapp.library.forms import LINE_END, BenchmarkForm, DealForm
from webapp.library.listing import NUMBER
from webapp.library.models import Benchmark, Parent
from webapp.library.previews import N_SHOWN, Size, overlaps, preview, shown, shown_to, size
from webapp.library.question_files import on_disk
from webapp.library.uses import Use, last_trial, uses_of
from webapp.library.views.hiding import hide, may_hide
from webapp.trials.forms import TrialForm

N_RUNS: Final = 5
"""Runs that a page names; the rest are counted."""
N_COMPARED: Final = 2_000
"""Questions that are compared for likeness without being asked."""

TEMPLATES: Final = {
    "jsonl": (
        '{"question": "Tom has 2 apples and buys 3 more. How many has he?", "answer": 5, "language": "en", "few_shot": true}\n'
        '{"question": "A box holds 12 eggs. How many do 4 boxes hold?", "answer": 48, "language": "en"}\n'
        '{"question": "Ms Ito had 30 pens and lost 4. How many are left?", "answer": 26, "language": "en"}\n'
        '{"question": "Which is a prime number?", "answer": "7", "choices": ["4", "6", "7"], "language": "en"}\n'
    ),
    "csv": (
        "question,answer,choices,language,few_shot\n"
        '"Tom has 2 apples and buys 3 more. How many has he?",5,,en,yes\n'
        '"A box holds 12 eggs. How many do 4 boxes hold?",48,,en,\n'
        '"Ms Ito had 30 pens and lost 4. How many are left?",26,,en,\n'
        "Which is a prime number?,7,4|6|7,en,\n"
    ),
}


@require_safe
def benchmarks(request: SignedIn) -> HttpResponse:
    """The benchmarks that one may choose, and what runs tell of them."""
    found = list(Benchmark.objects.visible_to(request.user))
    used = uses_of(request.user, found)
    rows = [(row, _sizes(row), used.get(row.digest, Use())) for row in found]
    return render(request, "library/benchmarks.html", {"rows": rows})


@require_safe
def benchmark(request: SignedIn, benchmark_id: int) -> HttpResponse:
    """One benchmark with its first questions, in the chat template of the model that `model` names; of the final split only how many
    there are.
    """
    return _page(request, get_object_or_404(Benchmark.objects.visible_to(request.user), pk=benchmark_id))


@require_POST
def benchmark_deal(request: SignedIn, benchmark_id: int) -> HttpResponse:
    """Cut one's own questions into other splits, as long as no run has used them."""
    row = get_object_or_404(Benchmark.objects.visible_to(request.user).filter(owner=request.user), pk=benchmark_id)
    form = DealForm(request.POST)
    if form.is_valid():
        chosen = form.cleaned_data
        try:
            deal_anew(row, chosen["seed"], chosen["n_validation"], chosen["n_final"])
        except MergingError as error:
            form.add_error(None, f"{error}.")
        else:
            messages.success(request, f"The questions of {row.title} are dealt anew.")
            return redirect("library:benchmark", row.pk)
    return _page(request, row, form)


def _page(request: SignedIn, row: Benchmark, deal_form: DealForm | None = None) -> HttpResponse:
    use = uses_of(request.user, [row]).get(row.digest, Use())
    context: dict[str, object] = {
        "benchmark": row,
        "may_hide": may_hide(request.user, row),
        "sizes": _sizes(row),
        "use": use,
        "runs": use.runs[:N_RUNS],
        "last_trial": last_trial(request.user, row.digest),
        "trial_form": TrialForm(request.user, initial={"model": request.GET.get("model")}),
    }
    if deal_form or (row.owner_id == request.user.pk and can_be_dealt(row)):
        usual = {"n_validation": row.n_validation, "n_final": row.n_final, "seed": 0}
        context["deal_form"] = deal_form or DealForm(initial=usual)
        context["n_questions"] = row.n_search + row.n_validation + row.n_final
    try:
        spec = BenchmarkSpec.from_json(row.spec)
        asked = spec.load()
    except MergingError as error:
        return render(request, "library/benchmark.html", context | {"error": str(error)})
    task = asked.task if isinstance(asked, HarnessBenchmark) else None
    about = {
        "spec": spec,
        "asked": asked,
        "task": task,
        "n_shots": task.n_shots if task else len(getattr(asked, "shots", ())),
        "stops": [stop.replace("\n", LINE_END) for stop in getattr(asked, "stop", ())],
        "shown": shown(asked, "search"),
        "validation": asked.samples["validation"][:N_SHOWN],
        "overlaps": overlaps(spec) if _is_cheap(row) or "overlap" in request.GET else None,
    }
    return render(request, "library/benchmark.html", context | about | _as_chat(request, asked))


@require_http_methods(["GET", "HEAD", "POST"])
def benchmark_new(request: SignedIn) -> HttpResponse:
    """A file of questions is checked and shown; posted again with what was shown, it is added. Nothing is kept in between."""
    form = BenchmarkForm(request.POST, request.FILES) if request.method == "POST" else BenchmarkForm()
    context: dict[str, object] = {"form": form, "max_problems": MAX_PROBLEMS}
    if form.is_valid():
        with on_disk(form.cleaned_data["file"]) as path:
            try:
                questions = form.question_file(path).read(form.cleaned_data["name"] or path.stem)
                if request.POST.get("step") == "add" and request.POST.get("checked") == questions.digest:
                    return _added(request, questions, form)
                actions.check_name(request.user, questions)
                context |= {"preview": preview(questions), "is_stale": request.POST.get("step") == "add"}
            except MergingError as error:
                context["problems"] = error.problems if isinstance(error, BadLines) else (str(error),)
            except OSError as error:
                context["problems"] = (f"This server could not keep the questions: {error.strerror}. Try again later.",)
    template = "library/_preview.html" if request.htmx else "library/benchmark_new.html"
    return render(request, template, context)


@require_safe
def benchmark_template(request: SignedIn, form: str) -> HttpResponse:
    """A file to begin with."""
    if form not in TEMPLATES:
        raise Http404(f"there is no template {form}")
    content_type = "text/csv" if form == "csv" else "application/jsonl"
    headers = {"Content-Disposition": f'attachment; filename="questions.{form}"'}
    return HttpResponse(TEMPLATES[form], content_type=f"{content_type}; charset=utf-8", headers=headers)


@require_POST
def benchmark_hide(request: SignedIn, benchmark_id: int) -> HttpResponse:
    row = get_object_or_404(Benchmark.objects.visible_to(request.user), pk=benchmark_id)
    return hide(request, row, "library:benchmarks")


def _added(request: SignedIn, questions: Questions, form: BenchmarkForm) -> HttpResponse:
    """To the page of what was added."""
    row = actions.keep_questions(request.user, questions, form.cleaned_data["is_public_test"])
    messages.success(request, f"{row.title} can be chosen now.")
    address = reverse("library:benchmark", args=[row.pk])
    return HttpResponseClientRedirect(address) if request.htmx else redirect(address)


def _as_chat(request: SignedIn, asked: Asked) -> dict[str, object]:
    """The prompts in the template of the model that the address names, if the benchmark is asked in one."""
    if not getattr(asked, "as_chat", False):
        return {}
    models = Parent.objects.visible_to(request.user)
    number = request.GET.get("model", "")
    model = models.filter(pk=int(number)).first() if NUMBER.fullmatch(number) else None
    if model is None:
        return {"models": models.only("name")}
    try:
        return {"models": models.only("name"), "model": model, "shown": shown_to(Path(model.folder), asked, "search")}
    except (MergingError, OSError) as error:
        return {"models": models.only("name"), "model": model, "no_template": str(error)}


def _is_cheap(row: Benchmark) -> bool:
    """Comparing its splits takes less than a second."""
    return row.n_search + row.n_validation <= N_COMPARED


def _sizes(row: Benchmark) -> list[Size]:
    return [size("search", row.n_search), size("validation", row.n_validation), size("final", row.n_final)]

"""Tasks of lm-eval's harness: looking for one, asking for it to be fetched, and what became of that. Nothing is fetched in a request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import HttpResponseClientRefresh

from merging.benchmarks import paper
from merging.errors import MergingError
from merging.harness.index import Entry, Index
from webapp.accounts.requests import SignedIn
from webapp.library import fetches
from webapp.library.forms import TaskForm
from webapp.library.models import Fetch

N_SHOWN: Final = 40
SUGGESTED: Final = (
    "gsm8k", "mgsm_direct_ja", "mgsm_native_cot_ja", "arc_easy", "arc_challenge", "hellaswag", "winogrande",
    "xwinograd_jp",
)  # fmt: skip


@require_safe
def tasks(request: SignedIn) -> HttpResponse:
    """The tasks whose names hold what is looked for; at first a few that many use."""
    known = fetches.known_tasks()
    asked = request.GET.get("q", "").strip()[:200]
    found = list(_found(known, asked)) if known else []
    context = {
        "asked": asked,
        "known": known,
        "n_tasks": sum(not entry.refusal for entry in known.entries.values()) if known else 0,
        "entries": found[:N_SHOWN],
        "paper": (paper.GSM8K, paper.MGSM),
        "paper_name": paper.NAME,
        "n_more": max(0, len(found) - N_SHOWN),
        **_requests(request),
    }
    return render(
        request, "library/_tasks_found.html" if request.htmx.target == "found" else "library/tasks.html", context
    )


@require_safe
def task_requests(request: SignedIn) -> HttpResponse:
    """One's own requests as they stand; when the list of tasks has come, the page is asked for anew."""
    context = _requests(request)
    if not context["is_live"] and Fetch.objects.filter(owner=request.user, task="", status="done").exists():
        return HttpResponseClientRefresh()
    return render(request, "library/_task_requests.html", context)


@require_POST
def task_request(request: SignedIn) -> HttpResponse:
    """Ask for a task, or for the list of all of them."""
    form = TaskForm(request.POST)
    if not form.is_valid():
        messages.error(request, " ".join(str(error) for errors in form.errors.values() for error in errors))
        return redirect("library:benchmark_tasks")
    chosen = form.cleaned_data
    try:
        if chosen["task"]:
            fetches.request_fetch(request.user, chosen["task"], chosen["metric"], chosen["seed"] or 0)
        else:
            fetches.request_list(request.user)
    except MergingError as error:
        messages.error(request, str(error))
    return redirect("library:benchmark_tasks")


@require_POST
def task_forget(request: SignedIn, fetch_id: int) -> HttpResponse:
    """Take one's request back; what a worker does for it ends within seconds. A benchmark that came of it stays."""
    get_object_or_404(Fetch, pk=fetch_id, owner=request.user).delete()
    return redirect("library:benchmark_tasks")


def _found(known: Index, asked: str) -> Iterator[Entry]:
    """What can be chosen before what cannot, names that begin so before names that hold it."""
    if not asked:
        yield from (known.entries[name] for name in SUGGESTED if name in known.entries)
        return
    words = asked.casefold().split()
    holding = [entry for name, entry in known.entries.items() if all(word in name.casefold() for word in words)]
    yield from sorted(holding, key=lambda e: (bool(e.refusal), not e.name.casefold().startswith(words[0]), e.name))


def _requests(request: SignedIn) -> dict[str, object]:
    rows = list(Fetch.objects.filter(owner=request.user).select_related("benchmark"))
    return {
        "requests": rows,
        "is_live": any(row.is_under_way for row in rows),
        "data_set_folder": fetches.data_set_folder(),
    }

"""Drafts of new runs: kept while the form is filled in, thrown away, or made from another program's file."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlencode
from uuid import uuid4

from django.http import HttpResponse, HttpResponseBadRequest
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from merging.errors import RecipeError
from webapp.accounts.requests import SignedIn
from webapp.runs.launching import saved_drafts
from webapp.runs.launching.forms.import_form import ImportForm
from webapp.runs.launching.forms.run_form import RunForm
from webapp.runs.launching.forms.values import as_sent, initial
from webapp.runs.launching.imports import imported
from webapp.runs.launching.presets import OWN
from webapp.runs.models import Run
from webapp.runs.views import new

KEY: Final = re.compile(r"[0-9A-Za-z]{1,32}")
UNKEPT: Final = ("csrfmiddlewaretoken", "yaml")
"""Sent with the form, and no fields of it."""


@require_POST
def keep(request: SignedIn) -> HttpResponse:
    """Keep the form as it stands, nothing checked: 204. Of a form that was launched nothing is kept, and a sentence says so: 200."""
    key = request.POST.get("key", "")
    if not KEY.fullmatch(key):
        return HttpResponseBadRequest("a draft is kept under the key of its form")
    if Run.objects.filter(owner=request.user, idempotency_key__startswith=f"{key}.").exists():
        return HttpResponse("this form was launched", content_type="text/plain")
    sent = {name: values for name, values in request.POST.lists() if name not in UNKEPT}
    try:
        saved_drafts.keep(request.user, key, sent)
    except saved_drafts.DraftTooLargeError as error:
        return HttpResponseBadRequest(str(error))
    return HttpResponse(status=204)


@require_POST
def start_afresh(request: SignedIn) -> HttpResponse:
    """Throw a draft away and begin with nothing chosen."""
    saved_drafts.forget(request.user, request.POST.get("key", "").replace("\0", ""))
    return redirect(f"{reverse('runs:new')}?{urlencode({'preset': OWN.name})}")


@require_POST
def bring(request: SignedIn) -> HttpResponse:
    """Make a draft of a configuration of mergekit-evolve, with what of it has no place here."""
    user, key = request.user, uuid4().hex
    form = ImportForm(request.POST, request.FILES)
    if form.is_valid():
        try:
            found = imported(user, form.content)
        except RecipeError as error:
            form.add_error("file" if form.cleaned_data.get("file") else "text", str(error))
        else:
            draft = saved_drafts.keep(user, key, as_sent(initial(user, found.start, key)), found.notes)
            return redirect(f"{reverse('runs:new')}?{urlencode({'draft': draft.pk})}")
    return new.page(request, RunForm(user, initial=initial(user, OWN, key)), importing=form)

"""The pages about programs: one's tokens, and how the site is asked."""

from __future__ import annotations

from http import HTTPStatus

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from webapp.accounts.requests import SignedIn
from webapp.api.forms import TokenForm
from webapp.api.models import Token
from webapp.api.site import document as description
from webapp.api.tokens import MEANINGS, make, tokens_of
from webapp.quotas import QuotaError


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def tokens(request: SignedIn) -> HttpResponse:
    """One's tokens; posted, one more, which this answer alone shows."""
    if request.method != "POST":
        return _page(request, TokenForm())
    form = TokenForm(request.POST)
    if not form.is_valid():
        return _page(request, form)
    chosen = form.cleaned_data
    try:
        row, word = make(request.user, chosen["name"], chosen["scopes"], chosen["days"])
    except QuotaError as error:
        form.add_error(None, f"{error}.")
        return _page(request, form)
    answer = _page(request, TokenForm(), made=row, word=word)
    answer.status_code = HTTPStatus.CREATED
    return answer


@require_POST
def revoke(request: SignedIn, token_id: int) -> HttpResponse:
    """Whoever has it may do nothing with it from now on."""
    found = get_object_or_404(Token, pk=token_id, owner=request.user)
    found.delete()
    messages.success(request, f"“{found}” is revoked.")
    return redirect("api:tokens")


@require_safe
def docs(request: SignedIn) -> HttpResponse:
    """Every operation, to read and to try with a token."""
    settings = {"url": reverse("api:document"), "layout": "BaseLayout", "deepLinking": True}
    return render(request, "api/docs.html", {"settings": settings})


@login_not_required
@require_safe
def document(request: HttpRequest) -> JsonResponse:
    """The OpenAPI document. Anybody may have it: it is in the source."""
    return JsonResponse(description())


def _page(request: SignedIn, form: TokenForm, **made: object) -> HttpResponse:
    context = {"form": form, "tokens": tokens_of(request.user), "meanings": MEANINGS, **made}
    return render(request, "api/tokens.html", context)

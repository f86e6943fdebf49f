"""One's own account: its password, and the token with which one fetches from the Hugging Face Hub and pushes to it."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST, require_safe

from webapp.accounts import hub
from webapp.accounts.forms import HubTokenForm, PasswordForm
from webapp.accounts.models import HubToken
from webapp.accounts.requests import SignedIn


@require_safe
@never_cache
def account(request: SignedIn) -> HttpResponse:
    """Who one is here, and what one can change."""
    return _page(request, PasswordForm(request), HubTokenForm())


@require_POST
@sensitive_post_parameters()
def change_password(request: SignedIn) -> HttpResponse:
    """Another password; other browsers of this user are signed out, this one is not."""
    form = PasswordForm(request, request.POST)
    if not form.is_valid():
        return _page(request, form, HubTokenForm())
    update_session_auth_hash(request, form.save())
    messages.success(request, "Your password is changed. Other browsers have to sign in with the new one.")
    return redirect("accounts:account")


@require_POST
@sensitive_post_parameters()
def keep_hub_token(request: SignedIn) -> HttpResponse:
    """Keep a token instead of the one before."""
    form = HubTokenForm(request.POST)
    if not form.is_valid():
        return _page(request, PasswordForm(request), form)
    kept = hub.keep_token(request.user, form.cleaned_data["token"])
    messages.success(request, f"The token {kept} is kept.")
    return redirect("accounts:account")


@require_POST
def remove_hub_token(request: SignedIn) -> HttpResponse:
    """Forget the token."""
    HubToken.objects.filter(owner=request.user).delete()
    messages.success(request, "The token is removed.")
    return redirect("accounts:account")


def _page(request: SignedIn, password_form: PasswordForm, token_form: HubTokenForm) -> HttpResponse:
    context = {
        "password_form": password_form,
        "token_form": token_form,
        "token": HubToken.objects.filter(owner=request.user).first(),
    }
    return render(request, "accounts/account.html", context)

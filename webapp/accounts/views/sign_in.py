"""Sign in, and the one-time set-up."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_http_methods

from webapp.accounts import setup
from webapp.accounts.forms import FirstUserForm, SignInForm
from webapp.accounts.tries import WINDOW_SECONDS


@method_decorator(require_http_methods(["GET", "HEAD", "POST"]), name="dispatch")
class SignIn(LoginView):
    """Name and password; who is signed in already goes home."""

    template_name = "accounts/login.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | {"nobody_can_sign_in": setup.nobody_can_sign_in()}

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        response = super().form_invalid(form)
        if isinstance(form, SignInForm) and form.is_refused:
            response.status_code, response.headers["Retry-After"] = 429, str(WINDOW_SECONDS)
        return response


@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
def first_user(request: HttpRequest, token: str) -> HttpResponse:
    """Make the first user and sign in. A link that is not valid (any more) says so and leads to sign-in."""
    if not setup.is_valid(token):
        return render(request, "accounts/setup_over.html", {"open": setup.nobody_can_sign_in()}, status=410)
    form = FirstUserForm(request.POST or None)
    if form.is_valid():
        user = setup.create_first_user(**form.cleaned_data)
        if user:
            login(request, user)
        return redirect("runs:list")
    return render(request, "accounts/setup.html", {"form": form})

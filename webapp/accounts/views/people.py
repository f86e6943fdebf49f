"""The accounts of this server, for who looks after it: roles, switching off and on, invitations; and the page where one is accepted."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import IntegrityError
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from webapp.accounts import invites
from webapp.accounts.forms import FirstUserForm, RoleForm
from webapp.accounts.models import Invite
from webapp.accounts.requests import SignedIn
from webapp.accounts.roles import MEANINGS, Role, may_change, role_of, set_role

N_ON_A_PAGE = 100


@never_cache
@require_safe
def accounts(request: SignedIn) -> HttpResponse:
    """Who has an account, newest first, and the invitations that nobody has accepted yet."""
    _check_admin(request)
    return _page(request)


@require_POST
def change_role(request: SignedIn, user_id: int) -> HttpResponse:
    """Make somebody else an admin, a member or a viewer."""
    user = _other(request, user_id)
    form = RoleForm(request.POST)
    if form.is_valid():
        set_role(user, cast("Role", form.cleaned_data["role"]))
        messages.success(request, f"{user.get_username()} is {_with_article(form.cleaned_data['role'])} now.")
    else:
        messages.error(request, " ".join(str(error) for errors in form.errors.values() for error in errors))
    return redirect("accounts:people")


@require_POST
def switch(request: SignedIn, user_id: int) -> HttpResponse:
    """Switch an account off, or on again. Their sessions, open pages and tokens end at once; their runs go on."""
    user = _other(request, user_id)
    is_active = request.POST.get("on") == "1"
    User.objects.filter(pk=user.pk).update(is_active=is_active)
    words = "can sign in again" if is_active else "cannot sign in any more"
    messages.success(request, f"{user.get_username()} {words}.")
    return redirect("accounts:people")


@never_cache
@require_POST
def invite(request: SignedIn) -> HttpResponse:
    """One more invitation, which this answer alone shows."""
    _check_admin(request)
    form = RoleForm(request.POST)
    if not form.is_valid():
        return _page(request, form)
    key = invites.make(request.user, cast("Role", form.cleaned_data["role"]))
    address = request.build_absolute_uri(reverse("accounts:join", args=[key]))
    return _page(request, address=address, status=HTTPStatus.CREATED)


@require_POST
def revoke(request: SignedIn, invite_id: int) -> HttpResponse:
    """Nobody makes an account with it from now on."""
    _check_admin(request)
    get_object_or_404(Invite, pk=invite_id).delete()
    messages.success(request, "The invitation is revoked.")
    return redirect("accounts:people")


@login_not_required
@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def join(request: HttpRequest, key: str) -> HttpResponse:
    """Make an account with an invitation, and sign in. One that is not good (any more) says so and leads to sign-in."""
    found = invites.valid(key).select_related("made_by").first()
    if found is None:
        return render(request, "accounts/join_over.html", status=HTTPStatus.GONE)
    form = FirstUserForm(request.POST or None)
    if form.is_valid():
        try:
            user = invites.accept(key, **form.cleaned_data)
        except IntegrityError:
            form.add_error("username", "Somebody here is called so already. Choose another name.")
        else:
            if user:
                login(request, user)
            return redirect("runs:list")
    context = {"form": form, "invite": found, "meaning": MEANINGS[cast("Role", found.role)]}
    return render(request, "accounts/join.html", context)


def _page(request: SignedIn, form: RoleForm | None = None, status: int = HTTPStatus.OK, **more: Any) -> HttpResponse:
    users = User.objects.select_related("viewer").order_by("-pk")
    page = Paginator(users, N_ON_A_PAGE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "rows": [(user, role_of(user), may_change(request.user, user)) for user in page],
        "roles": MEANINGS,
        "invites": Invite.objects.filter(expires__gt=Now()).select_related("made_by"),
        "form": form or RoleForm(),
    }
    return render(request, "accounts/people.html", context | more, status=status)


def _other(request: SignedIn, user_id: int) -> User:
    """Somebody whose account this admin may change."""
    _check_admin(request)
    user = get_object_or_404(User, pk=user_id)
    if not may_change(request.user, user):
        raise PermissionDenied(
            "Your own account and that of who set this installation up stay as they are: so somebody always looks after it."
        )
    return user


def _check_admin(request: SignedIn) -> None:
    if not request.user.is_staff:
        raise PermissionDenied("Only who looks after this server sees and changes its accounts.")


def _with_article(role: str) -> str:
    return f"an {role}" if role == "admin" else f"a {role}"

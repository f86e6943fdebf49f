"""What an account may do on this server as a whole. What it may do with a run is another thing: see `webapp.sharing.access`.

    admin    looks after the server: accounts, workers, folders, room. Sees no more of others' runs than anybody else
    member   registers, fetches, launches, shares
    viewer   sees what is shared with them, as a viewer, and changes nothing, neither on pages nor by tokens

A viewer's writes are refused in two places that ask this file: the middleware below for pages, `webapp.api.security` for programs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, get_args

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest
from django.utils.deprecation import MiddlewareMixin

from webapp.accounts.models import Viewer

Role = Literal["admin", "member", "viewer"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
MEANINGS: Final[dict[Role, str]] = {
    "admin": "Looks after the server: accounts, workers, folders, room",
    "member": "Fetches models, launches runs, shares them",
    "viewer": "Sees what is shared with them, and changes nothing",
}
REFUSAL: Final = (
    "You are a viewer on this server: you see what is shared with you, and change nothing. "
    "Who looks after the server can make you a member."
)
OWN: Final = frozenset(
    {
        "accounts:login", "accounts:logout", "accounts:change_password", "accounts:setup", "accounts:join",
        "api:tokens", "api:revoke", "people:seen",
    }
)  # fmt: skip
"""What a viewer may send: it changes nothing but their own account."""
FORMS: Final = frozenset({"runs:new", "library:benchmark_new", "lineage:as_parent"})
"""Pages that serve nothing but what a viewer may not do."""
READING: Final = ("GET", "HEAD", "OPTIONS")


class Backend(ModelBackend):
    """Knows of everybody who is signed in what they are, by the query that finds them."""

    def get_user(self, user_id: int) -> User | None:
        user = User.objects.select_related("viewer").filter(pk=user_id).first()
        return user if user and self.user_can_authenticate(user) else None


class RoleMiddleware(MiddlewareMixin):
    """Refuses viewers every request that could change something, before anybody looks at what it is about."""

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], words: tuple[Any, ...], parts: Mapping[str, Any]
    ) -> None:
        match = request.resolver_match
        name = match.view_name if match else ""
        is_for_programs = name.startswith("api:")
        if is_for_programs or name in OWN or (request.method in READING and name not in FORMS):
            return
        if is_viewer(request.user):
            raise PermissionDenied(REFUSAL)


def is_viewer(user: User | AnonymousUser) -> bool:
    """Whether this account may change nothing. No query for who is signed in, one for others."""
    return isinstance(user, User) and hasattr(user, "viewer")


def role_of(user: User) -> Role:
    """What an account is."""
    if user.is_staff:
        return "admin"
    return "viewer" if is_viewer(user) else "member"


@transaction.atomic
def set_role(user: User, role: Role) -> None:
    """From the next request on. What somebody has begun goes on."""
    User.objects.filter(pk=user.pk).update(is_staff=role == "admin")
    if role == "viewer":
        Viewer.objects.get_or_create(user=user)
    else:
        Viewer.objects.filter(user=user).delete()


def may_change(admin: User, user: User) -> bool:
    """Nobody takes their own account away, nor that of who set this installation up and owns what runs from its terminal: so one
    admin is always left.
    """
    return admin.pk != user.pk and not user.is_superuser

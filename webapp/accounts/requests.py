"""The request as a page behind sign-in receives it: LoginRequiredMiddleware has seen to the user, HtmxMiddleware to `htmx`."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails


class SignedIn(HttpRequest):
    """A request of somebody who is signed in."""

    user: User
    htmx: HtmxDetails

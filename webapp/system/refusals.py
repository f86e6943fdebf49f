"""The page for a method that an address does not know, which Django refuses without a word."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponseBase, HttpResponseNotAllowed
from django.template.loader import render_to_string
from django.utils.decorators import sync_and_async_middleware


@sync_and_async_middleware
def method_not_allowed(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Middleware: says in words what a 405 means."""
    if iscoroutinefunction(get_response):

        async def explained_later(request: HttpRequest) -> HttpResponseBase:
            return _explained(await get_response(request))

        return explained_later

    def explained(request: HttpRequest) -> HttpResponseBase:
        return _explained(get_response(request))

    return explained


def _explained(response: HttpResponseBase) -> HttpResponseBase:
    if isinstance(response, HttpResponseNotAllowed):
        response.content = render_to_string("405.html").encode()
    return response

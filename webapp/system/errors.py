"""What is answered when a request could not be: 503 and a page that comes back by itself while the database is away, else 500.

A question that the database gave up because it took too long is no outage: asked again by itself, it would only keep the database busy.
"""

from __future__ import annotations

import sys
from typing import Final

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from psycopg.errors import QueryCanceled

RETRY_SECONDS: Final = 10
SENTENCE: Final = "The database does not answer. Nothing is lost, and it is asked again by itself."


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's `handler500`: called for every error that nobody caught, while it is handled. Asks no database itself."""
    error = sys.exc_info()[1]
    took_too_long = error is not None and isinstance(error.__cause__, QueryCanceled)
    if isinstance(error, OperationalError | InterfaceError) and not took_too_long:
        return _unavailable(request)
    return HttpResponse(render_to_string("500.html", {"took_too_long": took_too_long}), status=500)


def _unavailable(request: HttpRequest) -> HttpResponse:
    """For who asks for JSON, for a part of a page, or for a page: all connections in use, restarting, its disk full, or away."""
    answer: HttpResponse
    if "HX-Request" in request.headers:
        answer = HttpResponse(render_to_string("_unavailable.html", {"sentence": SENTENCE}))
    elif request.get_preferred_type(["text/html", "application/json"]) == "application/json":
        answer = JsonResponse({"error": SENTENCE})
    else:
        # A form is not sent again by itself, nor is its address one to be asked for.
        seconds = RETRY_SECONDS if request.method in ("GET", "HEAD") else None
        answer = HttpResponse(render_to_string("503.html", {"seconds": seconds}))
    answer.status_code = 503
    answer["Retry-After"] = str(RETRY_SECONDS)
    answer["Cache-Control"] = "no-store"
    return answer

"""Static files straight from their source folders: no collectstatic, no build step.

The version of all files together is part of STATIC_URL, so every file may be cached for ever and a changed one has a new address; relative
imports between modules keep working because the whole tree moves.
"""

from __future__ import annotations

from io import BytesIO

from django.http import HttpRequest, HttpResponse
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.responders import StaticFile


class StaticFilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]  # untyped package
    """WhiteNoise, answering in one piece: under ASGI a synchronous stream is read in full before it is sent anyway, with a warning."""

    @staticmethod
    def serve(static_file: StaticFile, request: HttpRequest) -> HttpResponse:
        found = static_file.get_response(request.method, request.META)
        with found.file or BytesIO() as file:
            response = HttpResponse(file.read(), status=int(found.status))
        del response["content-type"]
        for name, value in found.headers:
            response[name] = value
        return response

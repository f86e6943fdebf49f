"""Static files straight from their source folders: no collectstatic, no build step.

The version of all files together is part of STATIC_URL, so every file may be cached for ever and a changed one has a new address; relative
imports between modules keep working because the whole tree moves. Text is compressed; `remembering.py` keeps the answers.
"""

from __future__ import annotations

import gzip
from io import BytesIO

from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.responders import StaticFile

from webapp.compression import is_text


class StaticFilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]  # untyped package
    """WhiteNoise, answering in one piece: under ASGI a synchronous stream is read in full before it is sent anyway, with a warning."""

    @staticmethod
    def serve(static_file: StaticFile, request: HttpRequest) -> HttpResponse:
        found = static_file.get_response(request.method, request.META)
        headers = dict(found.headers)
        shrinks = found.status == 200 and is_text(headers.get("Content-Type", ""))
        with found.file or BytesIO() as file:
            if shrinks and found.file and "gzip" in request.headers.get("Accept-Encoding", ""):
                body = gzip.compress(file.read(), mtime=0)
                headers |= {"Content-Encoding": "gzip", "Content-Length": str(len(body))}
                headers.pop("ETag", None)  # it is of the file as it lies there
            else:
                body = file.read()
        response = HttpResponse(body, status=int(found.status))
        del response["content-type"]
        for name, value in headers.items():
            response[name] = value
        if shrinks:
            patch_vary_headers(response, ["Accept-Encoding"])
        return response

"""Pages, parts of pages and JSON go out compressed where the browser asks for it.

Downloads do not: they have ranges, and weights do not shrink.
"""

from __future__ import annotations

from typing import Final

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware

TEXTS: Final = ("text/", "application/json", "application/javascript", "image/svg+xml")


def is_text(content_type: str) -> bool:
    """Whether it shrinks."""
    return content_type.startswith(TEXTS)


class CompressionMiddleware(GZipMiddleware):
    """Django's, which hides the length of what it compresses from listeners, for answers in one piece that are text."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if response.streaming or not is_text(response.headers.get("Content-Type", "")):
            return response
        return super().process_response(request, response)

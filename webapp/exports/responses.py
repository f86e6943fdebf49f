"""The answer to a request for bytes: whole, a part, nothing new, or what nginx is told to send (RFC 9110, sections 13 and 14)."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.http import content_disposition_header

from webapp.exports import ranges
from webapp.exports.streams import Content, Sending

BY_NGINX: Final = "/exports-by-nginx/"
"""The internal location of nginx.conf that is the folder of exports."""


def response(request: HttpRequest, content: Content, name: str, content_type: str) -> HttpResponseBase:
    """Sends the content under a name. Takes it over: it is closed."""
    headers = _headers(content.etag, name, content_type)
    if ranges.is_known(request.headers, content.etag):
        content.close()
        return HttpResponse(status=304, headers=headers)
    asked = ranges.asked(request.headers if request.method == "GET" else {}, content.etag, content.n_bytes)
    if asked is None:
        content.close()
        return HttpResponse(status=416, headers=headers | {"Content-Range": f"bytes */{content.n_bytes}"})
    headers["Content-Length"] = str(asked.n_bytes)
    if asked.is_part:
        headers["Content-Range"] = f"bytes {asked.start}-{asked.stop - 1}/{content.n_bytes}"
    if request.method == "HEAD":
        content.close()
        return HttpResponse(headers=headers)
    status = 206 if asked.is_part else 200
    return StreamingHttpResponse(Sending(content, asked.start, asked.n_bytes), status=status, headers=headers)


def response_by_nginx(request: HttpRequest, path: str, sha256: str, name: str) -> HttpResponse:
    """Lets nginx send a file, ranges included; `path` is relative to the folder of exports."""
    headers = _headers(f'"{sha256}"', name, "application/octet-stream")
    if ranges.is_known(request.headers, headers["ETag"]):
        return HttpResponse(status=304, headers=headers)
    return HttpResponse(headers=headers | {"X-Accel-Redirect": BY_NGINX + quote(path)})


def _headers(etag: str, name: str, content_type: str) -> dict[str, str]:
    return {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Content-Disposition": content_disposition_header(as_attachment=True, filename=name) or "attachment",
        "X-Content-Type-Options": "nosniff",
        "Content-Type": content_type,
    }

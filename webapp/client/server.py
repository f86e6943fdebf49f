"""Asking a server: JSON and files over HTTP, with a token. Follows no redirect: the token goes where it was meant to and nowhere else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import HTTPRedirectHandler, Request, build_opener

SECONDS: Final = 30
"""Without an answer."""
PAGE: Final = 200
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class ClientError(Exception):
    """What cannot be done, in a sentence for a person."""


class RefusedError(ClientError):
    """The server said no. Asked again, it says so again."""

    def __init__(self, status: int, sentence: str) -> None:
        self.status = status
        super().__init__(sentence)


class AwayError(ClientError):
    """The server did not answer, or is busy: it may, later."""


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *words: Any, **names: Any) -> None:
        return None


_opener: Final = build_opener(_Stay)


@dataclass(frozen=True)
class Server:
    """An address such as https://progeny.example.org, and a token."""

    address: str
    token: str

    def get(self, path: str, **query: object) -> Any:
        """The answer's JSON; RefusedError and AwayError."""
        asked = {name: value for name, value in query.items() if value is not None}
        return self._json("GET", f"{path}?{urlencode(asked)}" if asked else path)

    def post(self, path: str, content: Mapping[str, Any] | None = None, key: str | None = None) -> Any:
        """The same; with a `key`, what is asked again is not done again."""
        headers = {"Idempotency-Key": key} if key else {}
        body = None if content is None else json.dumps(content).encode()
        return self._json("POST", path, body, headers)

    def items(self, path: str, **query: object) -> Iterator[Any]:
        """Everything of a list, page by page."""
        after = None
        while True:
            page = self.get(path, limit=PAGE, after=after, **query)
            yield from page["items"]
            if (after := page["next"]) is None:
                return

    def file(self, path: str, start: int, etag: str) -> HTTPResponse:
        """A file from a byte on, or from its beginning when it is another than that of the tag; the status says which."""
        headers = {"Range": f"bytes={start}-", "If-Range": f'"{etag}"'} if start else {}
        return self._open("GET", path, None, headers)

    def _json(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Any:
        try:
            with self._open(method, path, body, headers or {}) as answer:
                return json.load(answer)
        except (HTTPException, OSError) as error:
            raise AwayError(f"{self.address} was cut off: {error}") from error
        except ValueError as error:
            raise ClientError(f"{self.address} does not answer as Progeny does: {error}") from error

    def _open(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> HTTPResponse:
        request = Request(
            f"{self.address}/api/v1{quote(path, safe='/?&=%')}",
            data=body if body is not None or method == "GET" else b"",
            method=method,
            headers={"Authorization": f"Bearer {self.token}", "Accept": "application/json", **headers},
        )
        if body is not None:
            request.add_header("Content-Type", "application/json")
        try:
            answer: HTTPResponse = _opener.open(request, timeout=SECONDS)
        except HTTPError as error:
            raise _refused(self.address, error) from error
        except (URLError, HTTPException, OSError) as error:
            reason = error.reason if isinstance(error, URLError) else error
            raise AwayError(f"{self.address} does not answer: {reason}") from error
        return answer


def plain(text: object) -> str:
    """What came from elsewhere as any terminal can show it."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))


def _refused(address: str, error: HTTPError) -> ClientError:
    if 300 <= error.code < 400:
        return RefusedError(
            error.code, f"{address} sends one on to {plain(error.headers.get('Location', 'elsewhere'))}: use that"
        )
    try:
        problem = json.loads(error.read(1_000_000))
        sentence = plain(problem["detail"])
        more = [f"{plain(one['at'])}: {plain(one['detail'])}" for one in problem.get("errors", ())]
    except (ValueError, LookupError, TypeError, OSError):
        sentence, more = f"{address} answered {error.code}", []
    if error.code == 429 or error.code >= 500:
        return AwayError(sentence)
    return RefusedError(error.code, "\n  ".join([sentence, *more]))

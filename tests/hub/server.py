"""A Hub on this machine: the HTTP interface that `huggingface_hub` talks to, near enough that the real client cannot tell.

Large files are redirected to another origin (`localhost` instead of 127.0.0.1), which, like the real one's storage, refuses a
request that still brings a token. What goes wrong is asked for: `hub.faults.append(Fault(...))`.

Another file adds routes: `@routes.add("POST", "/api/repos/create")` above `def create(call: Call) -> Reply`, and a test uses
`FakeHub(routes=reading.routes + routes)`. A pattern is a regular expression over the path; its named groups are `call.words`.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.hub.repos import Repo, Shelf


@dataclass(frozen=True)
class Call:
    """One request. `user` is whose token it brings; `words` are the named groups of the route's pattern."""

    hub: FakeHub
    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes
    user: str | None
    words: Mapping[str, str]
    origin: str

    def said(self, name: str, default: str = "") -> str:
        """The first value of a query's name."""
        return self.query.get(name, [default])[0]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """What is answered. `body` is sent whole, unless a fault cuts it."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):
    """A reply that is not what was asked for."""

    def __init__(self, status: int, message: str, code: str = "", **headers: str) -> None:
        super().__init__(message)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named |= {"X-Error-Code": code} if code else {}
        self.reply = answer({"error": message}, status, {**named, "X-Error-Message": message})


@dataclass
class Fault:
    """What goes wrong with requests whose `METHOD /path` matches: `times` times, then no more.

    `status` is answered instead; `cut` bytes of the body are sent and the connection ends; `wait` seconds pass first.
    """

    pattern: str
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    wait: float = 0.0
    times: int = 1


Handler = Callable[[Call], Reply]


class Routes:
    """What is answered where; the first pattern that matches decides."""

    def __init__(self, known: list[tuple[str, re.Pattern[str], Handler]] | None = None) -> None:
        self._known = known or []

    def add(self, method: str, pattern: str) -> Callable[[Handler], Handler]:
        """Registers what stands below it."""

        def register(handler: Handler) -> Handler:
            self._known.append((method, re.compile(pattern), handler))
            return handler

        return register

    def find(self, method: str, path: str) -> tuple[Handler, Mapping[str, str]] | None:
        """Who answers; a HEAD is a GET whose body stays here."""
        wanted = "GET" if method == "HEAD" else method
        for known, pattern, handler in self._known:
            if known == wanted and (found := pattern.fullmatch(path)):
                return handler, found.groupdict()
        return None

    def __add__(self, other: Routes) -> Routes:
        return Routes([*self._known, *other._known])


class FakeHub:
    """`with FakeHub(...).serving() as hub`: its address is `hub.url`. `calls` are all requests, as `(METHOD /path, Range, user)`."""

    def __init__(self, routes: Routes) -> None:
        self.shelf = Shelf()
        self.faults: list[Fault] = []
        self.calls: list[tuple[str, str, str | None]] = []
        self.routes = routes
        self.url = self.storage = ""

    @contextmanager
    def serving(self) -> Iterator[FakeHub]:
        """Answers on a free port until the block ends."""
        server = _Server(("127.0.0.1", 0), _Answering)
        server.hub = self
        port = server.server_address[1]
        self.url, self.storage = f"http://127.0.0.1:{port}", f"http://localhost:{port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="hub", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join(5)

    def reply(self, call: Call) -> Reply:
        """What a request is answered when nothing goes wrong on the way."""
        found = self.routes.find(call.method, call.path)
        if found is None:
            return Refused(404, "Sorry, we can't find the page you are looking for.").reply
        handler, words = found
        try:
            return handler(Call(**{**call.__dict__, "words": words}))
        except Refused as refused:
            return refused.reply

    def fault(self, line: str) -> Fault | None:
        """What goes wrong with this request."""
        found = next((one for one in self.faults if one.times and re.search(one.pattern, line)), None)
        if found:
            found.times -= 1
        return found

    def repo(self, call: Call) -> Repo:
        """The repository of a call, if this person may know of it."""
        repo = self.shelf.repos.get(call.words["repo"])
        if repo is None or (repo.private and call.user != repo.author):
            status = 404 if call.user else 401
            raise Refused(
                status, "Repository not found" if call.user else "Invalid username or password.", "RepoNotFound"
            )
        return repo


def answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """A reply in JSON."""
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    hub: FakeHub


class _Answering(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        hub, parts = self.server.hub, urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        line = f"{self.command} {parts.path}"
        try:
            user = self._user()
        except Refused as refused:
            self._send(refused.reply, None)
            return
        hub.calls.append((line, self.headers.get("Range", ""), user))
        fault = hub.fault(line)
        if fault and fault.wait:
            time.sleep(fault.wait)
        if fault and fault.status:
            self._send(answer({"error": "this is a test"}, fault.status, fault.headers), None)
            return
        call = Call(
            hub,
            self.command,
            parts.path,
            parse_qs(parts.query),
            {name.lower(): value for name, value in self.headers.items()},
            body,
            user,
            {},
            f"http://{self.headers['Host']}",
        )
        self._send(hub.reply(call), fault.cut if fault else None)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is written."""

    def _user(self) -> str | None:
        brought = self.headers.get("Authorization", "")
        if not brought:
            return None
        if self.headers["Host"] == urlsplit(self.server.hub.storage).netloc:
            raise Refused(400, "Only one auth mechanism allowed")
        user = self.server.hub.shelf.tokens.get(brought.removeprefix("Bearer "))
        if user is None:
            raise Refused(401, "Invalid credentials in Authorization header")
        return user

    def _send(self, reply: Reply, cut: int | None) -> None:
        self.send_response(reply.status)
        for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(reply.body if cut is None else reply.body[:cut])
        if cut is not None:
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

"""A program that asks."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from django.contrib.auth.models import User
from django.test import Client

from webapp.api.models import SCOPES, Scope
from webapp.api.tokens import make

ROOT = "/api/v1"


class Program:
    """Asks in somebody's name, with a token of these scopes."""

    def __init__(self, owner: User, scopes: Collection[Scope] = SCOPES) -> None:
        self.word = make(owner, "a program", scopes, 30)[1]
        self._client = Client(headers={"Authorization": f"Bearer {self.word}"})

    def get(self, path: str, **query: object) -> Any:
        return self._client.get(ROOT + path, query)

    def post(self, path: str, content: Mapping[str, Any] | None = None, **headers: str) -> Any:
        return self.send("POST", path, content, **headers)

    def send(self, method: str, path: str, content: Any = None, **headers: str) -> Any:
        body = b"" if content is None else json.dumps(content).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._client.generic(method, ROOT + path, body, "application/json", headers=named)

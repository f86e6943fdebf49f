"""Asking the Hub in somebody's name. Every question ends in seconds, and none is asked where the switch says offline.

Only the token of the person who asks is ever sent: never one that this machine's user has saved.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal, Self

import httpx2
from django.conf import settings
from django.contrib.auth.models import User
from huggingface_hub import HfApi, ModelInfo, get_session, hf_hub_url, hf_raise_for_status
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

from webapp.accounts.hub import token_of
from webapp.hub.errors import HubError, offline, plainly
from webapp.hub.names import Wanted

SECONDS: Final = 8.0
"""For which a page waits for a word of the Hub's, and half as long for a connection."""
PATIENT: Final = 30.0
"""The same where nobody waits."""
LOOK_SECONDS: Final = 20.0
"""For all of a small file."""


@dataclass(frozen=True)
class Asking:
    """Whoever asks, and how long they wait for an answer."""

    token: str | Literal[False]
    seconds: float = SECONDS

    @classmethod
    def of(cls, user: User, seconds: float = SECONDS) -> Self:
        """In a user's name, with their own token where they have given one."""
        return cls(token_of(user) or False, seconds)

    @property
    def timeout(self) -> httpx2.Timeout:
        """Of every question; the library's client has none of its own."""
        return httpx2.Timeout(self.seconds, connect=self.seconds / 2)

    @property
    def api(self) -> HfApi:
        """The library's own client, for what it asks with a time limit of its own."""
        return HfApi(endpoint=settings.HUB_URL, token=self.token)

    def models(self, query: Mapping[str, str | Sequence[str]]) -> list[ModelInfo]:
        """What a search finds, as `/api/models` takes it. The library's own search asks five times more, for longer than anybody waits."""
        with self._plainly("the search"):
            answer = get_session().get(
                f"{settings.HUB_URL}/api/models", params=dict(query), headers=self._headers(), timeout=self.timeout
            )
            hf_raise_for_status(answer)
            return [ModelInfo(**one) for one in answer.json()]  # type: ignore[no-untyped-call]

    def model(self, wanted: Wanted) -> ModelInfo:
        """A model at a revision, with the exact sizes and hashes of its files; HubError when that cannot be had."""
        with self._plainly(str(wanted)):
            return self.api.model_info(
                wanted.repo, revision=wanted.revision or None, files_metadata=True, timeout=self.seconds
            )

    def check_access(self, repo: str) -> None:
        """HubError unless this person may have its files."""
        with self._plainly(repo):
            answer = get_session().get(
                f"{settings.HUB_URL}/api/models/{repo}/auth-check", headers=self._headers(), timeout=self.timeout
            )
            hf_raise_for_status(answer)

    def head(self, repo: str, commit: str, name: str, most: int) -> bytes:
        """The first bytes of a file, at most so many, in `LOOK_SECONDS` in all."""
        until, found = time.monotonic() + LOOK_SECONDS, bytearray()
        with self.file(repo, commit, name, f"bytes=0-{most - 1}") as answer:
            for block in answer.iter_bytes(64 * 1024):
                found += block
                if len(found) >= most:  # it does not know ranges
                    break
                if time.monotonic() > until:
                    raise HubError("unreachable", f"{name} of {repo} comes too slowly to look into it here.")
        return bytes(found[:most])

    @contextmanager
    def file(self, repo: str, commit: str, name: str, asked: str) -> Iterator[httpx2.Response]:
        """A range of a file, as it comes. The token stays with the Hub when another host has the bytes."""
        url = hf_hub_url(repo, name, revision=commit, endpoint=settings.HUB_URL)
        headers = {**self._headers(), "Range": asked, "Accept-Encoding": "identity"}
        with (
            self._plainly(repo),
            get_session().stream("GET", url, headers=headers, timeout=self.timeout, follow_redirects=True) as answer,
        ):
            hf_raise_for_status(answer)
            yield answer

    @contextmanager
    def _plainly(self, about: str) -> Iterator[None]:
        if settings.OFFLINE:
            raise offline()
        with plainly(about, bool(self.token)):
            yield

    def _headers(self) -> dict[str, str]:
        headers: dict[str, str] = build_hf_headers(token=self.token, library_name="progeny")
        return headers

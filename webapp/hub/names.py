"""What people call a model of the Hub: `org/name`, with `@revision` or without, `hf://` and pasted addresses. Asks nobody."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode

from django.conf import settings
from django.urls import reverse
from huggingface_hub import parse_hf_uri
from huggingface_hub.errors import HfUriError, HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from webapp.hub.errors import HubError

REPO: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
REVISION: Final = re.compile(r"[A-Za-z0-9_][\w.+-]*(/[A-Za-z0-9_][\w.+-]*){0,9}", re.ASCII)
COMMIT: Final = re.compile(r"[0-9a-f]{40}")
MAX_REVISION: Final = 200


@dataclass(frozen=True)
class Wanted:
    """A model repository, and a branch, tag, `refs/pr/N` or full commit of it; "" is its main branch."""

    repo: str
    revision: str = ""

    def __str__(self) -> str:
        return f"{self.repo}@{self.shown}" if self.revision else self.repo

    @property
    def author(self) -> str:
        return self.repo.partition("/")[0]

    @property
    def name(self) -> str:
        return self.repo.partition("/")[2]

    @property
    def shown(self) -> str:
        """The revision, a commit by its first digits."""
        return self.revision[:7] if COMMIT.fullmatch(self.revision) else self.revision

    @property
    def url(self) -> str:
        """Its page on the Hub."""
        at = f"/tree/{quote(self.revision, safe='')}" if self.revision else ""
        return f"{settings.HUB_URL}/{self.repo}{at}"

    @property
    def page(self) -> str:
        """Its page here."""
        query = f"?{urlencode({'revision': self.revision})}" if self.revision else ""
        return reverse("hub:model", args=self.repo.split("/")) + query


def wanted(repo: str, revision: str = "") -> Wanted:
    """What these two words name; HubError when they cannot be the name of a model."""
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise HubError("name", f"{repo[:MAX_REVISION]!r} cannot be a model of the Hub; expected org/name") from error
    if not REPO.fullmatch(repo):
        raise HubError("name", f"{repo[:MAX_REVISION]!r} cannot be a model of the Hub; expected org/name")
    if revision and (len(revision) > MAX_REVISION or ".." in revision or not REVISION.fullmatch(revision)):
        raise HubError(
            "name",
            f"{revision[:MAX_REVISION]!r} cannot be a revision; expected a branch, a tag, refs/pr/N or a commit of 40 digits",
        )
    return Wanted(repo, revision)


def pasted(text: str) -> Wanted | None:
    """What a text names, when it is an address, `hf://` or has an `@`; None for words that are to be looked for.

    HubError for a name of something else, such as a data set.
    """
    if re.match(r"(https?|hf)://", text):
        try:
            found = parse_hf_uri(text, endpoint=settings.HUB_URL)
        except HfUriError as error:
            raise HubError("name", f"{text[:MAX_REVISION]!r} is not the address of a model on the Hub") from error
        if found.type != "model":
            raise HubError("name", f"{found.id} is a {found.type} on the Hub; expected a model")
        return wanted(found.id, found.revision or "")
    repo, at, revision = text.partition("@")
    return wanted(repo, revision) if at else None

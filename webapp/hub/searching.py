"""Looking for models on the Hub: what an address asks for, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.contrib.auth.models import User
from django.http import QueryDict
from huggingface_hub import ModelInfo

from merging.families import families
from merging.headers import N_BYTES
from webapp.hub.client import Asking
from webapp.hub.models import Source
from webapp.hub.names import REPO, Wanted
from webapp.library.licences import Licence, licence_of
from webapp.library.listing import NUMBER
from webapp.library.models import Parent

N_SHOWN: Final = 30
SIZES: Final[Mapping[str, tuple[str, str]]] = {
    "": ("Any size", ""),
    "tiny": ("Up to 1 B", "max:1B"),
    "small": ("1 to 4 B", "min:1B,max:4B"),
    "medium": ("4 to 9 B", "min:4B,max:9B"),
    "large": ("9 to 20 B", "min:9B,max:20B"),
    "huge": ("More than 20 B", "min:20B"),
}
SORTS: Final[Mapping[str, str]] = {
    "downloads": "Most fetched",
    "likes": "Most liked",
    "lastModified": "Newest change",
    "createdAt": "Newest",
}
LICENCES: Final = ("apache-2.0", "mit", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "llama2", "llama3.1", "gemma")
PROPERTIES: Final = (
    "author", "downloads", "likes", "lastModified", "gated", "private", "safetensors", "tags", "config", "cardData",
)  # fmt: skip
BYTES: Final[Mapping[str, int]] = {**N_BYTES, "F8_E4M3": 1, "F8_E5M2": 1}


@dataclass(frozen=True)
class Asked:
    """What is looked for. `like` is a parent here whose architecture the models shall have."""

    q: str = ""
    author: str = ""
    size: str = ""
    licence: str = ""
    sort: str = "downloads"
    is_open: bool = False
    like: Parent | None = None

    @classmethod
    def read(cls, query: QueryDict, user: User) -> Asked:
        """What an address says, as far as it can be understood."""

        def text(name: str, most: int = 100) -> str:
            return "".join(letter for letter in query.get(name, "") if letter.isprintable()).strip()[:most]

        like = query.get("like", "")
        parents = Parent.objects.visible_to(user)
        return cls(
            text("q", 300),
            text("author"),
            size if (size := query.get("size", "")) in SIZES else "",
            licence if (licence := query.get("licence", "")) in LICENCES else "",
            sort if (sort := query.get("sort", "")) in SORTS else "downloads",
            query.get("open") == "1",
            parents.filter(pk=int(like)).first() if NUMBER.fullmatch(like) else None,
        )

    @property
    def query(self) -> dict[str, str | Sequence[str]]:
        """As the Hub takes it."""
        tags = [f"license:{self.licence}"] if self.licence else []
        tags += [self.like.model_type] if self.like else []
        said: dict[str, str | Sequence[str]] = {
            "search": self.q,
            "author": self.author,
            "filter": tags,
            "num_parameters": SIZES[self.size][1],
            "gated": "false" if self.is_open else "",
            "sort": self.sort,
            "pipeline_tag": "text-generation" if not self.q else "",
        }
        return {name: value for name, value in said.items() if value} | {
            "limit": str(N_SHOWN),
            "expand": list(PROPERTIES),
        }


@dataclass(frozen=True)
class Found:
    """A model as a search tells of it. `here` is the one of that name in the library, if there is one."""

    wanted: Wanted
    downloads: int
    likes: int
    updated: datetime | None
    is_gated: bool
    n_parameters: int | None
    n_bytes: int | None
    model_type: str
    licence: str
    is_usable: bool
    here: Parent | None

    @property
    def terms(self) -> Licence:
        return licence_of(self.licence)

    @property
    def is_listed(self) -> bool:
        return self.model_type in families


def search(asking: Asking, asked: Asked, user: User) -> list[Found]:
    """The models that the Hub finds, at most `N_SHOWN`; HubError when it finds nothing out."""
    found = [about for about in asking.models(asked.query) if REPO.fullmatch(about.id)]
    here = here_of(user, [about.id for about in found])
    return [_found(about, here.get(about.id)) for about in found]


def here_of(user: User, repos: Sequence[str]) -> dict[str, Parent]:
    """Which of these models this person has in the library, the newest commit of each."""
    parents = Parent.objects.visible_to(user)
    rows = Source.objects.filter(repo__in=repos, parent__in=parents).order_by("fetched")
    rows = rows.select_related("parent").defer("parent__inventory")
    return {row.repo: row.parent for row in rows}


def _found(about: ModelInfo, here: Parent | None) -> Found:
    weights, tags = about.safetensors, about.tags or []
    n_bytes = sum(n * BYTES.get(dtype, 4) for dtype, n in weights.parameters.items()) if weights else None
    licences = [tag.removeprefix("license:") for tag in tags if tag.startswith("license:")]
    return Found(
        wanted=Wanted(about.id),
        downloads=about.downloads or 0,
        likes=about.likes or 0,
        updated=about.last_modified,
        is_gated=bool(about.gated),
        n_parameters=weights.total if weights else None,
        n_bytes=n_bytes,
        model_type=str((about.config or {}).get("model_type") or "")[:80],
        licence=licences[0][:80] if licences else "",
        is_usable="safetensors" in tags and "custom_code" not in tags,
        here=here,
    )

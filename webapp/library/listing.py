"""The list of models as an address asks for it: what is looked for, of which architecture, in which order, on which page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from django.contrib.auth.models import User
from django.core.paginator import Page, Paginator
from django.db.models import Q
from django.http import QueryDict

from webapp.library.models import Parent

N_ON_A_PAGE: Final = 50
MAX_DIGITS: Final = 9
NUMBER: Final = re.compile(rf"[0-9]{{1,{MAX_DIGITS}}}")
"""A row's, as addresses name it."""
SORTS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "": ("Oldest first", ("pk",)),
    "new": ("Newest first", ("-pk",)),
    "name": ("By name", ("name", "pk")),
    "large": ("Largest first", ("-n_parameters", "pk")),
    "small": ("Smallest first", ("n_parameters", "pk")),
}


@dataclass(frozen=True)
class Asked:
    """`q` are words that a name, folder or licence holds; `chosen` the numbers of models whose fit is asked for."""

    q: str
    kind: str
    sort: str
    page: str
    chosen: tuple[int, ...]

    @classmethod
    def read(cls, query: QueryDict) -> Asked:
        """What an address says, as far as it can be understood."""
        numbers = [int(one) for one in query.getlist("model") if NUMBER.fullmatch(one)]
        sort = query.get("sort", "")
        return cls(
            query.get("q", "").replace("\x00", "").strip()[:200],
            query.get("kind", "").replace("\x00", "")[:80],
            sort if sort in SORTS else "",
            page if (page := query.get("page", "1")).isdecimal() and len(page) <= MAX_DIGITS else "1",
            tuple(dict.fromkeys(numbers)),
        )

    def address(self, **changes: object) -> str:
        """The same with changes, as the query of an address; what is usual is left out."""
        page = "" if self.page == "1" else self.page
        said = {"q": self.q, "kind": self.kind, "sort": self.sort, "page": page} | changes
        pairs = [(name, value) for name, value in said.items() if value]
        return "?" + urlencode([*pairs, *(("model", pk) for pk in self.chosen)])

    def models(self, user: User) -> Page[Parent]:
        """The page of models that is asked for; the last one where there are fewer."""
        rows = Parent.objects.visible_to(user)
        for word in self.q.split():
            rows = rows.filter(Q(name__icontains=word) | Q(folder__icontains=word) | Q(licence__icontains=word))
        if self.kind:
            rows = rows.filter(model_type=self.kind)
        return Paginator(rows.order_by(*SORTS[self.sort][1]), N_ON_A_PAGE).get_page(self.page)


def kinds_of(user: User) -> list[str]:
    """The architectures of the models that one may choose."""
    return list(Parent.objects.visible_to(user).order_by("model_type").values_list("model_type", flat=True).distinct())

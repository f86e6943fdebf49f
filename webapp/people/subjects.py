"""Which object an address names, what it is called and whose it is, for the trail: asked before anything happens to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from django.contrib.auth.models import User
from django.db.models import Manager

from webapp.api.models import Token
from webapp.exports.models import Export, Push
from webapp.library.models import Benchmark, Parent
from webapp.runs.models import Run
from webapp.sharing.models import Project


@dataclass(frozen=True)
class Subject:
    """An object of the trail; see `models.Act`."""

    kind: str
    key: str = ""
    name: str = ""
    owner: int | None = None


def subject_of(parts: Mapping[str, Any]) -> Subject | None:
    """What the parts of an address name; None where they name nothing."""
    for part, look in LOOKS.items():
        if part in parts:
            return look(parts[part])
    return None


def account(user: User) -> Subject:
    """Somebody's own account."""
    return Subject("account", str(user.pk), user.get_username(), user.pk)


def _named(kind: str, rows: Manager[Any], key: Any) -> Subject:
    """A row with a name and an owner."""
    found = rows.filter(pk=key).values_list("name", "owner_id").first()
    return Subject(kind, str(key), *(found or ()))


def _export(key: Any) -> Subject:
    rows = Export.objects.filter(pk=key).values_list("candidate__run__name", "candidate__name", "owner_id")
    run, candidate, owner = rows.first() or ("", "", None)
    return Subject("export", str(key), f"{run} {candidate}".strip()[:200], owner)


def _account(key: Any) -> Subject:
    found = User.objects.filter(pk=key).first()
    return account(found) if found else Subject("account", str(key))


def _push(key: Any) -> Subject:
    found = Push.objects.filter(pk=key).values_list("export", flat=True).first()
    return _export(found) if found else Subject("export")


def _worker(key: Any) -> Subject:
    return Subject("worker", str(key)[:200], str(key)[:200])


LOOKS: Final[dict[str, Callable[[Any], Subject]]] = {
    "export_id": _export,
    "push_id": _push,
    "user_id": _account,
    "token_id": partial(_named, "token", Token.objects),
    "run_id": partial(_named, "run", Run.objects),
    "project_id": partial(_named, "project", Project.objects),
    "parent_id": partial(_named, "model", Parent.objects),
    "benchmark_id": partial(_named, "benchmark", Benchmark.objects),
    "worker": _worker,
}
"""By the name that routes give to the part; the first that an address has."""

"""Fetching models of the Hub: who asks for one, and what the process does that a worker starts for it.

A page only asks and shows. The process looks at the model, fetches what is needed and not here, checks every file by its hash, and adds the
model to the library. Whatever ends it, files that have begun to come stay, and the next one goes on where they end.
"""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from merging.errors import MergingError, RoomError
from merging.folders import DISK_FULL
from webapp.hub.client import PATIENT, Asking
from webapp.hub.errors import HubError
from webapp.hub.looks import Look, look
from webapp.hub.models import Download, Source
from webapp.hub.names import Wanted
from webapp.hub.places import Place, common_cache, own_cache, room
from webapp.hub.transfers import Heard, Stopped, fetch_file
from webapp.leases import UNDER_WAY
from webapp.library import actions
from webapp.library.models import Parent
from webapp.masking import masked
from webapp.quotas import QuotaError, hold
from webapp.system.checks import RESERVE_BYTES

N_AT_ONCE = 20
"""Fetches that one user may have under way; a worker sees to one at a time."""


@transaction.atomic
def request_download(owner: User, wanted: Wanted) -> Download:
    """Ask for a model, or go on with it; what is under way already is not begun twice. QuotaError when that is too many."""
    hold(owner)
    mine = Download.objects.filter(owner=owner)
    same = mine.filter(repo=wanted.repo, revision=wanted.revision)
    same.exclude(status__in=UNDER_WAY).delete()
    if row := same.first():
        return row
    if mine.filter(status__in=UNDER_WAY).count() >= N_AT_ONCE:
        raise QuotaError(
            f"{N_AT_ONCE} models at a time are all that one may fetch: wait for one of yours, or cancel it"
        )
    return Download.objects.create(owner=owner, repo=wanted.repo, revision=wanted.revision)


@transaction.atomic
def go_on(download: Download) -> Download:
    """Ask again for what was paused or failed, at the commit that was begun. QuotaError as by `request_download`."""
    wanted, owner = Wanted(download.repo, download.commit or download.revision), download.owner
    download.delete()
    return request_download(owner, wanted)


def pause(download: Download) -> None:
    """End it within seconds, and keep what has come."""
    held = Download.objects.filter(pk=download.pk, status__in=UNDER_WAY)
    held.update(status="dropped", lease_until=None, finished=Now(), stage="")


def cancel(download: Download) -> None:
    """Take it back; what it has begun to fetch and nobody else waits for is removed. A model that came of it stays."""
    commit, owner = download.commit, download.owner
    download.delete()
    if (
        commit
        and not Download.objects.filter(repo=download.repo, commit=commit, status__in=(*UNDER_WAY, "dropped")).exists()
    ):
        for cache in (common_cache(), own_cache(owner)):
            for part in Place(cache, download.repo).parts():
                part.unlink(missing_ok=True)


def carry_out(download_id: int, token: int) -> None:
    """What the process of a claimed request does, whatever comes of it; nothing is written when the claim is lost."""
    held = Download.objects.filter(pk=download_id, status="leased", lease_token=token)
    row = held.select_related("owner").first()
    if row is None:
        return
    try:
        parent = _fetched(row, held)
        held.update(status="done", parent=parent, finished=Now(), lease_until=None, stage="")
    except Stopped:
        return
    except HubError as error:
        fail(held, error.kind, str(error))
    except MergingError as error:
        fail(held, "disk" if isinstance(error, RoomError) else "unusable", str(error))
    except OSError as error:
        fail(held, "disk", _of_disk(error))


def fail(held: QuerySet[Download], kind: str, sentence: str) -> None:
    """It cannot be done, and why."""
    held.update(
        status="failed", failure_kind=kind, failure=masked(sentence), finished=Now(), lease_until=None, stage=""
    )


def place_of(owner: User, found: Look) -> Place:
    """Where its files go: where the commit is already, or where it may be seen by whom the Hub gives it to."""
    common = Place(common_cache(), found.wanted.repo)
    if found.is_open or common.is_whole(found.commit):
        return common
    return Place(own_cache(owner), found.wanted.repo)


def _fetched(row: Download, held: QuerySet[Download]) -> Parent:
    """The model in the library, with all its files here."""
    asking = Asking.of(row.owner, PATIENT)
    heard = _Told(held)
    try:
        found = look(asking, row.wanted)
    except HubError as error:
        if error.kind != "offline" or (known := _known(row)) is None:
            raise
        heard.stage("adding it to the library")
        return _added(row.owner, *known, licence="", base_models=())
    if not found.may_read:
        raise HubError("gated", found.access_sentence)
    if found.refusals:
        raise HubError("unusable", " ".join(found.refusals))
    place = place_of(row.owner, found)
    with place.kept_still():
        here = found.n_here(place)
    heard.begin(found, here)
    if (free := room(place.cache)) < found.n_bytes - here + RESERVE_BYTES:
        raise RoomError(str(place.cache), found.n_bytes - here + RESERVE_BYTES, free)
    for file in found.files:
        fetch_file(asking, found, file, place, heard)
    if row.revision != found.commit:
        place.remember(row.revision or "main", found.commit)
    heard.stage("adding it to the library: every byte is read once more")
    licence = f"{found.licence}, {found.licence_name}" if found.licence_name else found.licence
    return _added(row.owner, place, found.commit, licence=licence, base_models=found.base_models)


def _known(row: Download) -> tuple[Place, str] | None:
    """Where a model lies that was fetched before, and its commit; None when it is not here. In the cache of all only for staff:
    offline, nobody can say who else may have it.
    """
    caches = [own_cache(row.owner), *([common_cache()] if row.owner.is_staff else [])]
    for place in (Place(cache, row.repo) for cache in caches):
        commit = place.commit_of(row.revision)
        if commit and place.is_whole(commit):
            return place, commit
    return None


def _added(owner: User, place: Place, commit: str, licence: str, base_models: tuple[str, ...]) -> Parent:
    """The model as a parent that this owner may choose, with where it came from."""
    folder = place.snapshot(commit)
    others = Parent.objects.filter(Q(owner=owner) | Q(owner=None), name=place.repo).exclude(folder=str(folder))
    name = f"{place.repo}@{commit[:7]}" if others.exists() else place.repo
    parent = actions.register_parent(owner, folder, name)
    about = {"repo": place.repo, "commit": commit, "licence": licence[:200], "base_models": list(base_models)}
    Source.objects.update_or_create(parent=parent, defaults=about)
    return parent


class _Told(Heard):
    """Writes how far it is into the row, as long as that is held; Stopped when it is not."""

    def __init__(self, held: QuerySet[Download]) -> None:
        super().__init__()
        self._held = held

    def begin(self, found: Look, here: int) -> None:
        """What there is to do is known."""
        self.n_done = here
        self._write(
            commit=found.commit,
            n_files=len(found.files),
            n_bytes=found.n_bytes,
            n_done=here,
            n_before=here,
            begun=Now(),
            stage="",
        )

    def write(self, stage: str) -> None:
        self._write(n_done=self.n_done, stage=stage[:300])

    def _write(self, **values: object) -> None:
        if self._held.update(**values) == 0:
            raise Stopped


def _of_disk(error: OSError) -> str:
    if error.errno in DISK_FULL:
        return "The disk is full. Remove what is not needed, and go on: what has come stays."
    return f"The files cannot be kept here: {error.strerror or error}."

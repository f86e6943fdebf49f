"""Removing the files of a model that was fetched, to make room: what would go, who needs it still, and how it goes past any kill.

    snapshots/<commit>  --renamed-->  removed/<commit>.<model>  --the row says so, committed-->  its blobs that no other commit has, itself

The row stays, with its runs and scores, and fetched again at its commit the model is what it was. What lies elsewhere than in the data
folder is not removed: a folder that was registered, or a cache that other programs use, too.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from filelock import Timeout

from merging.files import BLOBS, SNAPSHOTS
from webapp.exports.models import Export
from webapp.hub.looks import DIGEST
from webapp.hub.models import Download, Similarity, Source
from webapp.hub.places import PREFIX, REMOVED, Place, common_cache, own_cache
from webapp.leases import UNDER_WAY
from webapp.library.models import Parent
from webapp.quotas import hold
from webapp.runs.models import LIVE, Evaluation, Run
from webapp.sharing.access import runs_of
from webapp.trials.models import Trial

PATIENCE_SECONDS: Final = 3.0
"""For somebody who is just removing, or beginning to fetch, another commit of the same model."""
N_NAMED: Final = 3
BUSY: Final = "Another commit of this model is just being removed or fetched. Try again in a minute."
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Removal:
    """The files of a fetched model: `place` has them at a commit of `source`."""

    source: Source
    place: Place

    @property
    def parent(self) -> Parent:
        return self.source.parent

    @property
    def snapshot(self) -> Path:
        return self.place.snapshot(self.source.commit)

    @cached_property
    def n_bytes(self) -> int:
        """How many would be free: other commits keep what they share with this one."""
        return sum(_size(self.place.blob(name)) for name in _blobs(self.snapshot) - _kept(self.place, self.snapshot))

    @cached_property
    def whys_not(self) -> list[str]:
        """What needs the files now, as sentences for their owner; it bars the removal."""
        return [*_of_runs(self.parent), *_of_work(self.parent), *_of_people(self)]

    def past_runs(self) -> QuerySet[Run]:
        """The runs that the owner may see, are over, and have this model; newest first, each with whether a model of it `is_built`."""
        built = Export.objects.filter(candidate__run=OuterRef("pk"), status="done", kind="folder")
        return (
            runs_of(_owner(self.parent))
            .filter(_uses(self.parent))
            .exclude(state__in=LIVE)
            .annotate(is_built=Exists(built))
        )


def removal_of(parent: Parent, user: User) -> Removal | None:
    """What this person could remove; None where the model is not theirs, was not fetched, or does not lie in the data folder."""
    source = Source.objects.select_related("parent__owner").filter(parent=parent, parent__owner=user).first()
    return _removal(source) if source else None


def removals_of(user: User) -> list[Removal]:
    """All that this person fetched and that is here, in the order in which it came."""
    sources = Source.objects.filter(parent__owner=user, parent__removed_at=None).select_related("parent__owner")
    found = [_removal(source) for source in sources.defer("parent__inventory").order_by("pk")]
    return [one for one in found if one]


def remove(removal: Removal) -> list[str]:
    """Remove the files, and say so in the row; or why they were kept."""
    try:
        with removal.place.kept_still(PATIENCE_SECONDS):
            return _remove(removal)
    except Timeout:
        return [BUSY]


def finish_removals() -> int:
    """End what a kill has cut: a snapshot whose row says that it is removed goes; one whose row does not comes back. Returns how many."""
    found = [path for cache in _our_caches() for path in cache.glob(f"{PREFIX}*/{REMOVED}/*")]
    return sum(_finish(path) for path in found)


def our_models() -> Iterator[Path]:
    """The folders of models in the data folder, whose files Progeny may remove."""
    for cache in _our_caches():
        yield from cache.glob(f"{PREFIX}*")


def is_ours(folder: Path) -> bool:
    """Whether a folder really lies in the Hub's part of the data folder, whatever links lead to it."""
    return folder.resolve().is_relative_to((Path(settings.DATA_DIR) / "hub").resolve())


def _remove(removal: Removal) -> list[str]:
    parent, mark = removal.parent, f"{removal.source.commit}.{removal.source.parent_id}"
    moved = removal.place.removed(mark)
    with transaction.atomic():
        hold(_owner(parent))  # whoever launches a run for this person waits, and then looks whether its models are here
        Parent.objects.select_for_update().get(pk=parent.pk)
        if whys := Removal(removal.source, removal.place).whys_not:
            return whys
        moved.parent.mkdir(exist_ok=True)
        removal.snapshot.replace(moved)
        Parent.objects.filter(pk=parent.pk).update(removed_at=Now())
    _delete(removal.place, moved)
    return []


def _finish(moved: Path) -> bool:
    """Whether there was something to do, and nobody is at it."""
    folder = moved.parent.parent
    place = Place(folder.parent, folder.name.removeprefix(PREFIX).replace("--", "/", 1))
    commit, _, number = moved.name.partition(".")
    try:
        with place.kept_still(0):
            snapshot = place.snapshot(commit)
            is_here = number.isdecimal() and Parent.objects.filter(pk=int(number), removed_at=None).exists()
            if is_here and moved.is_dir() and not snapshot.exists():
                moved.replace(snapshot)
                log.warning("the files of model %s are back: their removal was cut before it was decided", number)
            elif moved.is_dir():
                _delete(place, moved)
            return True
    except Timeout:
        return False


def _delete(place: Place, moved: Path) -> None:
    """The folder goes last, because it names the blobs."""
    for name in _blobs(moved) - _kept(place, moved):
        place.blob(name).unlink(missing_ok=True)
    shutil.rmtree(moved, ignore_errors=True)


def _removal(source: Source) -> Removal | None:
    """Where a model lies, if that is where we fetch to, and it is here."""
    for cache in (common_cache(), own_cache(_owner(source.parent))):
        place = Place(cache, source.repo)
        snapshot = place.snapshot(source.commit)
        if (
            str(snapshot) == source.parent.folder
            and snapshot.is_dir()
            and is_ours(snapshot)
            and is_ours(place.blob(""))
        ):
            return Removal(source, place)
    return None


def _our_caches() -> list[Path]:
    own = sorted((Path(settings.DATA_DIR) / "hub").glob("user-*/hub"))
    return [cache for cache in dict.fromkeys((common_cache(), *own)) if cache.is_dir() and is_ours(cache)]


def _blobs(snapshot: Path) -> set[str]:
    """The names of the blobs that a snapshot has."""
    links = (path for path in _files(snapshot) if path.is_symlink())
    targets = (Path(os.readlink(link)) for link in links)
    return {path.name for path in targets if path.parent.name == BLOBS and DIGEST.fullmatch(path.name)}


def _kept(place: Place, leaving: Path) -> set[str]:
    """What all other commits have."""
    others = (path for path in place.folder.glob(f"{SNAPSHOTS}/*") if path != leaving)
    return {name for snapshot in others for name in _blobs(snapshot)}


def _files(folder: Path) -> Iterator[Path]:
    for root, _, names in os.walk(folder):
        yield from (Path(root, name) for name in names)


def _size(path: Path) -> int:
    return path.lstat().st_size if path.is_file() else 0


def _owner(parent: Parent) -> User:
    """Whatever was fetched was fetched by somebody."""
    if parent.owner is None:
        raise ValueError(f"{parent} has no owner and was not fetched")
    return parent.owner


def _uses(parent: Parent, prefix: str = "") -> Q:
    """Runs that have the folder as a parent or base model."""
    return Q(**{f"{prefix}config__parents__contains": [{"folder": parent.folder}]}) | Q(
        **{f"{prefix}config__base__folder": parent.folder}
    )


def _of_runs(parent: Parent) -> Iterator[str]:
    owner = _owner(parent)
    using = Run.objects.filter(_uses(parent), deleted_at=None)
    live = using.filter(state__in=LIVE)
    mine = list(runs_of(owner).filter(pk__in=live).values_list("name", flat=True))
    for name in mine[:N_NAMED]:
        yield f"The run “{name}” is not over, and its workers read these files. Wait for its end, or stop it."
    if len(mine) > N_NAMED:
        yield f"So do {len(mine) - N_NAMED} more of your runs."
    if live.count() > len(mine):
        yield "A run that you may not see is not over, and its workers read these files. Wait for its end."
    awaited = Run.objects.filter(_uses(parent, "sequel__"), sequel__run=None, sequel__called_off=False, deleted_at=None)
    for name in runs_of(owner).filter(pk__in=awaited).values_list("name", flat=True)[:N_NAMED]:
        yield f"The run that follows “{name}” has this model as a parent. Call it off first."
    probed = Evaluation.objects.filter(run__in=using.exclude(state__in=LIVE), status__in=UNDER_WAY)
    if probed.exists():
        yield "A model of a run that is over is just being probed. Wait until it has its score."
    if Export.objects.filter(candidate__run__in=using, status__in=UNDER_WAY).exists():
        yield "A model that is made from this one is just being built. Wait until it is done."


def _of_work(parent: Parent) -> Iterator[str]:
    folder = parent.folder
    tried = Q(recipe__parents__contains=[{"folder": folder}]) | Q(recipe__base__folder=folder)
    if Trial.objects.filter(tried, status__in=UNDER_WAY).exists():
        yield "It is just being tried. Wait for the trial, or forget it."
    of_folder = Q(base__folder=folder) | Q(first__folder=folder) | Q(second__folder=folder)
    if Similarity.objects.filter(of_folder, status__in=UNDER_WAY).exists():
        yield "It is just being compared with another model. Wait for that."


def _of_people(removal: Removal) -> Iterator[str]:
    parent = removal.parent
    if Download.objects.filter(repo=removal.source.repo, status__in=UNDER_WAY).exists():
        yield "This model is just being fetched, by you or somebody else. Wait for that, or cancel yours."
    others = Parent.objects.filter(folder=parent.folder, hidden_at=None, removed_at=None).exclude(pk=parent.pk)
    if others.exists():
        yield "Somebody else here has fetched it, too, and chooses from the same files. Take it off your list instead."

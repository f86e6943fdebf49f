"""Fetching tasks of lm-eval's harness: who asks for one, and what the process does that a worker starts for it.

A page only asks and shows. Fetching may take minutes, needs a network or the data set on this machine, and is done once:
afterwards the benchmark works from its folder.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from uuid import uuid4

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from merging.benchmarks.harness import HarnessFolder, folder_of, freeze
from merging.benchmarks.sealed import new_key
from merging.errors import AccessError, BenchmarkError, MergingError
from merging.harness.index import Index, harness_version, make_index, read_index
from webapp.accounts.hub import token_of
from webapp.leases import UNDER_WAY
from webapp.library import actions
from webapp.library.models import Benchmark, Fetch
from webapp.masking import masked

WITHOUT_TOKEN: Final = (
    "If one has to accept its terms on the Hub, do, give a token of yours under Account, and ask again."
)


def index_folder() -> Path:
    """Where the list of the harness's tasks is kept."""
    return Path(settings.DATA_DIR) / "lm-eval"


def known_tasks() -> Index | None:
    """The list of the harness's tasks; None until somebody has asked for it."""
    try:
        return read_index(index_folder())
    except BenchmarkError:
        return None


def data_set_folder() -> str:
    """Where data sets from the Hub are kept on this machine, as its workers see it."""
    return os.environ.get("HF_HOME", "~/.cache/huggingface")


def request_fetch(owner: User, task: str, metric: str, seed: int = 0) -> Fetch:
    """Ask for a task under one of its metrics, with its splits dealt by a seed; what is under way already is not begun twice.

    MergingError for a name that is not on the list, a task that cannot be a benchmark and a metric that it does not have.
    """
    entry = read_index(index_folder()).get(task)
    if metric not in entry.metrics:
        raise BenchmarkError(
            f"{task} has no metric {metric!r} that can be a score; expected {', '.join(entry.metrics)}"
        )
    return _requested(owner, task, metric, seed)


def request_list(owner: User) -> Fetch:
    """Ask for the list of all tasks."""
    return _requested(owner, "", "", 0)


def fetch(owner: User, task: str, metric: str, seed: int = 0) -> Benchmark:
    """Freeze a task, if nobody has before, and add it. Blocks for as long as it takes; MergingError when it cannot be had.

    What the Hub does not give to everybody is asked for again with the owner's token. Then the frozen task and the data
    set on this machine are for this owner only: that somebody else has access is for the Hub to say.
    """
    try:
        return _fetched(owner, task, metric, seed, _path(task, metric, seed), {})
    except AccessError as error:
        if (token := token_of(owner)) is None:
            raise AccessError(f"{error} {WITHOUT_TOKEN}") from error
        return _fetched(owner, task, metric, seed, _path(task, metric, seed, owner), _as_user(owner, token))


def carry_out(fetch_id: int, token: int) -> None:
    """What the process of a claimed request does, whatever comes of it; nothing is written when the claim is lost."""
    held = Fetch.objects.filter(pk=fetch_id, status="leased", lease_token=token)
    wanted = held.select_related("owner").first()
    if wanted is None:
        return
    try:
        if wanted.task:
            if known_tasks() is None:
                make_index(index_folder())
            end(held, fetch(wanted.owner, wanted.task, wanted.metric, wanted.seed))
        else:
            make_index(index_folder())
            end(held)
    except (MergingError, OSError) as error:
        fail(held, "fetch", str(error))


def end(held: QuerySet[Fetch], benchmark: Benchmark | None = None) -> None:
    """It is done."""
    held.update(status="done", benchmark=benchmark, finished=Now(), lease_until=None)


def fail(held: QuerySet[Fetch], kind: str, sentence: str) -> None:
    """It cannot be done, and why."""
    held.update(status="failed", failure_kind=kind, failure=masked(sentence), finished=Now(), lease_until=None)


@transaction.atomic
def _requested(owner: User, task: str, metric: str, seed: int) -> Fetch:
    User.objects.select_for_update(no_key=True).get(pk=owner.pk)
    same = Fetch.objects.filter(owner=owner, task=task, metric=metric, seed=seed)
    same.exclude(status__in=UNDER_WAY).delete()
    return same.first() or Fetch.objects.create(owner=owner, task=task, metric=metric, seed=seed)


def _fetched(owner: User, task: str, metric: str, seed: int, path: Path, environment: Mapping[str, str]) -> Benchmark:
    """Freeze a task at `path`, unless it is there, and add it."""
    name = f"{task}, {metric}" + (f", seed {seed}" if seed else "")
    if frozen := _known(path):
        return actions.keep_task(owner, name, *frozen)
    beside, key = path.with_name(f".{path.name}.{uuid4().hex}.part"), _key_for(path) or new_key()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        freeze(task, metric, beside, cache=index_folder(), seed=seed, key=key, environment=environment)
        with transaction.atomic():
            return _kept(owner, name, beside, path, key)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _as_user(owner: User, token: str) -> dict[str, str]:
    """What makes the Hub's library ask as this user, and keep what it is given apart from what everybody may have."""
    home = Path(settings.DATA_DIR) / "hub" / f"user-{owner.pk}"
    places = {"HF_HOME": home, "HF_HUB_CACHE": home / "hub", "HF_DATASETS_CACHE": home / "datasets"}
    return {"HF_TOKEN": token, **{name: str(place) for name, place in places.items()}}


def _path(task: str, metric: str, seed: int, owner: User | None = None) -> Path:
    """One folder for one task, metric and seed of this version of the harness: an owner's, or everybody's."""
    exact = f"{task}\0{metric}\0{seed}\0{harness_version()}" + (f"\0{owner.pk}" if owner else "")
    name = f"{re.sub('[^0-9A-Za-z_-]+', '-', task)[:60]}-{hashlib.sha256(exact.encode()).hexdigest()[:12]}"
    return Path(settings.DATA_DIR) / "benchmarks" / name


def _key_for(path: Path) -> str | None:
    rows = Benchmark.objects.filter(spec__harness__path=str(path)).exclude(key="")
    return rows.values_list("key", flat=True).first()


def _known(path: Path) -> tuple[HarnessFolder, str] | None:
    """The folder and its key, when it is there, whole, and somebody has the key."""
    key = _key_for(path)
    try:
        if key is None or not path.is_dir():
            return None
        folder = folder_of(path)
        folder.read(path.name, key)
    except BenchmarkError:
        return None
    return folder, key


def _kept(owner: User, name: str, beside: Path, path: Path, key: str) -> Benchmark:
    """Put what was frozen in its place, unless somebody was quicker."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [str(path)])
    if (frozen := _known(path)) is None:
        shutil.rmtree(path, ignore_errors=True)
        beside.rename(path)
        frozen = folder_of(path), key
    return actions.keep_task(owner, name, *frozen)

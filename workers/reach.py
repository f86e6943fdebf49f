"""What a worker can get at. The server's own has every file where the rows say; one that joined from another host has what came into its
data folder, takes no other work, and sees that the rest comes.

Recipes and questions keep the server's paths everywhere but on their way to the device.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from django.conf import settings

from merging.benchmarks import BenchmarkSpec
from merging.deaths import die_with_us
from merging.errors import MergingError
from merging.fingerprints import fingerprint
from merging.recipes import Parent, Recipe
from webapp.env import BASE_DIR
from webapp.store import demand, needs
from webapp.store.caches import Cache
from webapp.store.models import Stock
from webapp.store.needs import Need
from workers.failures import Failure
from workers.runtime import Abandoned

AGAIN_SECONDS: Final = 30.0
"""How long what could not be had, or could not be computed here, is left alone."""
MEGABYTE: Final = 10**6
log = logging.getLogger(__name__)


class NotHere(Abandoned):
    """Files that were here are not any more: the work goes back, as work that is not wanted here."""


class Reach:
    """Everything, where the rows say. `kind` is for `system.Worker.reach`; `trouble` says what cannot be had, `activity` what comes."""

    kind = ""
    is_elsewhere = False

    def __init__(self) -> None:
        self.trouble = ""
        self.activity: dict[str, object] = {}

    def runs(self) -> Sequence[UUID] | None:
        """Those whose files are here; None is all of them."""
        return None

    def trials(self) -> Sequence[UUID] | None:
        """The same of trials."""
        return None

    def folder(self, parent: Parent) -> str:
        """Where a model is here."""
        return parent.folder

    def spec(self, spec: BenchmarkSpec) -> BenchmarkSpec:
        """A benchmark where its questions are here."""
        return spec

    def recipe(self, value: dict[str, Any]) -> dict[str, Any]:
        """A recipe with the folders where its models are here."""
        return value

    def benchmark(self, value: dict[str, Any]) -> dict[str, Any]:
        """The same of a benchmark's JSON."""
        return value

    def disowns(self, failure: Failure, work: UUID, wanted: Iterable[Need]) -> bool:
        """Whether that work, a run or a trial, failed on this host's own account, and should be done by others."""
        return False

    def look(self) -> None:
        """See what is wanted and get it; called at every pulse."""

    def close(self) -> None:
        """Get nothing more."""


class Elsewhere(Reach):
    """On another host. What is wanted comes while other work is computed, one thing at a time, by a process of its own."""

    is_elsewhere = True

    def __init__(self, kind: str, data: Path, store: str) -> None:
        super().__init__()
        self.kind = kind
        self._cache, self._store = Cache(data), store
        self._process: subprocess.Popen[str] | None = None
        self._coming: Need | None = None
        self._troubles: dict[Need, tuple[float, str]] = {}
        self._distrusted: set[Need] = set()
        self._shunned: dict[UUID, float] = {}

    def runs(self) -> Sequence[UUID]:
        return self._complete(demand.of_runs())

    def trials(self) -> Sequence[UUID]:
        return self._complete(demand.of_trials())

    def folder(self, parent: Parent) -> str:
        [need] = needs.of_models([parent])
        return self._place(need)

    def spec(self, spec: BenchmarkSpec) -> BenchmarkSpec:
        wanted = needs.of_benchmarks([spec])
        return needs.moved(spec, self._place(wanted[0])) if wanted else spec

    def recipe(self, value: dict[str, Any]) -> dict[str, Any]:
        recipe = Recipe.from_json(value)
        parents = tuple(replace(parent, folder=self.folder(parent)) for parent in recipe.parents)
        base = replace(recipe.base, folder=self.folder(recipe.base)) if recipe.base else None
        return replace(recipe, parents=parents, base=base).to_json()

    def benchmark(self, value: dict[str, Any]) -> dict[str, Any]:
        return self.spec(BenchmarkSpec.from_json(value)).to_json()

    def disowns(self, failure: Failure, work: UUID, wanted: Iterable[Need]) -> bool:
        """What a person would have to mend is this host's: its copy of the files, or its disk. The server's may be well."""
        if failure.fault != "run":
            return False
        log.warning("given back, for others may be able to: %s", failure.sentence)
        self._shunned[work] = time.monotonic() + AGAIN_SECONDS
        for need in wanted:
            if self._cache.has(need) and not self._is_sound(need):
                self._troubles[need] = (time.monotonic(), failure.sentence)
                self._distrusted.add(need)
                self._cache.forget(need)
        return True

    def look(self) -> None:
        self._tend()
        missing = [need for need in demand.everything() if not self._cache.has(need)]
        self._troubles = {need: found for need, found in self._troubles.items() if need in missing}
        elsewhere = [need for need in missing if not self._lies_here(need)]
        if self._store:
            demand.ask(elsewhere)
        stocked = self._stocked(elsewhere) if self._store else {}
        self.trouble = self._told(missing, stocked)
        ready = [need for need in missing if need not in stocked or stocked[need].status == "done"]
        if self._process is None and (first := next((need for need in ready if not self._is_soon(need)), None)):
            self._begin(first)
        self.activity = self._seen(missing, stocked)

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _complete(self, wanted: dict[UUID, tuple[Need, ...]]) -> list[UUID]:
        now = time.monotonic()
        self._shunned = {work: until for work, until in self._shunned.items() if until > now}
        return [
            work for work, all_of in wanted.items() if work not in self._shunned and all(map(self._cache.has, all_of))
        ]

    def _place(self, need: Need) -> str:
        if not self._cache.has(need):
            raise NotHere(need.name)
        self._cache.use(need)
        return self._cache.path(need)

    def _is_sound(self, need: Need) -> bool:
        """Questions are compared when they are read, which they were."""
        if need.kind == "benchmarks":
            return False
        with suppress(MergingError):
            return fingerprint(self._cache.place(need), need.digest) == need.digest
        return False

    def _lies_here(self, need: Need) -> bool:
        """The server's path leads somewhere on this host, and nothing speaks against what is there."""
        return need not in self._distrusted and need not in self._troubles and os.path.exists(need.path)

    def _stocked(self, wanted: Collection[Need]) -> dict[Need, Stock]:
        rows = {
            (row.kind, row.digest): row for row in Stock.objects.filter(digest__in=[need.digest for need in wanted])
        }
        found = {need: rows.get((need.kind, need.digest)) for need in wanted}
        return {need: row for need, row in found.items() if row is not None}

    def _is_soon(self, need: Need) -> bool:
        """It could not be had just now, or another worker of this host fetches it."""
        failed = need in self._troubles and time.monotonic() - self._troubles[need][0] < AGAIN_SECONDS
        return failed or self._cache.is_fetched(need)

    def _begin(self, need: Need) -> None:
        distrusts = ["--from-store"] if need in self._distrusted or need in self._troubles else []
        words = [sys.executable, str(BASE_DIR / "manage.py"), "bring", *distrusts, "--"]
        words += [need.kind, need.digest, need.name, need.path]
        self._coming = need
        self._process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=die_with_us()
        )

    def _tend(self) -> None:
        """See to what has ended."""
        if self._process is None or self._coming is None or self._process.poll() is None:
            return
        process, need, self._process = self._process, self._coming, None
        _, said = process.communicate()
        if process.returncode == 0:
            self._troubles.pop(need, None)
            return
        words = [line for line in said.splitlines() if line.strip()]
        self._troubles[need] = (time.monotonic(), words[-1] if words else f"{need.name} could not be fetched")
        log.warning("%s", said.strip())

    def _told(self, missing: Sequence[Need], stocked: dict[Need, Stock]) -> str:
        """Why some of it does not come."""
        failed = [f"{need.name} is not in the store: {row.failure}" for need, row in stocked.items() if row.failure]
        own = [self._troubles[need][1] for need in missing if need in self._troubles]
        return " ".join(dict.fromkeys(f"{words.rstrip('.')}." for words in (*own, *failed)))

    def _seen(self, missing: Sequence[Need], stocked: dict[Need, Stock]) -> dict[str, object]:
        """What comes just now, or what is waited for."""
        if self._process is not None and (need := self._coming):
            if need not in stocked:
                return {"stage": "reading", "of": need.name}
            return _progress("fetching", need, self._cache.n_bytes_coming(need), stocked[need])
        for need in missing:
            if need in stocked and stocked[need].is_under_way:
                return _progress("waiting until the store has", need, stocked[need].n_done, stocked[need])
        return {}


def _progress(stage: str, need: Need, n_done: int, row: Stock) -> dict[str, object]:
    done, total = n_done // MEGABYTE, row.n_bytes // MEGABYTE
    return {"stage": stage, "of": need.name, "done": done, "total": total, "unit": "MB" if total else ""}


def of_this_worker() -> Reach:
    """As `join` has told it, or the server's own."""
    return Elsewhere(settings.REACH, Path(settings.DATA_DIR), settings.STORE) if settings.REACH else Reach()

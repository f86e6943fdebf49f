"""Do rows and files tell the same? Looks at all of them, changes nothing; each problem says what would mend it, and may be able to.

What `repair` does destroys nothing that cannot be made again: a model for download is built anew from its recipe, and a folder that no
row knows is moved aside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db import transaction

from merging.benchmarks import BenchmarkSpec
from merging.errors import BenchmarkError
from merging.folders import sha256_of
from webapp.exports.models import Export
from webapp.library.actions import what_changed
from webapp.library.models import Benchmark, Parent
from webapp.runs.invariants import deep_violations
from webapp.runs.models import LIVE, Run

ASIDE: Final = "unclaimed"
"""Folder of the data folder that takes what no row knows."""


@dataclass(frozen=True)
class Problem:
    """One thing that is not as it should be. `remedy` is what `repair` does or, where that is None, what a person is to do."""

    what: str
    sentence: str
    remedy: str
    repair: Callable[[], object] | None = None

    def __str__(self) -> str:
        return f"{self.what}: {self.sentence}"


def problems(with_hashes: bool = False) -> Iterator[Problem]:
    """All that is found, the ledger first. `with_hashes` reads every file in full, as long as that takes."""
    yield from _of_ledger()
    yield from _of_exports(with_hashes)
    yield from _of_benchmarks(with_hashes)
    yield from _of_runs()
    yield from _of_parents(with_hashes)
    yield from _unclaimed()


def _of_ledger() -> Iterator[Problem]:
    for violation in deep_violations():
        remedy = (
            "This is a defect of Progeny. Make a backup, report it, and restore an older backup if results are missing."
        )
        yield Problem("ledger", str(violation), remedy)


def _of_exports(with_hashes: bool) -> Iterator[Problem]:
    for export in Export.objects.filter(status="done").select_related("candidate__run").prefetch_related("files"):
        if faults := list(_faults(export, with_hashes)):
            what = f"export {export.pk} ({export.candidate.name} of {export.candidate.run.name})"
            yield Problem(what, "; ".join(faults), "build it again", partial(_build_again, export))


def _faults(export: Export, with_hashes: bool) -> Iterator[str]:
    if not export.folder.is_dir():
        yield "its folder is missing"
        return
    for file in export.files.all():
        path = export.folder / file.name
        if not path.is_file():
            yield f"{file.name} is missing"
        elif (n_bytes := path.stat().st_size) != file.n_bytes:
            yield f"{file.name} has {n_bytes} bytes, {file.n_bytes} are known"
        elif with_hashes and sha256_of(path) != file.sha256:
            yield f"the contents of {file.name} have changed"
    known = {file.name for file in export.files.all()}
    for path in sorted(export.folder.iterdir()):
        if path.name not in known:
            yield f"{path.name} does not belong there"


def _of_benchmarks(with_hashes: bool) -> Iterator[Problem]:
    remedy = "Restore its folder from a backup, or hide the benchmark and add it again."
    for row in Benchmark.objects.exclude(owner=None):
        if fault := _fault_of(row.spec, row.key if with_hashes else None):
            yield Problem(f"benchmark {row.name}", fault, remedy)


def _of_runs() -> Iterator[Problem]:
    """Live runs whose questions are gone; one row of the library may have been hidden, or have another folder, since."""
    for run in Run.objects.filter(state__in=LIVE, deleted_at=None):
        for spec in _specs(run.config):
            if fault := _fault_of(spec, None):
                remedy = "Pause it, restore the folder from a backup, and resume it."
                yield Problem(f"run {run.name} ({run.pk})", f"benchmark {spec['name']}: {fault}", remedy)


def _fault_of(spec: dict[str, Any], key: str | None) -> str:
    """What is wrong with the files of a benchmark; with its key, whether they are still the same. "" when nothing is."""
    try:
        found = BenchmarkSpec.from_json(spec)
        folder = _folder_of(found)
        if folder is not None and not folder.is_dir():
            return f"its folder {folder} is missing"
        if key and found.load(key).digest != found.digest:
            return "its questions have changed"
    except BenchmarkError as error:
        return str(error)
    return ""


def _of_parents(with_hashes: bool) -> Iterator[Problem]:
    remedy = "Put the model back where it was, or hide it on the Models page."
    for row in Parent.objects.exclude(owner=None).filter(hidden_at=None, removed_at=None):
        if not Path(row.folder).is_dir():
            yield Problem(f"model {row.name}", f"its folder {row.folder} is missing", remedy)
        elif with_hashes and (change := what_changed(row.folder, row.fingerprint)):
            yield Problem(f"model {row.name}", f"its files have changed: {change}", remedy)


def _unclaimed() -> Iterator[Problem]:
    """Finished folders without a row. Half-finished ones have a dot in their names, and workers remove them."""
    exports = {str(pk) for pk in Export.objects.values_list("pk", flat=True)}
    specs = list(Benchmark.objects.values_list("spec", flat=True))
    specs += [spec for config in Run.objects.values_list("config", flat=True) for spec in _specs(config)]
    benchmarks = {Path(place["path"]).name for spec in specs if (place := spec.get("sealed") or spec.get("harness"))}
    for name, claimed in (("exports", exports), ("benchmarks", benchmarks)):
        for path in sorted((Path(settings.DATA_DIR) / name).glob("*")):
            if path.is_dir() and "." not in path.name and path.name not in claimed:
                remedy = f"move it to {ASIDE}/{name}/ in the data folder"
                yield Problem(f"{name}/{path.name}", "no row knows this folder", remedy, partial(_move_aside, path))


@transaction.atomic
def _build_again(export: Export) -> None:
    """Pending anew under the same name: recipes are exact, so workers build the same model."""
    if Export.objects.select_for_update().filter(pk=export.pk, status="done").delete()[0]:
        wanted = {"candidate_id": export.candidate_id, "kind": export.kind, "variant": export.variant}
        Export.objects.create(pk=export.pk, owner_id=export.owner_id, **wanted)


def _move_aside(path: Path) -> None:
    target = Path(settings.DATA_DIR) / ASIDE / path.parent.name / path.name
    target.parent.mkdir(parents=True, exist_ok=True)
    path.rename(target)


def _specs(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The benchmarks of a run; one from before there could be several has a single one."""
    return [objective["benchmark"] for objective in config.get("objectives", [config])]


def _folder_of(spec: BenchmarkSpec) -> Path | None:
    place = spec.sealed or spec.harness
    return Path(place.path) if place else None

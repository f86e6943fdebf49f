"""One export from its claim to its files. A device builds models; all else is written here."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from django.utils.text import slugify

from merging.cards import CARD
from merging.errors import MergingError
from merging.folders import BuiltFile, complete_or_absent, with_sums
from merging.recipes import Recipe
from webapp.exports.cards import model_card
from webapp.exports.models import Export
from webapp.exports.papers import files_of
from webapp.runs.config import RunConfig
from workers import failures
from workers.events import ExportProgress
from workers.failures import Failed
from workers.ledger import exports
from workers.ledger.exports import ExportClaim
from workers.pipeline import Bench, Watch, explained, if_answered, persist
from workers.runtime import Abandoned, Message, Step

REPORT_SECONDS: Final = 0.5
N_PROMPTS: Final = 3
log = logging.getLogger(__name__)


def build(claim: ExportClaim, bench: Bench) -> None:
    """Make one export and publish its files, or write why not."""
    wanted = Export.objects.select_related("candidate__run").filter(pk=claim.export_id).first()
    if wanted is None:  # its owner removed it just now
        return
    try:
        files, checks = _built(wanted, claim, bench) if wanted.form.is_model else (_written(wanted, claim), {})
    except Abandoned:
        persist(lambda: exports.give_back_export(claim), bench.ending)
    except Failed as failed:
        failure = explained(failed.failure, Recipe.from_json(claim.recipe).models)
        log.warning("export %s: %s", claim.export_id, failure.sentence)
        end = exports.give_back_export if failure.fault == "worker" else exports.fail_export
        persist(lambda: end(claim, failure), bench.ending)
    else:
        persist(lambda: exports.finish_export(claim, files, checks), bench.ending)
    bench.publisher.progress(claim.run_id, ExportProgress(str(claim.export_id), "", 1.0))


def _built(wanted: Export, claim: ExportClaim, bench: Bench) -> tuple[list[BuiltFile], Mapping[str, Any]]:
    """A model, by the device."""
    objectives = RunConfig.from_json(wanted.candidate.run.config).objectives
    request: Message = {
        "do": "build",
        "id": claim.lease.token,
        "recipe": claim.recipe,
        "folder": str(claim.partial),
        "texts": {CARD: model_card(wanted)},
        "asks": [{"benchmark": objective.spec.to_json(), "n": N_PROMPTS} for objective in objectives],
        "gguf": {"variant": wanted.variant, "name": _file_name(wanted)} if wanted.kind == "gguf" else None,
    }
    answer = bench.device.work(request, Watch(claim.lease, bench.ending, _Report(claim, bench)))
    return [BuiltFile(**file) for file in answer["files"]], answer["checks"]


def _written(wanted: Export, claim: ExportClaim) -> list[BuiltFile]:
    """What needs no device: texts from rows."""
    try:
        with complete_or_absent(claim.partial) as partial:
            for name, text in files_of(wanted).items():
                (partial / name).write_text(text, "utf-8")
            return with_sums(partial, {})
    except (MergingError, OSError) as error:
        raise Failed(failures.of_error(error)) from error


def _file_name(wanted: Export) -> str:
    candidate = wanted.candidate
    stem = slugify(f"{candidate.run.name} {candidate.name}".replace(".", "-"))[:80] or "model"
    return f"{stem}-{wanted.variant}.gguf"


class _Report:
    """Shows a build in its row and to watchers, twice a second at most."""

    def __init__(self, claim: ExportClaim, bench: Bench) -> None:
        self._claim, self._bench = claim, bench
        self._shown = 0.0

    def __call__(self, step: Step) -> None:
        if time.monotonic() - self._shown < REPORT_SECONDS:
            return
        self._shown = time.monotonic()
        claim, share = self._claim, step.done / step.total if step.total else 0.0
        if_answered(lambda: exports.report_export(claim, step.stage, share), None)
        self._bench.publisher.progress(claim.run_id, ExportProgress(str(claim.export_id), step.stage, share))
        self._bench.activity = {"run": str(claim.run_id), "export": str(claim.export_id), **asdict(step)}

"""Exports as workers leave them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import timedelta

from django.db.models.functions import Now

from webapp.exports.models import Export, ExportFile
from webapp.runs.models import Candidate


def built(candidate: Candidate, files: Mapping[str, bytes], days_ago: int = 0) -> Export:
    """A finished export of these files, in the data folder of the settings."""
    n_bytes = sum(map(len, files.values()))
    done = {"status": "done", "progress": 1.0, "n_bytes": n_bytes, "finished": Now() - timedelta(days=days_ago)}
    export = Export.objects.create(owner=candidate.run.owner, candidate=candidate, **done)
    export.refresh_from_db()
    export.folder.mkdir(parents=True)
    for name, content in files.items():
        (export.folder / name).write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        ExportFile.objects.create(export=export, name=name, n_bytes=len(content), sha256=sha256)
    return export

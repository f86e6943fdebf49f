"""Files of questions that people bring: kept under the hash of their content, so that a run's benchmark can never change under it."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile

from merging.benchmarks import QuestionFile


def stored(file: QuestionFile) -> QuestionFile:
    """The same questions from a copy of our own: `<data>/benchmarks/<sha256>.jsonl`, complete or absent."""
    folder = Path(settings.DATA_DIR) / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    with open(file.path, "rb") as source, tempfile.NamedTemporaryFile(dir=folder, suffix=".part", delete=False) as copy:
        shutil.copyfileobj(source, copy)
        copy.flush()
        os.fsync(copy.fileno())
    beside = Path(copy.name)
    with beside.open("rb") as content:
        kept = folder / f"{hashlib.file_digest(content, 'sha256').hexdigest()}.jsonl"
    beside.rename(kept)
    return replace(file, path=str(kept))


@contextmanager
def on_disk(upload: UploadedFile[bytes]) -> Iterator[Path]:
    """The upload as a file under its own name, which error messages then show; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="progeny-upload-") as folder:
        path = Path(folder) / (upload.name or "questions.jsonl")
        with path.open("wb") as file:
            for chunk in upload.chunks():
                file.write(chunk)
        yield path

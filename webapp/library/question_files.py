"""Files of questions that people bring, and the sealed folders that they are kept in: `<data>/benchmarks/<digest>/`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db import connection

from merging.benchmarks import BenchmarkSpec, Questions
from merging.benchmarks.questions import split_digest
from merging.benchmarks.sealed import SealedFolder, new_key, seal
from merging.errors import BenchmarkError
from webapp.library.models import Benchmark

MAX_STEM: Final = 60
"""Characters: with four bytes each and an ending they fit in any file system."""


def sealed(questions: Questions) -> tuple[BenchmarkSpec, str]:
    """The questions in a folder of our own, named by their digest, and the key to their final split.

    Whoever brings the same questions gets the same folder and key. To be called in a transaction: until its end no
    other can freeze these questions.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [questions.digest])
    path = Path(settings.DATA_DIR) / "benchmarks" / questions.digest.removeprefix("sha256:")
    key = Benchmark.objects.filter(digest=questions.digest).exclude(key="").values_list("key", flat=True).first()
    final = questions.take("final")
    folder = SealedFolder(str(path), len(final), split_digest(final))
    if key is None or not _opens(folder, key, questions):
        key = key or new_key()
        seal(questions, path, key)
    return BenchmarkSpec(questions.name, questions.digest, sealed=folder), key


@contextmanager
def on_disk(upload: UploadedFile[bytes]) -> Iterator[Path]:
    """The upload as a file under its own name, which error messages then show; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="progeny-upload-") as folder:
        path = Path(folder) / _harmless(upload.name or "questions.jsonl")
        with path.open("wb") as file:
            for chunk in upload.chunks():
                file.write(chunk)
        yield path


def _opens(folder: SealedFolder, key: str, questions: Questions) -> bool:
    """Whether it is there, whole."""
    try:
        return folder.read(questions.name, key).digest == questions.digest
    except BenchmarkError:
        return False


def _harmless(name: str) -> str:
    """A name that every file system takes and every message can show."""
    path = Path("".join(letter for letter in name if letter.isprintable() and letter != "/"))
    return (path.stem[:MAX_STEM].strip(". ") or "questions") + path.suffix[: MAX_STEM // 4]

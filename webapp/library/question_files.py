"""Files of questions that people bring, and the sealed folders that they are kept in: `<data>/benchmarks/<digest>/`."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db import connection, transaction

from merging.benchmarks import BenchmarkSpec, Questions
from merging.benchmarks.questions import split_digest
from merging.benchmarks.sealed import SealedFolder, new_key, seal
from merging.errors import BenchmarkError
from webapp.library.models import Benchmark

MAX_STEM: Final = 60
"""Characters: with four bytes each and an ending they fit in any file system."""


@contextmanager
def frozen(questions: Questions) -> Iterator[tuple[BenchmarkSpec, str]]:
    """The questions in a folder of our own, named by their digest, and the key to their final split.

    Whoever brings the same questions gets the same folder and key. The block is a transaction, to keep the key in; what
    takes long is done before it.
    """
    path = _folder() / questions.digest.removeprefix("sha256:")
    final = questions.take("final")
    folder = SealedFolder(str(path), len(final), split_digest(final))
    known = _key_of(questions)
    is_there = known is not None and _opens(folder, known, questions)
    key = known or new_key()
    beside = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        if not is_there:
            seal(questions, beside, key)
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [questions.digest])
            if (quicker := _key_of(questions)) and quicker != key:
                key = quicker
            elif not is_there:
                shutil.rmtree(path, ignore_errors=True)
                beside.rename(path)
            yield BenchmarkSpec(questions.name, questions.digest, sealed=folder), key
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def remove_plain() -> None:
    """Remove our copies of files from when they were kept in plain text, but for those that a benchmark still needs."""
    paths = Benchmark.objects.filter(spec__file__isnull=False).values_list("spec__file__path", flat=True)
    needed = {Path(path).name for path in paths if path}
    for path in _folder().glob("*.jsonl"):
        if path.name not in needed:
            path.unlink(missing_ok=True)


@contextmanager
def on_disk(upload: UploadedFile[bytes]) -> Iterator[Path]:
    """The upload as a file under its own name, which error messages then show; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="progeny-upload-") as folder:
        path = Path(folder) / _harmless(upload.name or "questions.jsonl")
        with path.open("wb") as file:
            for chunk in upload.chunks():
                file.write(chunk)
        yield path


def _folder() -> Path:
    return Path(settings.DATA_DIR) / "benchmarks"


def _key_of(questions: Questions) -> str | None:
    keys = Benchmark.objects.filter(digest=questions.digest).exclude(key="").values_list("key", flat=True)
    return keys.first()


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

"""Files that somebody made to do harm: read as the format's own library reads them, or refused in words, and quickly."""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from merging.errors import MAX_CHARACTERS, ParentError
from merging.headers import TensorEntry, read_header
from merging.indexes import INDEX, TensorIndex
from tests.merging.hostile import Found, damage, hostile_file, hostile_index, judged_file, judged_folder, sound_folder

N_FILES, N_FOLDERS = 3500, 1500
"""Of one seed. Twenty seeds are 100,000 in all."""
SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 20))]


def outcome(read: Callable[[], list[TensorEntry]], file: str) -> dict[str, Found] | None:
    """What the reader says, None when it refuses; it takes less than a second, and its message names the file."""
    began = time.thread_time()
    try:
        entries = read()
    except ParentError as error:
        message = str(error)
        assert file in message and len(message) < MAX_CHARACTERS + 100 and message.isprintable(), message
        return None
    finally:
        assert time.thread_time() - began < 1
    assert len({entry.name for entry in entries}) == len(entries)
    return {
        entry.name: Found(entry.dtype, entry.shape, entry.file.read_bytes()[entry.start : entry.stop])
        for entry in entries
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_a_mutated_file_is_read_as_by_the_library_or_refused(tmp_path: Path, seed: int) -> None:
    rng, path, n_read = random.Random(f"files {seed}"), tmp_path / "m.safetensors", 0
    for i in range(N_FILES):
        path.write_bytes(content := hostile_file(rng))
        found, expected = outcome(lambda: list(read_header(path)), path.name), judged_file(content)
        assert found == expected, (i, content)
        n_read += found is not None
    assert N_FILES // 10 < n_read < N_FILES // 2  # the mutator makes enough of both


@pytest.mark.parametrize("seed", SEEDS)
def test_a_mutated_index_is_read_as_it_says_or_refused(tmp_path: Path, seed: int) -> None:
    rng, folder, seen = random.Random(f"folders {seed}"), tmp_path / "model", Counter[bool]()
    for i in range(N_FOLDERS):
        if i % 10 == 0:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            weight_map = sound_folder(rng, folder)
        (folder / INDEX).write_bytes(content := hostile_index(rng, weight_map))
        if i % 10 == 9:
            damage(rng, folder)
        expected = judged_folder(folder)
        assert outcome(lambda: list(TensorIndex.open(folder).entries.values()), "model") == expected, (i, content)
        seen[expected is None] += 1
    assert min(seen.values()) > N_FOLDERS // 10

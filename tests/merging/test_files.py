"""Files of a model folder are opened as what they are, from where they are, and nobody can swap them in between."""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import struct
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from merging.elements import as_tensor
from merging.errors import MAX_CHARACTERS, ParentError
from merging.files import blob_name, open_regular, read_regular
from merging.fingerprints import fingerprint
from merging.headers import MAX_HEADER_BYTES, MAX_MARKS, read_header
from merging.indexes import INDEX, SINGLE, TensorIndex, parent_facts
from merging.tensors import TensorReader
from merging.vocabularies import read_vocabulary
from tests.merging.caches import in_the_hub_s_cache
from tests.merging.models import config, write_parent


def test_a_snapshot_of_the_hub_s_cache_is_a_folder_like_any_other(tmp_path: Path) -> None:
    folder = write_parent(tmp_path / "m")
    snapshot = in_the_hub_s_cache(folder, tmp_path / "cache")
    assert parent_facts(snapshot).fingerprint == fingerprint(folder)
    entry = TensorIndex.open(snapshot)["lm_head.weight"]
    plain = TensorIndex.open(folder)["lm_head.weight"]
    assert np.array_equal(TensorReader().read(entry).words, TensorReader().read(plain).words)


def test_a_blob_that_all_models_of_the_cache_share_is_a_file_like_any_other(tmp_path: Path) -> None:
    snapshot = in_the_hub_s_cache(write_parent(tmp_path / "m"), tmp_path / "cache")
    whole, name = fingerprint(snapshot), blob_name(snapshot / SINGLE)
    blob = (snapshot / SINGLE).resolve()
    shared = blob.parent.parent.parent / "blobs" / "ab" / ("ab" * 32)
    shared.parent.mkdir(parents=True)
    blob.rename(shared)
    blob.symlink_to(os.path.relpath(shared, blob.parent))
    assert fingerprint(snapshot) == whole
    assert blob_name(snapshot / SINGLE) == name == blob.name
    blob.unlink()
    blob.symlink_to(tmp_path / "m" / SINGLE)
    with pytest.raises(ParentError, match="link out of the folder"):
        open_regular(snapshot / SINGLE)


def test_a_folder_that_is_a_link_and_a_link_inside_it_are_followed(tmp_path: Path) -> None:
    folder = write_parent(tmp_path / "m")
    (folder / SINGLE).rename(folder / "weights")
    (folder / SINGLE).symlink_to("weights")
    (tmp_path / "current").symlink_to("m")
    assert parent_facts(tmp_path / "current").n_parameters == parent_facts(folder).n_parameters


def link(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


@pytest.mark.parametrize("name", [SINGLE, "config.json", "merges.txt"])
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (link("../outside"), "is a link out of the folder, to .*outside; expected a file"),
        (link("/proc/self/environ"), "is a link out of the folder"),
        (link("/dev/zero"), "is a link out of the folder"),
        (link("../m.other/file"), "is a link out of the folder"),
        (link("../../blobs/aa"), "is a link out of the folder"),
        (link("nowhere"), "missing or not a regular file: No such file"),
        (link(SINGLE), "missing or not a regular file"),
        (Path.mkdir, "missing or not a regular file"),
        (os.mkfifo, "missing or not a regular file"),
    ],
)
def test_what_is_no_file_of_the_folder_is_refused_and_not_waited_for(
    tmp_path: Path, name: str, make: Callable[[Path], None], said: str
) -> None:
    folder = tmp_path / "m"
    for path in (folder, tmp_path / "m.other"):
        path.mkdir()
    for path in (tmp_path / "outside", tmp_path / "m.other" / "file"):
        path.write_text("secret")
    (folder / "weights").touch()
    make(folder / name)
    if name == SINGLE or said != "missing or not a regular file":
        with pytest.raises(ParentError, match=f"{name} in .*{said}"):
            open_regular(folder / name)


@pytest.mark.parametrize("name", ["merges.txt", "chat_template.jinja", "vocab.json"])
def test_a_link_to_a_secret_bars_the_whole_folder(tmp_path: Path, name: str) -> None:
    """These are copied into what is built; a fingerprint is needed before anything is."""
    folder = write_parent(tmp_path / "m")
    (folder / name).symlink_to("/proc/self/environ")
    with pytest.raises(ParentError, match=f"{name} in .* is a link out of the folder"):
        fingerprint(folder)


@pytest.mark.parametrize("name", ["a\0b.json", "x" * 300])
def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ParentError, match="missing or not a regular file"):
        open_regular(tmp_path / name)


def test_a_small_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_regular(tmp_path / "a", 5) == b"12345"
    with pytest.raises(ParentError, match=r"a in .* has 5 bytes; expected at most 4"):
        read_regular(tmp_path / "a", 4)


def test_a_file_that_is_swapped_all_the_time_is_read_whole_or_refused(tmp_path: Path) -> None:
    """Two models of other layouts take turns; what is read is always one of them, never bytes of one at the other's place."""
    models = [torch.full((1000,), 1.0), torch.full((500, 4), 2.0)]
    for i, tensor in enumerate(models):
        save_file({"pad": torch.zeros(i * 300), "a": tensor}, tmp_path / f"kept{i}")
    shutil.copyfile(tmp_path / "kept0", tmp_path / SINGLE)
    ended = threading.Event()

    def swap() -> None:
        for i in itertools.cycle((0, 1)):
            if ended.is_set():
                return
            shutil.copyfile(tmp_path / f"kept{i}", tmp_path / "next")
            os.replace(tmp_path / "next", tmp_path / SINGLE)

    thread, n_read = threading.Thread(target=swap), 0
    thread.start()
    try:
        for _ in range(1000):
            reader = TensorReader()
            entry = TensorIndex.open(tmp_path)["a"]
            try:
                found = as_tensor(reader.read(entry))
            except ParentError as error:
                assert "was changed after it was checked" in str(error)
                continue
            finally:
                reader.close()
            n_read += 1
            assert torch.equal(found, models[int(found[(0,) * found.ndim]) - 1])
    finally:
        ended.set()
        thread.join()
    assert n_read


@pytest.mark.parametrize(
    "change", [lambda file: os.utime(file, (0, 0)), lambda file: file.write_bytes(file.read_bytes())]
)
def test_a_mapped_file_that_is_written_to_is_refused(tmp_path: Path, change: Callable[[Path], Any]) -> None:
    save_file({"a": torch.ones(3), "b": torch.ones(3)}, tmp_path / SINGLE)
    index, reader = TensorIndex.open(tmp_path), TensorReader()
    reader.read(index["a"])
    time.sleep(0.01)  # the clock of files ticks every few milliseconds
    change(tmp_path / SINGLE)
    with pytest.raises(ParentError, match=f"b of {SINGLE} is .* the file was changed after it was checked"):
        reader.read(index["b"])


def many(form: str, n_marks: int, n_bytes: int = MAX_HEADER_BYTES) -> str:
    """An object of as many fields as the limits leave room for."""
    names = map("".join, itertools.product("abcdefghijklmnopqrstuvwxyz", repeat=4))
    n = min(MAX_MARKS // n_marks, n_bytes // len(form % "aaaa,")) - 5
    return "{" + ",".join(form % name for name in itertools.islice(names, n)) + "}"


BOMBS = {
    "index": many('"%s":"m.safetensors"', 2),
    "metadata": '{"__metadata__":' + many('"%s":""', 2) + "}",
    "numbers": many('"%s":1', 2),
    "objects": many('"%s":{}', 2),
    "tensors": many('"%s":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}', 8),
    "list": '{"a":[' + "1," * (MAX_HEADER_BYTES // 2 - 10) + "1]}",
    "lists": '{"a":[' + "[]," * (MAX_HEADER_BYTES // 3 - 10) + "[]]}",
    "dimensions": '{"a":{"dtype":"U8","data_offsets":[0,0],"shape":[' + f"{2**63 - 1}," * 390_000 + "1]}}",
    "digits": '{"a":[' + ("9" * 4300 + ",") * 1900 + "1]}",
    "name": '{"' + "x" * (MAX_HEADER_BYTES - 100) + '":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}',
    "depth": "[" * MAX_HEADER_BYTES,
    "depths": '{"a":' * (MAX_HEADER_BYTES // 5 - 1),
    "unknown": '{"a":' + many('"%s":1', 2, MAX_HEADER_BYTES - 10) + "}",
}


@pytest.mark.parametrize("kind", BOMBS)
def test_the_worst_header_that_is_read_takes_less_than_a_second(tmp_path: Path, kind: str) -> None:
    """Also in an index, which is the same JSON. Seconds of this thread, so that a busy machine fails nothing."""
    text = BOMBS[kind].encode()
    assert len(text) <= MAX_HEADER_BYTES
    (tmp_path / "m.safetensors").write_bytes(struct.pack("<Q", len(text)) + text)
    (tmp_path / INDEX).write_bytes(b'{"weight_map":' + text + b"}")
    for read in (lambda: read_header(tmp_path / "m.safetensors"), lambda: TensorIndex.open(tmp_path)):
        began, message = time.thread_time(), ""
        try:
            read()
        except ParentError as error:
            message = str(error)
        assert time.thread_time() - began < 1
        assert len(message) < MAX_CHARACTERS + 100


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", INDEX])
def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, name: str) -> None:
    folder = write_parent(tmp_path / "m")
    if name == INDEX:
        (folder / SINGLE).unlink()
    with (folder / name).open("wb") as file:
        file.truncate(2**40)  # takes no room
    tracemalloc.start()
    try:
        with pytest.raises(ParentError, match=f"{name} in .* has {2**40} bytes; expected at most"):
            read_vocabulary(folder) if name == "tokenizer.json" else parent_facts(folder)
        assert tracemalloc.get_traced_memory()[1] < 200e6
    finally:
        tracemalloc.stop()


HUGE: tuple[Any, ...] = (0, -1, 10**9, 10**12, 2**63, 10**400, 1e300, True, None, "3", [], {}, "x" * 10_000, "\ud800")


def test_a_configuration_that_lies_is_refused_before_anything_is_as_large_as_it_says(tmp_path: Path) -> None:
    """300 times one or two values are others; what is read is what the tensors are, whatever the configuration says."""
    rng, sound, n_refused = random.Random(0), config(), 0
    folder = write_parent(tmp_path / "m")
    n_parameters = parent_facts(folder).n_parameters
    tracemalloc.start()
    try:
        for _ in range(300):
            changed = sound | {rng.choice(list(sound)): rng.choice(HUGE) for _ in range(rng.choice([1, 2]))}
            (folder / "config.json").write_text(json.dumps(changed))
            began = time.thread_time()
            try:
                assert parent_facts(folder).n_parameters in (n_parameters, n_parameters - 259 * 16)  # tied
            except ParentError as error:
                n_refused += 1
                assert len(str(error)) < MAX_CHARACTERS + 100 and str(error).isprintable()
            assert time.thread_time() - began < 1
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()
    assert n_refused > 100


@pytest.mark.parametrize(
    "front",
    [
        "[" * 5000,
        "license: 2001-13-45",
        "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 30)),
        "license: " + "x" * 100_000,
    ],
)
def test_a_card_that_would_keep_a_reader_of_yaml_busy_or_break_it_is_read_as_a_text(tmp_path: Path, front: str) -> None:
    folder = write_parent(tmp_path / "m")
    (folder / "README.md").write_text(f"---\n{front}\n---\n")
    began = time.thread_time()
    assert parent_facts(folder).licence in ("", "2001-13-45")
    assert time.thread_time() - began < 1

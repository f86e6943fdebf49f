"""What tells a folder from every other, and where two folders differ."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from blake3 import blake3
from safetensors.torch import load_file, save_file

from merging import fingerprints, plain
from merging.errors import ParentError
from merging.fingerprints import UNREAD, Algorithm, Fingerprints, Inventory, file_hash, fingerprint, take_inventory
from merging.headers import read_header
from merging.indexes import SINGLE
from merging.recipes import Parent, passthrough_recipe
from tests.merging.models import write_parent

NAME = "model.layers.1.mlp.up_proj.weight"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_parent(tmp_path / "m")


def flip_bit(file: Path, at: int) -> None:
    """One bit of a file, with its time as it was: what a bad disk does."""
    times = os.stat(file)
    with file.open("r+b") as opened:
        opened.seek(at)
        byte = opened.read(1)[0]
        opened.seek(at)
        opened.write(bytes([byte ^ 4]))
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize("block", [7, 1000, 8 * 1024 * 1024])
def test_an_inventory_has_the_sums_of_files_and_tensors(
    folder: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(fingerprints, "HASH_BYTES", block)
    found, content = take_inventory(folder).files[SINGLE], (folder / SINGLE).read_bytes()
    assert (found.n_bytes, found.hash) == (len(content), blake3(content).hexdigest())
    assert found.tensors == {e.name: zlib.crc32(content[e.start : e.stop]) for e in read_header(folder / SINGLE)}
    assert take_inventory(folder).fingerprint == fingerprint(folder)


@pytest.mark.parametrize("algorithm", ["blake3", "sha256"])
def test_an_inventory_comes_back_from_json(folder: Path, algorithm: Algorithm) -> None:
    inventory = take_inventory(folder, algorithm)
    again = Inventory.from_json(json.loads(json.dumps(inventory.to_json())))
    assert again == inventory and list(again.files[SINGLE].tensors) == list(inventory.files[SINGLE].tensors)


def test_what_was_written_down_with_sha256_is_compared_by_sha256(folder: Path) -> None:
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".json", ".safetensors")}
    known = plain.digest([[name, hashlib.sha256(files[name]).hexdigest()] for name in sorted(files)])
    assert fingerprint(folder, known) == known != fingerprint(folder)
    before = take_inventory(folder, "sha256")
    assert before.fingerprint == known and before.to_json()["config.json"]["sha256"]
    flip_bit(folder / SINGLE, os.path.getsize(folder / SINGLE) - 1)
    os.utime(folder / SINGLE)
    assert fingerprint(folder, known) != known
    assert "has the checksum" in before.change(take_inventory(folder, before.algorithm))


def test_mapped_files_have_the_fingerprint_of_files_that_are_read(folder: Path) -> None:
    (folder / "empty.json").touch()
    recipe = passthrough_recipe(Parent("a", str(folder), UNREAD))
    with Fingerprints() as hashes:
        found = hashes.completed(recipe).parents[0].fingerprint
    fingerprints._known.clear()
    assert found == fingerprint(folder) == take_inventory(folder).fingerprint


def test_every_flipped_bit_is_told_by_file_and_tensor(folder: Path) -> None:
    """One bit in the first, a middle and the last byte of every tensor."""
    before = take_inventory(folder)
    for entry in read_header(folder / SINGLE):
        for at in {entry.start, (entry.start + entry.stop) // 2, entry.stop - 1}:
            flip_bit(folder / SINGLE, at)
            told = before.change(take_inventory(folder))
            assert told.startswith(f"{SINGLE} is another file: tensor {entry.name} has the checksum "), told
            flip_bit(folder / SINGLE, at)
    assert before.change(take_inventory(folder)) == ""


def change_tensors(folder: Path, **changed: torch.Tensor | None) -> None:
    tensors: dict[str, Any] = load_file(folder / SINGLE) | {NAME: changed["tensor"]}
    save_file({name: one for name, one in tensors.items() if one is not None}, folder / SINGLE, {"format": "pt"})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda f: (f / SINGLE).unlink(), f"{SINGLE} is missing"),
        (lambda f: (f / "more.json").write_text("{}"), "more.json was not there"),
        (lambda f: flip_bit(f / "config.json", 5), "config.json is another file: its blake3 is "),
        (lambda f: os.truncate(f / SINGLE, 100), "it has 100 bytes, expected "),
        (lambda f: flip_bit(f / SINGLE, 3), f"{SINGLE} is another file: its blake3 is "),
        (lambda f: change_tensors(f, tensor=torch.zeros(24, 16)), f"tensor {NAME} has the checksum "),
        (lambda f: change_tensors(f, tensor=None), "bytes, expected "),
    ],
)
def test_what_changed_is_named(folder: Path, change: Callable[[Path], Any], told: str) -> None:
    before = take_inventory(folder)
    change(folder)
    assert told in before.change(take_inventory(folder))


def test_a_file_is_read_again_only_when_it_may_have_changed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fingerprint(folder)
    monkeypatch.setattr(fingerprints, "_sums", None)
    assert fingerprint(folder) == first
    os.utime(folder / SINGLE, (0, 0))
    with pytest.raises(TypeError):
        fingerprint(folder)


def test_what_is_known_of_files_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprints, "MAX_KNOWN", 2)
    monkeypatch.setattr(fingerprints, "_known", {})
    assert len(list(map(file_hash, [folder / SINGLE, folder / "config.json", folder / "tokenizer.json"]))) == 3
    assert len(fingerprints._known) == 1


@pytest.mark.parametrize("by", ["sha256", "git"])
def test_a_file_of_the_hub_s_cache_must_be_what_its_name_there_says(tmp_path: Path, by: str) -> None:
    content = b"{}" * 100
    name = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "git": hashlib.sha1(b"blob 200\0" + content).hexdigest(),
    }[by]
    snapshot, blob = tmp_path / "snapshots" / "abc", tmp_path / "blobs" / name
    snapshot.mkdir(parents=True)
    blob.parent.mkdir()
    blob.write_bytes(content)
    (snapshot / "config.json").symlink_to(f"../../blobs/{name}")
    known = fingerprint(snapshot)
    flip_bit(blob, 50)
    os.utime(blob)
    assert fingerprint(snapshot, known) != known  # which tells it already: names are not looked at
    with pytest.raises(ParentError, match="is damaged"):
        fingerprint(snapshot)
    with pytest.raises(ParentError, match=f"config.json in .*abc is damaged: its hash is .* calls it {name}"):
        take_inventory(snapshot)


@pytest.mark.parametrize("name", [b"a\nb.json", b"\xff.json", b"\x1b[2J.txt"])
def test_a_file_whose_name_cannot_be_shown_is_refused(folder: Path, name: bytes) -> None:
    with open(os.path.join(os.fsencode(folder), name), "wb"):
        pass
    with pytest.raises(ParentError, match=r"a file with the name .* which cannot be shown") as raised:
        fingerprint(folder)
    assert str(raised.value).isprintable()


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParentError, match="none cannot be read: No such file"):
        fingerprint(tmp_path / "none")

"""Tensors from mapped files and into shards: what comes back, and files that changed under the reader."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save, save_file

from merging import shards
from merging.elements import as_tensor, torch_dtype
from merging.errors import ParentError, TensorError
from merging.indexes import INDEX, SINGLE, TensorIndex
from merging.shards import SHARD_BYTES, TensorShape
from merging.tensors import TensorReader, TensorWriter

SOME = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(5, dtype=torch.bfloat16), "c": torch.zeros(0)}


def planned(tensors: dict[str, torch.Tensor]) -> list[TensorShape]:
    return [TensorShape(name, str(one.dtype).removeprefix("torch."), tuple(one.shape)) for name, one in tensors.items()]


def write(folder: Path, tensors: dict[str, torch.Tensor], shard_bytes: int = SHARD_BYTES) -> Path:
    with TensorWriter(folder, planned(tensors), shard_bytes) as writer:
        for name, tensor in tensors.items():
            writer.add(name, tensor)
        writer.finish()
    return folder


def read(folder: Path) -> dict[str, torch.Tensor]:
    reader = TensorReader()
    return {name: as_tensor(reader.read(entry)) for name, entry in TensorIndex.open(folder).entries.items()}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return set(one) == set(other) and all(torch.equal(one[n], other[n]) and one[n].dtype == other[n].dtype for n in one)


@pytest.mark.parametrize("shard_bytes", [1, 24, 30, 10_000])
def test_tensors_come_back_from_any_number_of_shards(tmp_path: Path, shard_bytes: int) -> None:
    assert equal(read(write(tmp_path, SOME, shard_bytes)), SOME)


@settings(max_examples=15, deadline=None)
@given(sizes=st.lists(st.integers(0, 20), min_size=1, max_size=8), shard_bytes=st.integers(1, 100))
def test_no_shard_is_larger_than_asked_unless_one_tensor_is(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], shard_bytes: int
) -> None:
    tensors = {f"t{i}": torch.full((size,), float(i)) for i, size in enumerate(sizes)}
    folder = write(tmp_path_factory.mktemp("shards"), tensors, shard_bytes)
    assert equal(read(folder), tensors)
    for file in folder.glob("*.safetensors"):
        held = load_file(file)
        assert len(held) == 1 or sum(tensor.nbytes for tensor in held.values()) <= shard_bytes


@pytest.mark.parametrize("sizes", [[4095, 4096, 1], [3 * 4096 - 40], [20_001, 0, 7], []])
def test_the_bytes_are_those_of_the_format_s_own_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: list[int]
) -> None:
    monkeypatch.setattr(shards, "BUFFER_BYTES", 8192)
    tensors = {f"t{i}": torch.randn(size).bfloat16() for i, size in enumerate(sizes)}
    write(tmp_path, tensors)
    assert (tmp_path / SINGLE).read_bytes() == save(tensors, {"format": "pt"})


def test_a_file_system_without_direct_writes_gets_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, direct in (("direct", os.O_DIRECT), ("cached", 0)):
        monkeypatch.setattr(os, "O_DIRECT", direct)
        (tmp_path / name).mkdir()
        write(tmp_path / name, SOME)
    assert (tmp_path / "direct" / SINGLE).read_bytes() == (tmp_path / "cached" / SINGLE).read_bytes()


@pytest.mark.parametrize("shard_bytes", [1, 24, 10_000])
def test_hashes_are_those_of_the_files_that_were_written(tmp_path: Path, shard_bytes: int) -> None:
    hashes: dict[str, str] = {}
    with TensorWriter(tmp_path, planned(SOME), shard_bytes, hashes) as writer:
        for name, tensor in SOME.items():
            writer.add(name, tensor)
        writer.finish()
    assert hashes == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.glob("*.safetensors")
    }


def test_a_large_file_is_hashed_buffer_by_buffer(tmp_path: Path) -> None:
    large, hashes = {"a": torch.arange(5_000_001, dtype=torch.float32)}, {}
    with TensorWriter(tmp_path, planned(large), hashes=hashes) as writer:
        writer.add("a", large["a"])
        writer.finish()
    [(name, sha256)] = hashes.items()
    assert sha256 == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()


def test_one_shard_needs_no_index(tmp_path: Path) -> None:
    assert os.listdir(write(tmp_path, SOME, 10_000)) == [SINGLE]


def test_several_shards_are_named_as_loaders_expect(tmp_path: Path) -> None:
    names = sorted(os.listdir(write(tmp_path, SOME, 24)))
    assert names == ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", INDEX]
    index = json.loads((tmp_path / INDEX).read_text())
    assert index["metadata"]["total_size"] == 34 and set(index["weight_map"]) == set(SOME)


def test_a_name_twice_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(TensorError, match="a would be written twice"):
        TensorWriter(tmp_path, [*planned(SOME), *planned(SOME)])
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "tensor"),
    [("b", SOME["b"]), ("a", SOME["a"].half()), ("a", SOME["a"].flatten())],
    ids=["order", "dtype", "shape"],
)
def test_a_tensor_that_was_not_planned_is_refused(tmp_path: Path, name: str, tensor: torch.Tensor) -> None:
    expected = r"comes to be written; the plan has a float32 \[2, 3\] here"
    with TensorWriter(tmp_path, planned(SOME)) as writer, pytest.raises(TensorError, match=expected):
        writer.add(name, tensor)


def test_a_model_is_not_finished_while_tensors_are_missing(tmp_path: Path) -> None:
    with TensorWriter(tmp_path, planned(SOME)) as writer:
        writer.add("a", SOME["a"])
        with pytest.raises(TensorError, match="2 tensors were never merged, the first of them b"):
            writer.finish()


def test_a_file_that_changed_after_its_index_was_read_is_refused(tmp_path: Path) -> None:
    entry = TensorIndex.open(write(tmp_path, SOME))["a"]
    save_file({"a": torch.ones(3, 2)}, tmp_path / SINGLE)
    with pytest.raises(ParentError, match="the file was changed"):
        TensorReader().read(entry)
    (tmp_path / SINGLE).unlink()
    with pytest.raises(ParentError, match=r"a cannot be read from model.safetensors"):
        TensorReader().read(entry)


def test_a_file_cut_off_after_its_index_was_read_is_refused(tmp_path: Path) -> None:
    entry = TensorIndex.open(write(tmp_path, SOME))["a"]
    os.truncate(tmp_path / SINGLE, os.path.getsize(tmp_path / SINGLE) - 1)
    with pytest.raises(ParentError, match=r"a cannot be read from model.safetensors: .* is cut off"):
        TensorReader().read(entry)


def test_a_tensor_at_an_odd_place_is_read(tmp_path: Path) -> None:
    header = {
        "byte": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
        "a": {"dtype": "F32", "shape": [2], "data_offsets": [1, 9]},
    }
    text = json.dumps(header).encode()
    data = b"\0" + torch.tensor([1.5, -2.0]).numpy().tobytes()
    (tmp_path / SINGLE).write_bytes(len(text).to_bytes(8, "little") + text + data)
    assert TensorReader().read(TensorIndex.open(tmp_path)["a"]).words.tolist() == [1.5, -2.0]


def test_pages_that_were_let_go_are_read_again(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(10_000.0), "b": torch.arange(20_000.0)}
    index, reader = TensorIndex.open(write(tmp_path, tensors)), TensorReader()
    held = as_tensor(reader.read(index["a"]))
    for name in tensors:
        reader.files.soon(index[name])
        reader.files.done(index[name])
    assert torch.equal(held, tensors["a"])
    reader.close()
    assert torch.equal(held, tensors["a"])


def test_dtypes_have_torch_s_names() -> None:
    assert [torch_dtype(name) for name in ("float32", "bfloat16", "float16")] == [
        torch.float32,
        torch.bfloat16,
        torch.float16,
    ]
    with pytest.raises(TensorError, match="no dtype 'int8' here"):
        torch_dtype("int8")

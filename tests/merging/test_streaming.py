"""From parents' files to a model's files: the same bytes always, little memory, and nothing left running after an error."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from merging import streaming
from merging.assembly import NamedTensor, assemble
from merging.elements import as_tensor
from merging.errors import RoomError
from merging.indexes import SINGLE, parent_facts
from merging.mappings import MappedFiles
from merging.methods import methods
from merging.plans import plan
from merging.recipes import LayerGroup, Parent, Recipe, Source
from merging.shards import ShardWriter, TensorShape
from merging.streaming import FileSource, Written, best_device, merge_files, write_model
from tests.merging.models import config, write_parent, write_relative

ROOT = Path(__file__).resolve().parents[2]
SIZES = (3000, 1000, 0, 5000, 2000)
PLANNED = [TensorShape(f"t{i}", "float32", (size,)) for i, size in enumerate(SIZES)]


def tensors() -> Iterator[NamedTensor]:
    for i, size in enumerate(SIZES):
        yield f"t{i}", torch.full((size,), float(i))


def unheard(done: Written) -> None:
    """Nobody watches."""


def write(tmp_path: Path, recipe: Recipe) -> Path:
    facts = {model: parent_facts(model.folder) for model in (*recipe.parents, *filter(None, [recipe.base]))}
    tmp_path.mkdir(exist_ok=True)
    merge_files(recipe, plan(recipe, facts), facts, tmp_path, unheard)
    return tmp_path / SINGLE


@pytest.fixture
def ties(relatives: dict[str, Parent]) -> Recipe:
    values = tuple({"weight": weight, "density": 0.5} for weight in (0.4, 0.7))
    parents = (relatives["one"], relatives["two"])
    whole = (LayerGroup("model", 0, None, before=True, after=True),)
    return Recipe(
        "ties", relatives["base"], parents, whole, (values,), {"normalize": True, "lambda": 1.0}, 0, "bfloat16"
    )


def test_the_bytes_do_not_depend_on_the_number_of_threads(tmp_path: Path, ties: Recipe) -> None:
    before, written = torch.get_num_threads(), []
    for n in (1, 2, 3):
        torch.set_num_threads(n)
        written.append(write(tmp_path / str(n), ties).read_bytes())
    torch.set_num_threads(before)
    assert written[0] == written[1] == written[2]


def test_what_is_written_is_what_is_assembled(tmp_path: Path, ties: Recipe) -> None:
    facts = {model: parent_facts(model.folder) for model in (*ties.parents, *filter(None, [ties.base]))}
    jobs = plan(ties, facts)
    with FileSource(jobs, facts, "cpu") as source:
        assembled = dict(assemble(ties, jobs, source))
    written = load_file(write(tmp_path, ties))
    assert {name: tensor.tolist() for name, tensor in written.items()} == {
        name: as_tensor(tensor).tolist() for name, tensor in assembled.items()
    }


def test_layers_that_a_stack_repeats_are_read_again(tmp_path: Path, relatives: dict[str, Parent]) -> None:
    groups = tuple(
        LayerGroup(f"g{i}", 2 * i, 2 * i + 2, i == 0, i == 1, sources=(Source(0, start),))
        for i, start in enumerate((0, 1))
    )
    scale = [parameter.name for parameter in methods.get("passthrough").per_parent()]
    stack = Recipe(
        "passthrough",
        None,
        (relatives["one"],),
        groups,
        tuple((dict.fromkeys(scale, 1.0),) for _ in groups),
        {},
        0,
        "float32",
    )
    written = load_file(write(tmp_path, stack))
    stored = load_file(Path(relatives["one"].folder) / SINGLE)
    for made, taken in ((0, 0), (1, 1), (2, 1), (3, 2)):
        name = "model.layers.{}.mlp.up_proj.weight"
        assert torch.equal(written[name.format(made)], stored[name.format(taken)])


def test_progress_counts_tensors_and_bytes(tmp_path: Path) -> None:
    heard: list[Written] = []
    write_model(tensors(), PLANNED, tmp_path, heard.append)
    assert [(done.n_tensors, done.of_tensors, done.of_bytes) for done in heard] == [
        (i + 1, 5, 44_000) for i in range(5)
    ]
    assert [done.n_bytes for done in heard] == [12_000, 16_000, 16_000, 36_000, 44_000]


def test_what_waits_for_the_disk_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes nothing until the merge waits for it; the bound is 16,000 bytes and the largest tensor has 20,000."""
    monkeypatch.setattr(streaming, "WAITING_BYTES", 16_000)
    arrived: list[int] = []
    plain = ShardWriter.write
    monkeypatch.setattr(ShardWriter, "write", lambda *given: (plain(*given), arrived.append(given[2].nbytes)))
    merged = 0
    for_disk = []

    def watched() -> Iterator[NamedTensor]:
        nonlocal merged
        for name, tensor in tensors():
            for_disk.append(merged - sum(arrived))
            merged += tensor.nbytes
            yield name, tensor

    write_model(watched(), PLANNED, tmp_path, unheard)
    assert max(for_disk) <= 16_000


@pytest.mark.parametrize("where", ["merge", "write", "watch"])
def test_an_error_on_either_side_ends_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    class Trouble(Exception):
        pass

    def breaking() -> Iterator[NamedTensor]:
        for name, tensor in tensors():
            if where == "merge" and name == "t3":
                raise Trouble
            yield name, tensor

    def heard(done: Written) -> None:
        if where == "watch":
            raise Trouble

    def full(descriptor: int, data: memoryview) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    if where == "write":
        monkeypatch.setattr(os, "write", full)
    before = threading.active_count()
    with pytest.raises(RoomError if where == "write" else Trouble):
        write_model(breaking(), PLANNED, tmp_path, heard)
    assert threading.active_count() == before


def test_pages_of_parents_are_let_go_behind_the_merge(
    tmp_path: Path, ties: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    gone: list[str] = []
    monkeypatch.setattr(MappedFiles, "soon", lambda self, entry: asked.append(entry.name))
    monkeypatch.setattr(MappedFiles, "done", lambda self, entry: gone.append(entry.name))
    write(tmp_path, ties)
    n_jobs = len(load_file(tmp_path / SINGLE))
    assert len(asked) == 3 * n_jobs and len(gone) == 3 * (n_jobs - 1)


def test_torch_is_asked_for_a_gpu_only_where_there_is_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert best_device() == ("cuda" if streaming._may_have_gpu() else "cpu")
    monkeypatch.setattr(streaming.ctypes, "CDLL", missing)
    assert best_device() == "cpu" or Path("/dev/kfd").exists()
    monkeypatch.setattr(streaming.ctypes, "CDLL", str)
    assert best_device() == "cuda"


@pytest.mark.slow
def test_a_merge_needs_memory_for_tensors_not_for_models(tmp_path: Path) -> None:
    """Four parents of 61 M parameters are 490 MB, the result 122; torch alone takes about 150 MB."""
    wide = config(
        hidden_size=512, intermediate_size=2048, num_hidden_layers=16, num_attention_heads=8, num_key_value_heads=4
    )
    base = write_parent(tmp_path / "base", wide, dtype=torch.bfloat16)
    models = [write_relative(tmp_path / f"ft{i}", base, seed=i) for i in range(3)]
    lines = [f"  - {{model: {folder}, parameters: {{weight: 0.3}}}}" for folder in models]
    (tmp_path / "recipe.yml").write_text(
        "\n".join([f"base_model: {base}", "merge_method: task_arithmetic", "dtype: bfloat16", "models:", *lines])
    )
    assert peak_anonymous([str(tmp_path / "recipe.yml"), str(tmp_path / "out")]) < 400e6


def peak_anonymous(arguments: list[str]) -> int:
    """Bytes of memory of its own that a merge has at most, looked at every 5 ms."""
    process = subprocess.Popen([sys.executable, "-m", "merging", *arguments], cwd=ROOT)
    peak = 0
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        found = [line.split()[1] for line in status.splitlines() if line.startswith("RssAnon")]
        peak = max(peak, *(1024 * int(n) for n in found), 0)
        time.sleep(0.005)
    assert process.returncode == 0
    return peak

"""Files that are small and ask for much: refused, or bounded, before memory or hours are gone. And files that are none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from merging.errors import MergingError, ParentError
from merging.fingerprints import take_inventory
from merging.indexes import parent_facts
from merging.tokenizers import FILES, write_tokenizer
from merging.vocabularies import read_vocabulary
from merging.yamls import read_yaml

Edit = Callable[..., None]
HUGE = {
    "num_hidden_layers": 10**9,
    "vocab_size": 10**12,
    "hidden_size": 10**12,
    "num_attention_heads": 10**9,
    "num_key_value_heads": 10**9,
    "intermediate_size": 10**12,
    "head_dim": 10**9,
    "max_position_embeddings": 10**12,
}
MEASURED = """
import resource, sys, torch
from merging.workbench import Workbench
from merging.recipes import Parent, passthrough_recipe
from merging.fingerprints import fingerprint
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for folder in sys.argv[1:]:
    try:
        Workbench("cpu").model(passthrough_recipe(Parent("m", folder, fingerprint(folder)))).complete(["1"], 1)
    except Exception as error:  # whatever it says
        print(folder, error, file=sys.stderr)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("key", ["num_hidden_layers", "vocab_size", "hidden_size"])
def test_a_configuration_larger_than_its_tensors_is_refused(folder: Path, edit: Edit, key: str) -> None:
    edit("config.json", **{key: HUGE[key]})
    with pytest.raises(ParentError):
        parent_facts(folder)


@pytest.mark.timeout(300)
@pytest.mark.slow
def test_to_score_a_model_that_lies_takes_no_memory(folder: Path, edit: Edit, tmp_path: Path) -> None:
    import shutil

    folders = []
    for key, value in HUGE.items():
        lies = Path(shutil.copytree(folder, tmp_path / "lies" / key))
        path = lies / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
        folders.append(str(lies))
    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *folders], capture_output=True, text=True, cwd=root, timeout=250, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) < 500  # MB


@pytest.mark.parametrize(
    "content",
    [
        b'{"model": {"vocab": {"a": 0}, "type": "BPE"}, "x": "' + b"x" * (65 * 2**20) + b'"}',
        b'{"model": {"vocab": [' + b",".join([b"0"] * (5 * 2**20)) + b"]}}",
        b"[" * 100_000,
        b'{"model": {"vocab": {"a": 0, "a": 1}}}',
        b"{",
    ],
    ids=["too large", "too full", "too deep", "twice", "cut"],
)
def test_a_tokenizer_that_is_too_much_is_refused(folder: Path, content: bytes) -> None:
    (folder / "tokenizer.json").write_bytes(content)
    with pytest.raises(ParentError, match=r"tokenizer\.json"):
        read_vocabulary(folder)


@pytest.mark.parametrize("kind", ["secret", "fifo", "zero", "folder", "nowhere", "itself"])
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", *FILES, "README.md"])
def test_what_is_no_file_of_the_folder_is_neither_read_nor_waited_for(
    folder: Path, tmp_path: Path, name: str, kind: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("THE SECRET")
    path, built = folder / name, tmp_path / "built"
    path.unlink(missing_ok=True)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to({"secret": secret, "zero": "/dev/zero", "nowhere": "nowhere", "itself": name}[kind])
    built.mkdir()
    try:
        parent_facts(folder)
        take_inventory(folder)
        write_tokenizer(built, folder, (), None, "")
    except MergingError as error:
        assert "THE SECRET" not in str(error)
    assert all("THE SECRET" not in file.read_text(errors="replace") for file in built.iterdir())


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefghij", "bcdefghijk", strict=True)),
        "[" * 10_000,
        "x: " + "9" * 300_000,
    ],
    ids=["laughs", "depth", "size"],
)
def test_a_recipe_that_is_a_bomb_is_refused(text: str) -> None:
    with pytest.raises(MergingError):
        read_yaml(text, "the recipe", MergingError)

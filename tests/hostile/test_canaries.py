"""Code that strangers put where models, tokenizers, data sets and tasks are read: none of it is run.

Every canary is alive: what would run it is shown to run it, where that is cheap.
"""

from __future__ import annotations

import io
import os
import pickle
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from merging.benchmarks.harness import _apart, freeze
from merging.errors import MergingError, ParentError, UnknownNameError
from merging.fingerprints import fingerprint, take_inventory
from merging.harness import index
from merging.indexes import parent_facts
from merging.recipes import Parent, passthrough_recipe
from merging.vocabularies import read_vocabulary
from merging.workbench import Workbench
from merging.yamls import read_yaml

Edit = Callable[..., None]


class Payload:
    """What a pickle runs when it is opened."""

    def __init__(self, code: str) -> None:
        self._code = code

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, (self._code,)


def pickled(code: str) -> bytes:
    return pickle.dumps(Payload(code))


def parent(folder: Path) -> Parent:
    return Parent("stranger/model", str(folder), fingerprint(folder))


def answer(folder: Path) -> str:
    """One completion of the model, by the way that a candidate goes."""
    bench = Workbench("cpu")
    try:
        return bench.model(passthrough_recipe(parent(folder))).complete(["1+1="], 4)[0].text
    finally:
        bench.close()


def built(folder: Path, target: Path) -> set[str]:
    """The names of the files of a model that is built from it."""
    bench = Workbench("cpu")
    try:
        bench.build(passthrough_recipe(parent(folder)), target)
    finally:
        bench.close()
    return {file.name for file in target.rglob("*")}


def refused(folder: Path) -> str:
    """Why the folder can be no parent."""
    with pytest.raises(ParentError) as error:
        parent_facts(folder)
        read_vocabulary(folder)
    return str(error.value)


def test_the_canaries_are_alive(code: str, tmp_path: Path) -> None:
    sings = tmp_path / "sings"
    pickle.loads(pickled(code.replace("canary", "sings")))
    assert sings.exists()


# --- models ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["at the top", "nested"])
def test_a_model_with_code_of_its_own_is_refused(folder: Path, edit: Edit, code: str, canary: Path, where: str) -> None:
    (folder / "modeling_evil.py").write_text(code)
    auto_map = {"AutoConfig": "modeling_evil.Config", "AutoModelForCausalLM": "modeling_evil.Model"}
    edit(
        "config.json",
        **({"auto_map": auto_map} if where == "at the top" else {"text_config": [{"auto_map": auto_map}]}),
    )
    assert "brings its own code (auto_map in config.json)" in refused(folder)
    with pytest.raises(ParentError, match="brings its own code"):
        answer(folder)


@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation", "experts_implementation"])
@pytest.mark.parametrize("value", ["evil/kernel", "paged|evil/kernel@main:f", {"": "evil/kernel"}])
def test_kernels_of_a_repository_are_code_too(folder: Path, edit: Edit, key: str, value: object) -> None:
    edit("config.json", **{key: value})
    assert f"brings its own code ({key} in config.json)" in refused(folder)


def test_a_built_in_attention_is_no_code(folder: Path, edit: Edit) -> None:
    edit("config.json", _attn_implementation="eager", attn_implementation=None)
    assert parent_facts(folder).n_layers > 0


def test_programs_beside_a_model_are_neither_imported_nor_built_into_others(
    folder: Path, code: str, canary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = (
        "modeling_llama",
        "configuration_llama",
        "tokenization_llama",
        "tokenizers",
        "sitecustomize",
        "torch",
        "__init__",
    )
    for name in names:
        (folder / f"{name}.py").write_text(code)
    (folder / "custom_generate").mkdir()
    (folder / "custom_generate" / "generate.py").write_text(f"{code}\ndef generate(*a, **k): {code}")
    monkeypatch.chdir(folder)
    before = set(sys.modules)
    assert answer(folder)
    assert not [
        name for name in set(sys.modules) - before if str(folder) in str(getattr(sys.modules[name], "__file__", ""))
    ]
    suffixes = {Path(name).suffix for name in built(folder, tmp_path / "built")}
    assert suffixes <= {".json", ".md", ".safetensors", ".yml", ".yaml", ".jinja", ""}


def test_a_pickle_alone_is_refused_by_its_name(folder: Path, code: str, canary: Path, unpickled: list[str]) -> None:
    (folder / "model.safetensors").unlink()
    for name in ("pytorch_model.bin", "model.pt", "consolidated.00.pth", "weights.npz", "model.ckpt", "model.pkl"):
        (folder / name).write_bytes(pickled(code))
        assert name in refused(folder) and "other formats can run code" in refused(folder)
        (folder / name).unlink()
    assert unpickled == []


@pytest.mark.parametrize("kind", ["pickle", "torch", "zip", "npz"])
def test_a_pickle_in_disguise_is_refused(
    folder: Path, code: str, canary: Path, unpickled: list[str], kind: str
) -> None:
    content = io.BytesIO()
    if kind == "torch":
        torch.save(Payload(code), content)
    elif kind in ("zip", "npz"):
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("data.pkl" if kind == "zip" else "arr.npy", pickled(code))
    else:
        content.write(pickled(code))
    (folder / "model.safetensors").write_bytes(content.getvalue())
    assert "model.safetensors" in refused(folder)
    assert unpickled == []


def test_pickles_beside_a_model_are_never_opened(
    folder: Path, code: str, canary: Path, unpickled: list[str], tmp_path: Path
) -> None:
    names = (
        "pytorch_model.bin",
        "optimizer.pt",
        "training_args.bin",
        "tokenizer.model",
        "adapter_model.bin",
        "model.npz",
    )
    for name in names:
        (folder / name).write_bytes(pickled(code))
    assert answer(folder)
    take_inventory(folder)
    assert built(folder, tmp_path / "built") & set(names) <= {"tokenizer.model"}
    assert unpickled == []


def test_an_adapter_that_names_another_model_leads_nowhere(folder: Path, edit: Edit, canary: Path) -> None:
    edit(
        "adapter_config.json",
        base_model_name_or_path="evil/model",
        peft_type="LORA",
        auto_mapping={"parent_library": "os"},
    )
    assert answer(folder)


def test_a_generation_config_brings_no_code(folder: Path, edit: Edit, code: str, canary: Path) -> None:
    (folder / "evil.py").write_text(code)
    keys = {"custom_generate": "evil/generate", "auto_map": {"x": "evil.X"}}
    edit("generation_config.json", **keys)
    assert answer(folder)


# --- tokenizers ------------------------------------------------------------------------------------------------------


def test_a_tokenizer_with_code_of_its_own_is_refused(folder: Path, edit: Edit, code: str, canary: Path) -> None:
    (folder / "tokenization_evil.py").write_text(code)
    edit("tokenizer_config.json", auto_map={"AutoTokenizer": ["tokenization_evil.Tokenizer", None]})
    assert "the tokenizer of addition brings its own code (auto_map)" in refused(folder)


@pytest.mark.parametrize("name", ["tokenization_evil.Tokenizer", "os", "../evil", "Evil", "__import__('os')"])
def test_the_class_of_a_tokenizer_is_a_name_and_no_code(
    folder: Path, edit: Edit, code: str, canary: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (folder / "tokenization_evil.py").write_text(code)
    edit("tokenizer_config.json", tokenizer_class=name, processor_class=name)
    monkeypatch.chdir(folder)
    try:
        answer(folder)
    except (MergingError, ValueError, OSError, AttributeError):
        pass  # to refuse it is right as well


# --- archives and recipes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["zip", "tar", "gguf"])
def test_an_archive_is_no_model_and_is_not_unpacked(folder: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"model.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(folder / "config.json", "../../config.json")
    elif kind == "tar":
        with tarfile.open(path, "w") as tar:
            tar.add(folder / "config.json", "../../config.json")
    else:
        path.write_bytes(b"GGUF" + bytes(100))
    before = sorted(tmp_path.rglob("*"))
    assert str(path.name) in refused(path)
    for file in list(folder.iterdir()):
        file.unlink()
    shutil.copy(path, folder)
    assert f"addition has {path.name} but no safetensors" in refused(folder)
    assert sorted(set(tmp_path.rglob("*")) - set(before)) == [folder / path.name]


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['CODE']",
        "!!python/object/new:exec ['CODE']",
        "x: !!python/name:os.system",
        "process_docs: !function evil.run",
        "include: evil.yml\nx: !include evil.yml",
        "models: !!python/module:evil",
    ],
)
def test_yaml_is_data(text: str, code: str, canary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "evil.py").write_text(code)
    (tmp_path / "evil.yml").write_text("x: !!python/object/apply:exec [1]")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MergingError):
        read_yaml(text.replace("CODE", code.replace("'", '"')), "the recipe", MergingError)


# --- tasks and data sets ---------------------------------------------------------------------------------------------

EVIL_TASK = (
    "task: evil\ndataset_path: evil\nprocess_docs: !function evil.run\ntest_split: test\noutput_type: generate_until\n"
)


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    """A list with one sound task."""
    import json
    from dataclasses import astuple

    found = tmp_path / "index"
    found.mkdir()
    entry = index.Entry("gsm8k", "task", "gsm8k/gsm8k.yaml", ("exact_match,strict-match",))
    (found / f"lm-eval-{index.harness_version()}.json").write_text(json.dumps([astuple(entry)]))
    return found


@pytest.mark.parametrize("name", ["evil", "evil.yaml", "ABSOLUTE", "../evil", "gsm8k/../../evil"])
def test_a_task_is_a_name_of_the_harness_and_never_a_file(
    name: str, tasks: Path, code: str, canary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil.yaml").write_text(EVIL_TASK)
    (tmp_path / "evil.py").write_text(f"{code}\ndef run(docs): {code}; return docs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LMEVAL_INCLUDE_PATH", str(tmp_path))
    with pytest.raises(UnknownNameError):
        freeze(
            name.replace("ABSOLUTE", str(tmp_path / "evil.yaml")), "acc,none", tmp_path / "frozen", cache=tasks, seed=1
        )


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"unsafe_code": True}, "runs code that the model writes"),
        ({"dataset_kwargs": {"trust_remote_code": True}}, "needs a program from its data set's repository"),
        ({"custom_dataset": "f"}, "makes its data set by a program"),
        (
            {"metric_list": [{"metric": "evil/metric", "aggregation": "mean", "hf_evaluate": True}]},
            "program that would be fetched from the Hub",
        ),
    ],
)
def test_tasks_that_would_run_code_of_others_cannot_be_benchmarks(keys: dict[str, Any], reason: str) -> None:
    config = {"dataset_path": "x", "output_type": "multiple_choice"} | keys
    assert reason in index._refusal(config, index.metric_refusals(config))


@pytest.mark.timeout(300)
def test_a_data_set_s_name_is_no_folder_of_where_a_worker_is(
    tasks: Path, code: str, canary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`load_dataset("openai/gsm8k")` takes a folder of that name before it asks the Hub."""
    here = tmp_path / "cwd"
    evil = here / "openai" / "gsm8k"
    evil.mkdir(parents=True)
    (evil / "gsm8k.py").write_text(code)
    (evil / "main").mkdir()
    for split in ("train", "test"):
        (evil / "main" / f"{split}.jsonl").write_text('{"question": "planted?", "answer": "#### 1"}\n' * 99)
    (here / "sitecustomize.py").write_text(code)
    (here / "datasets.py").write_text(code)
    monkeypatch.chdir(here)
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    with pytest.raises(MergingError, match="gsm8k cannot be frozen"):
        freeze("gsm8k", "exact_match,strict-match", tmp_path / "frozen", cache=tasks, seed=1)
    assert not (tmp_path / "frozen").exists()


def test_programs_apart_begin_in_an_empty_folder(
    tmp_path: Path, code: str, canary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    done = _apart("frozen", {}, 60, dict(os.environ) | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])})
    assert done.returncode == 0

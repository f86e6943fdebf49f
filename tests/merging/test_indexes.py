"""Model folders: what they hold, and what bars them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from merging.errors import ParentError, RecipeError
from merging.fingerprints import fingerprint
from merging.indexes import INDEX, SINGLE, TensorIndex, parent_facts
from merging.plans import plan
from merging.recipes import LayerGroup, uniform_average
from tests.merging.models import (
    N_TOKENS,
    config,
    edit_json,
    parent,
    set_config,
    shard,
    tensors,
    write_parent,
)


@pytest.mark.parametrize("model_type", ["llama", "mistral", "qwen2"])
@pytest.mark.parametrize("tied", [False, True])
def test_facts_are_those_of_the_files(tmp_path: Path, model_type: str, tied: bool) -> None:
    chosen = config(model_type, tie_word_embeddings=tied)
    facts = parent_facts(write_parent(tmp_path / "m", chosen, dtype=torch.bfloat16))
    made = tensors(chosen, seed=0)
    assert (facts.model_type, facts.n_layers, facts.hidden_size, facts.vocab_size) == (model_type, 3, 16, N_TOKENS)
    assert facts.n_parameters == sum(tensor.numel() for tensor in made.values())
    assert (facts.n_bytes, facts.dtype, facts.tied_embeddings) == (2 * facts.n_parameters, "bfloat16", tied)
    assert list(facts.tensors) == list(made)


def test_shards_hold_the_same_facts(tmp_path: Path) -> None:
    whole, parts = write_parent(tmp_path / "whole"), shard(write_parent(tmp_path / "parts"))
    assert parent_facts(parts).n_parameters == parent_facts(whole).n_parameters
    assert list(parent_facts(parts).tensors) == list(parent_facts(whole).tensors)


def test_the_dtype_is_that_of_most_bytes(tmp_path: Path) -> None:
    folder = write_parent(tmp_path / "m", dtype=torch.float16)
    mixed = {name: tensor.float() if "norm" in name else tensor for name, tensor in load_file(folder / SINGLE).items()}
    save_file(mixed, folder / SINGLE)
    assert parent_facts(folder).dtype == "float16"


def test_old_buffers_and_a_stored_tied_head_are_no_parameters(tmp_path: Path) -> None:
    folder = write_parent(tmp_path / "m", config(tie_word_embeddings=True))
    n_parameters, found = parent_facts(folder).n_parameters, load_file(folder / SINGLE)
    found["lm_head.weight"] = found["model.embed_tokens.weight"].clone()
    found["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)
    save_file(found, folder / SINGLE)
    assert parent_facts(folder).n_parameters == n_parameters


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: apache-2.0\ntags: [merge]\n---\n# Model", "apache-2.0"),
        ("---\r\nlicense: mit\r\n---\r\n", "mit"),
        ("# No front matter", ""),
        ("---\nlicense: [a, b]\n---\n", ""),
        ("---\n: [\n---\n", ""),
    ],
)
def test_the_licence_is_the_card_s(tmp_path: Path, card: str, licence: str) -> None:
    folder = write_parent(tmp_path / "m")
    (folder / "README.md").write_bytes(card.encode())
    assert parent_facts(folder).licence == licence


def test_the_fingerprint_changes_with_what_a_model_does_and_not_with_its_card(tmp_path: Path) -> None:
    folder = write_parent(tmp_path / "m")
    first = fingerprint(folder)
    (folder / "README.md").write_text("a card")
    assert fingerprint(folder) == first == parent_facts(folder).fingerprint
    assert fingerprint(write_parent(tmp_path / "again")) == first
    save_file(tensors(config(), seed=1), folder / SINGLE)
    assert fingerprint(folder) != first


def remove_tensor(folder: Path, name: str) -> None:
    save_file({n: t for n, t in load_file(folder / SINGLE).items() if n != name}, folder / SINGLE)


def add_tensor(folder: Path, name: str, tensor: torch.Tensor) -> None:
    save_file(load_file(folder / SINGLE) | {name: tensor}, folder / SINGLE)


def replace_weights(folder: Path, name: str) -> None:
    (folder / SINGLE).unlink()
    (folder / name).write_bytes(b"\x80\x02.")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: set_config(f, auto_map={"AutoModel": "code.Model"}), "brings its own code"),
        (lambda f: set_config(f, quantization_config={}), "is quantised"),
        (
            lambda f: add_tensor(f, "model.layers.0.self_attn.q_proj.bias", torch.zeros(16)),
            "q_proj.bias is not a tensor of Llama with 3 layers and attention_bias false",
        ),
        (lambda f: set_config(f, attention_bias=True), "model.layers.0.self_attn.q_proj.bias is missing"),
        (lambda f: set_config(f, model_type=None), "model_type of m is None"),
        (lambda f: set_config(f, num_hidden_layers=10**9), "num_hidden_layers of m is 1000000000; expected 1 to"),
        (lambda f: set_config(f, num_hidden_layers="3"), "num_hidden_layers of m is '3'"),
        (
            lambda f: set_config(f, num_hidden_layers=4),
            "model.layers.3.input_layernorm.weight is missing; .* and 1 more",
        ),
        (lambda f: set_config(f, num_hidden_layers=2), "is not a tensor of Llama with 2 layers"),
        (lambda f: set_config(f, vocab_size=7), r"embed_tokens.weight is \[259, 16\]; expected \[7, 16\]"),
        (lambda f: remove_tensor(f, "lm_head.weight"), "lm_head.weight is missing"),
        (lambda f: add_tensor(f, "adapter", torch.ones(1)), "adapter is not a tensor of Llama"),
        (lambda f: add_tensor(f, "model.norm.weight", torch.ones(16, dtype=torch.int8)), "has dtype I8"),
        (lambda f: replace_weights(f, "pytorch_model.bin"), "has pytorch_model.bin but no safetensors"),
        (lambda f: replace_weights(f, "weights.txt"), "no model.safetensors and no model.safetensors.index.json"),
        (lambda f: (f / "config.json").unlink(), "has no config.json"),
        (lambda f: (f / "config.json").write_text('{"a": 1, "a": 2}'), "the key 'a' comes twice"),
        (lambda f: (f / "config.json").write_text("[" * 100_000), "cannot be read"),
    ],
)
def test_a_folder_that_cannot_be_a_parent_is_refused(
    tmp_path: Path, change: Callable[[Path], Any], message: str
) -> None:
    folder = write_parent(tmp_path / "m")
    change(folder)
    with pytest.raises(ParentError, match=message):
        parent_facts(folder)


@pytest.mark.parametrize("folder", ["relative/path", "/no/such/folder", __file__])
def test_what_is_no_absolute_folder_is_refused(folder: str) -> None:
    with pytest.raises(ParentError, match="expected the absolute path"):
        parent_facts(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i: i.update(weight_map=3), "weight_map of .* is 3"),
        (lambda i: i["weight_map"].update(ghost="model-0.safetensors"), "lacks ghost, which"),
        (lambda i: i["weight_map"].pop("model.norm.weight"), "tensor model.norm.weight is in .* expects it nowhere"),
        (lambda i: i["weight_map"].update(x="model-2.safetensors"), "model-2.safetensors in .* is missing"),
        (
            lambda i: i["weight_map"].update(x="../model-0.safetensors"),
            "expected the name of a safetensors file beside it",
        ),
        (lambda i: i["weight_map"].update(x="/etc/passwd"), "expected the name of a safetensors file"),
        (lambda i: i["weight_map"].update(x=".hidden.safetensors"), "expected the name of a safetensors file"),
        (lambda i: i["weight_map"].update(x=None), "the file of x"),
    ],
)
def test_an_index_that_lies_is_refused(tmp_path: Path, change: Callable[[Any], Any], message: str) -> None:
    folder = shard(write_parent(tmp_path / "m"))
    edit_json(folder / INDEX, change)
    with pytest.raises(ParentError, match=message):
        TensorIndex.open(folder)


def test_a_folder_that_moved_keeps_its_fingerprint(tmp_path: Path) -> None:
    folder = write_parent(tmp_path / "a")
    assert fingerprint(shutil.copytree(folder, tmp_path / "b")) == fingerprint(folder)


def test_a_model_of_an_unlisted_family_is_one_group_of_all_its_tensors(tmp_path: Path) -> None:
    """Depth, width and vocabulary are what names and shapes tell."""
    folder = write_parent(tmp_path / "m")
    (folder / "config.json").write_text('{"model_type": "home_made"}')
    add_tensor(folder, "model.layers.0.adapter", torch.ones(1))
    facts = parent_facts(folder)
    assert set(facts.tensors) == set(load_file(folder / SINGLE)) and not facts.config.family.is_listed
    assert (facts.model_type, facts.n_layers, facts.hidden_size, facts.vocab_size) == ("home_made", 3, 16, N_TOKENS)
    assert {facts.config.family.place(name) for name in facts.tensors} == {"before"}
    known = parent(folder)
    assert len(plan(uniform_average([known]), {known: facts})) == len(facts.tensors)


def test_layers_of_an_unlisted_family_cannot_be_told_apart(tmp_path: Path) -> None:
    folder = write_parent(tmp_path / "m", config("llama"))
    set_config(folder, model_type="home_made")
    known = parent(folder)
    halves = (
        LayerGroup("first", 0, 1, before=True, after=False),
        LayerGroup("rest", 1, 3, before=False, after=True),
    )
    whole = uniform_average([known])
    recipe = replace(whole, groups=halves, values=whole.values * 2)
    with pytest.raises(RecipeError, match=r"m is of the unlisted family home_made.* expected one group over the whole"):
        plan(recipe, {known: parent_facts(folder)})


def test_a_model_of_an_unlisted_family_without_code_is_still_no_place_for_code(tmp_path: Path) -> None:
    folder = write_parent(tmp_path / "m")
    set_config(folder, model_type="home_made", auto_map={"AutoModel": "code.Model"})
    with pytest.raises(ParentError, match="brings its own code"):
        parent_facts(folder)

"""Model folders: what they hold, what bars them, and which fit each other."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from merging.errors import ParentError, RecipeError
from merging.fingerprints import fingerprint
from merging.indexes import INDEX, SINGLE, TensorIndex, check_fit, parent_facts
from merging.methods import methods
from merging.recipes import Parent
from tests.merging.models import N_TOKENS, config, parent, tensors, write_parent


def edit_json(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def shard(folder: Path) -> Path:
    """The same folder with its tensors in two files and an index."""
    found = load_file(folder / SINGLE)
    weight_map = {name: f"model-{i % 2}.safetensors" for i, name in enumerate(found)}
    for file in set(weight_map.values()):
        save_file({name: found[name] for name in found if weight_map[name] == file}, folder / file)
    (folder / SINGLE).unlink()
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    return folder


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


def set_config(folder: Path, **changes: Any) -> None:
    edit_json(folder / "config.json", lambda value: value.update(changes))


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


def fit(base: Path, *others: Path) -> None:
    check_fit(methods.get("ties"), [parent(other) for other in others], parent(base))


def test_relatives_fit(relatives: dict[str, Parent]) -> None:
    check_fit(methods.get("ties"), (relatives["one"], relatives["two"]), relatives["base"])
    check_fit(methods.get("linear"), (relatives["one"], relatives["two"]), None)


def test_parents_of_other_dtypes_and_shards_fit(tmp_path: Path) -> None:
    fit(write_parent(tmp_path / "a"), shard(write_parent(tmp_path / "b", dtype=torch.bfloat16)))


def test_configurations_written_the_old_way_fit(tmp_path: Path) -> None:
    old = config(rope_theta=5000.0, rope_scaling=None)
    new = config(rope_parameters={"rope_theta": 5000.0, "rope_type": "default"}, head_dim=8)
    fit(write_parent(tmp_path / "old", old), write_parent(tmp_path / "new", new))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_hidden_layers": 2}, "number of layers is 2 in b and 3 in a"),
        ({"hidden_size": 32}, "hidden_size is 32 in b and 16 in a"),
        ({"vocab_size": 300}, "vocab_size is 300 in b and 259 in a"),
        ({"model_type": "mistral"}, "model_type is mistral in b and llama in a"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings is True in b and False in a"),
        ({"num_attention_heads": 4, "num_key_value_heads": 2}, "num_attention_heads is 4 in b and 2 in a"),
        ({"rope_theta": 1e6}, "rotary positions is .*1000000 in b and .*10000 in a"),
        ({"rms_norm_eps": 1e-5}, "rms_norm_eps is 1e-05 in b and 1e-06 in a"),
        ({"intermediate_size": 32}, r"layers.0.mlp.gate_proj.weight is \[32, 16\] in b and \[24, 16\] in a"),
    ],
)
def test_what_differs_is_named_with_both_values(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ParentError, match=message):
        fit(write_parent(tmp_path / "a"), write_parent(tmp_path / "b", config(**changes)))


def test_biases_that_only_one_has_are_named(tmp_path: Path) -> None:
    one, other = write_parent(tmp_path / "a"), write_parent(tmp_path / "b", config(attention_bias=True))
    with pytest.raises(ParentError, match=r"a has no model.layers.0.self_attn.q_proj.bias, b has"):
        fit(one, other)


def test_all_mismatches_of_all_parents_are_named(tmp_path: Path) -> None:
    a, b = write_parent(tmp_path / "a"), write_parent(tmp_path / "b", config(rms_norm_eps=1e-5))
    c = write_parent(tmp_path / "c", config(hidden_size=32))
    with pytest.raises(ParentError, match=r"rms_norm_eps is .* in b .*hidden_size is 32 in c"):
        fit(a, b, c)


def test_tokenizers_that_differ_are_refused_with_examples(tmp_path: Path) -> None:
    one, other = write_parent(tmp_path / "a"), write_parent(tmp_path / "b")

    def change(value: dict[str, Any]) -> None:
        vocab = value["model"]["vocab"]
        vocab["A"], vocab["B"] = vocab["B"], vocab["A"]
        value["added_tokens"][0]["content"] = "<begin>"

    edit_json(other / "tokenizer.json", change)
    with pytest.raises(ParentError) as raised:
        fit(one, other)
    for words in (
        "tokenizers of a and b differ",
        "1 tokens only in a, such as '<s>'",
        "such as '<begin>'",
        "2 tokens have other numbers",
    ):
        assert words in str(raised.value)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    one, other = write_parent(tmp_path / "a"), write_parent(tmp_path / "b")
    (other / "tokenizer.json").unlink()
    with pytest.raises(ParentError, match=r"has no tokenizer.json"):
        fit(one, other)


def test_a_single_parent_needs_a_tokenizer_of_its_size_too(tmp_path: Path) -> None:
    folder = write_parent(tmp_path / "a")

    def alone() -> None:
        check_fit(methods.get("passthrough"), [parent(folder)], None)

    alone()
    edit_json(folder / "tokenizer.json", lambda value: value["added_tokens"].append({"content": "<far>", "id": 5000}))
    with pytest.raises(ParentError, match="1 tokens of a, such as '<far>', lie beyond its 259 embeddings"):
        alone()
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ParentError, match=r"has no tokenizer.json"):
        alone()


def test_a_tokenizer_with_code_is_refused(tmp_path: Path) -> None:
    folder = write_parent(tmp_path / "a")
    edit_json(
        folder / "tokenizer_config.json", lambda value: value.update(auto_map={"AutoTokenizer": ["evil.T", None]})
    )
    with pytest.raises(ParentError, match=r"the tokenizer of a brings its own code"):
        check_fit(methods.get("passthrough"), [parent(folder)], None)


def test_the_number_of_parents_is_the_recipe_s_business(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="Passthrough takes 1 parent, found 2"):
        folder = write_parent(tmp_path / "a")
        check_fit(methods.get("passthrough"), [parent(folder), parent(folder, "b")], None)


def test_a_folder_that_moved_keeps_its_fingerprint(tmp_path: Path) -> None:
    folder = write_parent(tmp_path / "a")
    assert fingerprint(shutil.copytree(folder, tmp_path / "b")) == fingerprint(folder)

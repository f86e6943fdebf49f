"""Small parents on disk: real folders with real tensors and a real tokenizer, written in milliseconds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers import models as token_models
from transformers import PreTrainedTokenizerFast

from merging.families import Layout, families
from merging.fingerprints import fingerprint
from merging.indexes import INDEX, SINGLE
from merging.recipes import Parent

N_TOKENS = 259
WIDTHS = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "num_hidden_layers": 3,
    "vocab_size": N_TOKENS,
    "max_position_embeddings": 128,
}


def config(model_type: str = "llama", **changes: Any) -> dict[str, Any]:
    """A configuration as a folder stores it."""
    rest = {"rms_norm_eps": 1e-6, "tie_word_embeddings": False, "bos_token_id": 256, "eos_token_id": 257}
    return {"model_type": model_type, **WIDTHS, **rest, **changes}


def shape_of(name: str, c: dict[str, Any]) -> tuple[int, ...]:
    """The shape that a tensor of this name has."""
    width, inner = c["hidden_size"], c["intermediate_size"]
    small = width * c["num_key_value_heads"] // c["num_attention_heads"]
    part = name.split(".")[-2]
    if part in ("embed_tokens", "lm_head"):
        return (c["vocab_size"], width)
    if "norm" in part:
        return (width,)
    rows = {"k_proj": small, "v_proj": small, "gate_proj": inner, "up_proj": inner}.get(part, width)
    return (rows,) if name.endswith("bias") else (rows, inner if part == "down_proj" else width)


def layout(c: dict[str, Any]) -> Layout:
    """Which tensors a model of a Llama-like family has."""
    off = {"attention_bias": False, "mlp_bias": False}
    return Layout(c["num_hidden_layers"], c["tie_word_embeddings"], {name: c.get(name, off[name]) for name in off})


def tensors(
    c: dict[str, Any], seed: int, dtype: torch.dtype = torch.float32, scale: float = 0.3
) -> dict[str, torch.Tensor]:
    """Random tensors of a whole model; norms near 1."""
    generator = torch.Generator().manual_seed(seed)
    names = families.get(c["model_type"]).required(layout(c))
    drawn = {name: torch.randn(shape_of(name, c), generator=generator) * scale for name in names}
    return {name: (tensor + 1 if "norm" in name else tensor).to(dtype) for name, tensor in drawn.items()}


def tokenizer() -> PreTrainedTokenizerFast:
    """Bytes as tokens, with a begin, an end and a padding token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = Tokenizer(token_models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    made: Any = PreTrainedTokenizerFast  # the library leaves it without types
    found: PreTrainedTokenizerFast = made(
        tokenizer_object=words, bos_token="<s>", eos_token="</s>", pad_token="<pad>", padding_side="left"
    )
    return found


def write_parent(folder: Path, c: dict[str, Any] | None = None, **of_tensors: Any) -> Path:
    """A parent folder; `of_tensors` are arguments of `tensors`."""
    chosen = c or config()
    folder.mkdir(parents=True)
    tokenizer().save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(chosen))
    save_file(tensors(chosen, **{"seed": 0, **of_tensors}), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def write_relative(folder: Path, base: Path, seed: int, scale: float = 0.05) -> Path:
    """A fine-tune of a base folder: the same files, tensors moved a little."""
    c = json.loads((base / "config.json").read_text())
    write_parent(folder, c, seed=seed, scale=scale)
    here, there = load_file(base / "model.safetensors"), load_file(folder / "model.safetensors")
    moved = {name: here[name] + (there[name] - 1 if "norm" in name else there[name]) for name in here}
    save_file(moved, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def parent(folder: Path, name: str | None = None) -> Parent:
    """The parent that a folder is."""
    return Parent(name or folder.name, str(folder), fingerprint(folder))


def bits(tensor: torch.Tensor) -> torch.Tensor:
    """The elements as whole numbers: a comparison of them tells -0 from 0."""
    return tensor.view({2: torch.int16, 4: torch.int32}[tensor.element_size()])


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


def set_config(folder: Path, **changes: Any) -> None:
    edit_json(folder / "config.json", lambda value: value.update(changes))

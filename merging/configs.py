"""`config.json` of a model folder: the few facts that merging depends on, read without any library's model classes.

A folder that brings its own code (`auto_map`) is refused here, before anything could run it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from merging import plain
from merging.errors import ParentError
from merging.families import Family, families
from merging.files import read_regular

MAX_JSON_BYTES: Final = 64 * 1024 * 1024
"""A tokenizer of 262,000 tokens has 33 MB."""
MAX_JSON_MARKS: Final = 4 * 1024 * 1024
"""Colons and commas, each of which costs a value; that tokenizer has 1.5 million."""
MAX_CONFIG_BYTES: Final = 1024 * 1024
MAX_LAYERS: Final = 10_000
MAX_WIDTH: Final = 2**31 - 1

# What changes a model's arithmetic while all tensors keep their shapes. Values are the library's defaults for these
# families; rotary positions are compared apart, because they are written in two ways.
ARITHMETIC: Final[Mapping[str, object]] = {
    "num_attention_heads": None,
    "num_key_value_heads": None,
    "head_dim": None,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
}


@dataclass(frozen=True)
class ModelConfig:
    """What `config.json` says. `arithmetic` is what no tensor's shape shows."""

    family: Family
    n_layers: int
    hidden_size: int
    vocab_size: int
    tied_embeddings: bool
    arithmetic: Mapping[str, object]

    def must_agree(self) -> Mapping[str, object]:
        """What two models must have in common to be merged, by name."""
        return {
            "model_type": self.family.model_type,
            "number of layers": self.n_layers,
            "hidden_size": self.hidden_size,
            "vocab_size": self.vocab_size,
            **self.arithmetic,
        }


def read_config(folder: Path) -> ModelConfig:
    """The configuration of a folder; ParentError when it is missing, brings code, or is of no known family."""
    value = read_json(folder / "config.json", MAX_CONFIG_BYTES)
    if "auto_map" in value:
        raise ParentError(
            f"{folder.name} brings its own code (auto_map in config.json); only built-in models can be used"
        )
    if "quantization_config" in value:
        raise ParentError(f"{folder.name} is quantised; merge the unquantised model and quantise the result")
    model_type = plain.text(value.get("model_type"), f"model_type of {folder.name}", ParentError)
    if model_type not in families:
        known = ", ".join(families.names())
        raise ParentError(f"{folder.name} is of the family {model_type!r}; only {known} can be merged")
    arithmetic = _arithmetic(value)
    return ModelConfig(
        family=families.get(model_type),
        n_layers=_count(value, "num_hidden_layers", folder, MAX_LAYERS),
        hidden_size=_count(value, "hidden_size", folder, MAX_WIDTH),
        vocab_size=_count(value, "vocab_size", folder, MAX_WIDTH),
        tied_embeddings=plain.flag(arithmetic["tie_word_embeddings"], "tie_word_embeddings", ParentError),
        arithmetic=arithmetic,
    )


def read_json(path: Path, max_bytes: int = MAX_JSON_BYTES, max_marks: int = MAX_JSON_MARKS) -> Mapping[str, object]:
    """An object from a file of a model folder; ParentError when it is missing, too large, too full or broken."""
    if not os.path.lexists(path):
        raise ParentError(f"{path.parent} has no {path.name}; expected a Hugging Face model folder")
    text = read_regular(path, max_bytes)
    if (n_marks := text.count(b":") + text.count(b",")) > max_marks:
        raise ParentError(f"{path.name} in {path.parent} has {n_marks} colons and commas; expected at most {max_marks}")
    try:
        value = json.loads(text.decode(), object_pairs_hook=plain.unique_keys)
    except (ValueError, RecursionError) as error:
        raise ParentError(f"{path.name} in {path.parent} cannot be read: {error}") from error
    return plain.mapping(value, f"{path.name} in {path.parent}", ParentError)


def _count(value: Mapping[str, object], name: str, folder: Path, most: int) -> int:
    number = plain.integer(value.get(name), f"{name} of {folder.name}", ParentError)
    if not 1 <= number <= most:
        raise ParentError(f"{name} of {folder.name} is {number}; expected 1 to {most}")
    return number


def _arithmetic(value: Mapping[str, object]) -> Mapping[str, object]:
    found = {name: value.get(name, default) for name, default in ARITHMETIC.items()}
    if found["num_key_value_heads"] is None:
        found["num_key_value_heads"] = found["num_attention_heads"]
    heads, width = found["num_attention_heads"], value.get("hidden_size")
    if found["head_dim"] is None and isinstance(heads, int) and isinstance(width, int) and heads > 0:
        found["head_dim"] = width // heads
    return found | {"rotary positions": _rotary(value)}


def _rotary(value: Mapping[str, object]) -> str:
    """One text for both ways of writing them: `rope_theta` and `rope_scaling`, or `rope_parameters` with all of it."""
    written = value.get("rope_parameters") or value.get("rope_scaling") or {}
    parameters = dict(plain.mapping(written, "the rotary parameters", ParentError))
    theta = parameters.pop("rope_theta", value.get("rope_theta", 10000.0))
    kind = parameters.pop("rope_type", parameters.pop("type", "default"))
    parameters.pop("type", None)
    return plain.canonical({"theta": plain.real(theta, "rope_theta", ParentError), "type": kind, **parameters})

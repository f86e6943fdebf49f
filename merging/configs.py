"""`config.json` of a model folder: the few facts that merging depends on, read without any library's model classes.

A folder that brings its own code (`auto_map`) is refused here, before anything could run it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeGuard

from merging import plain
from merging.errors import ParentError
from merging.families import Family, Layout, families, unlisted
from merging.files import read_regular

MAX_JSON_BYTES: Final = 64 * 1024 * 1024
"""A tokenizer of 262,000 tokens has 33 MB."""
MAX_JSON_MARKS: Final = 4 * 1024 * 1024
"""Colons and commas, each of which costs a value; that tokenizer has 1.5 million."""
MAX_CONFIG_BYTES: Final = 1024 * 1024
MAX_LAYERS: Final = 10_000
MAX_WIDTH: Final = 2**31 - 1
MAX_COUNTED: Final = 200_000
"""Experts or heads, in all layers together. A trillion parameters have 61 layers of 384."""

POSITION_NAMES: Final = ("n_positions", "max_position_embeddings", "n_ctx")
"""What families call the number of tokens that a model takes at once."""
MAX_SHOWN: Final = 100
COMMON: Final[Mapping[str, object]] = {"num_attention_heads": None, "num_key_value_heads": None, "head_dim": None}
"""Arithmetic of all families: what no tensor's shape shows and must agree. Each family adds its own."""
ROTARY: Final[Mapping[str, float]] = {"rope_theta": 10000.0, "partial_rotary_factor": 1.0}
HARMLESS: Final = re.compile(
    r"_name_or_path|architectures|model_type|transformers_version|(torch_)?dtype|use_cache|initializer_range|id2label|"
    r"label2id|(bos|eos|pad)_token_id|.*(dropout|pdrop)"
)
"""What of an unlisted family's configuration may differ without a word."""
EMBEDDING: Final = re.compile(r"(.*\.)?(embed_tokens|embeddings?|word_embeddings|tok_embeddings|embed_in|wte)\.weight")


@dataclass(frozen=True)
class ModelConfig:
    """What `config.json` says. `arithmetic` is what no tensor's shape shows and must agree between models.

    `chosen` may differ, and then the result has what its donor has: how positions are told apart, how far attention
    reaches. `hidden_size` and `vocab_size` are 0 where nothing tells them.
    """

    family: Family
    layout: Layout
    hidden_size: int
    vocab_size: int
    arithmetic: Mapping[str, object]
    chosen: Mapping[str, object]

    @property
    def n_layers(self) -> int:
        return self.layout.n_layers

    @property
    def tied_embeddings(self) -> bool:
        return self.layout.tied_embeddings


def read_config(folder: Path, shapes: Mapping[str, tuple[int, ...]]) -> ModelConfig:
    """The configuration of a folder with tensors of these shapes; ParentError when it is missing or brings code.

    A `model_type` that no family has makes a family of its own, from the tensors alone.
    """
    value = read_json(folder / "config.json", MAX_CONFIG_BYTES)
    if code := _code_in(value):
        raise ParentError(
            f"{folder.name} brings its own code ({code} in config.json); only built-in models can be used"
        )
    if "quantization_config" in value:
        raise ParentError(f"{folder.name} is quantised; merge the unquantised model and quantise the result")
    model_type = plain.text(value.get("model_type"), f"model_type of {folder.name}", ParentError)
    if model_type not in families:
        return _unlisted(model_type, value, shapes)
    return _Reader(folder.name, value, families.get(model_type)).config()


def read_positions(folder: Path) -> int | None:
    """How many tokens a model takes at once, a prompt and its completion together; None when its configuration does not say.

    ParentError as by `read_config`.
    """
    value = read_json(folder / "config.json", MAX_CONFIG_BYTES)
    text = value.get("text_config")
    inner = text if isinstance(text, dict) else value
    found = (inner.get(name) for name in POSITION_NAMES)
    return next((n for n in found if isinstance(n, int) and n > 0), None)


def read_json(path: Path, max_bytes: int = MAX_JSON_BYTES, max_marks: int = MAX_JSON_MARKS) -> Mapping[str, object]:
    """An object from a file of a model folder; ParentError when it is missing, too large, too full or broken."""
    return parse_json(read_json_text(path, max_bytes, max_marks), path)


def read_json_text(path: Path, max_bytes: int = MAX_JSON_BYTES, max_marks: int = MAX_JSON_MARKS) -> bytes:
    """The same before it is parsed."""
    if not os.path.lexists(path):
        raise ParentError(f"{path.parent} has no {path.name}; expected a Hugging Face model folder")
    text = read_regular(path, max_bytes)
    if (n_marks := text.count(b":") + text.count(b",")) > max_marks:
        raise ParentError(f"{path.name} in {path.parent} has {n_marks} colons and commas; expected at most {max_marks}")
    return text


def parse_json(text: bytes, path: Path) -> Mapping[str, object]:
    """The object in the text of a file; ParentError when it is none."""
    try:
        value = json.loads(text.decode(), object_pairs_hook=plain.unique_keys)
    except (ValueError, RecursionError) as error:
        raise ParentError(f"{path.name} in {path.parent} cannot be read: {error}") from error
    return plain.mapping(value, f"{path.name} in {path.parent}", ParentError)


@dataclass(frozen=True)
class _Reader:
    """Reads a configuration by the names that most families use."""

    name: str
    value: Mapping[str, object]
    family: Family

    def config(self) -> ModelConfig:
        layout = self._layout()
        return ModelConfig(
            family=self.family,
            layout=layout,
            hidden_size=self._count("hidden_size", MAX_WIDTH),
            vocab_size=self._count("vocab_size", MAX_WIDTH),
            arithmetic=self._arithmetic(),
            chosen={"rotary positions": self._rotary(), "attention windows": self._windows(layout.n_layers)},
        )

    def _get(self, name: str, default: object = None) -> object:
        """What is written, which may be null: a window of null is none."""
        names = (*self.family.aliases.get(name, ()), name)
        return next((self.value[alias] for alias in names if alias in self.value), default)

    def _count(self, name: str, most: int) -> int:
        written = next((alias for alias in self.family.aliases.get(name, ()) if alias in self.value), name)
        number = plain.integer(self.value.get(written), f"{written} of {self.name}", ParentError)
        if not 1 <= number <= most:
            raise ParentError(f"{written} of {self.name} is {number}; expected 1 to {most}")
        return number

    def _flag(self, name: str, default: bool) -> bool:
        found = self._get(name)
        return default if found is None else plain.flag(found, f"{name} of {self.name}", ParentError)

    def _layout(self) -> Layout:
        n_layers = self._count("num_hidden_layers", MAX_LAYERS)
        switches = {switch.name: self._flag(switch.name, switch.default) for switch in self.family.switches}
        layout = Layout(
            n_layers=n_layers,
            tied_embeddings=self._flag("tie_word_embeddings", self.family.tied_by_default),
            switches=switches,
            counts={name: self._counted(name) for name in self.family.counted},
            dense=self._dense(n_layers) if self.family.has_experts else frozenset(),
        )
        if (n := n_layers * sum(layout.counts.values())) > MAX_COUNTED:
            raise ParentError(f"{self.name} counts {n} experts or heads in all layers; expected at most {MAX_COUNTED}")
        return layout

    def _counted(self, name: str) -> int:
        if name == "num_key_value_heads" and self._get(name) is None:
            return self._count("num_attention_heads", MAX_COUNTED)
        return self._count(name, MAX_COUNTED)

    def _dense(self, n_layers: int) -> frozenset[int]:
        """The layers without experts, of a family that has them."""
        step = plain.integer(self._get("decoder_sparse_step", 1), f"decoder_sparse_step of {self.name}", ParentError)
        listed = plain.items(
            self._get("mlp_only_layers") or [], f"mlp_only_layers of {self.name}", ParentError, _integer
        )
        if step < 1:
            raise ParentError(f"decoder_sparse_step of {self.name} is {step}; expected at least 1")
        return frozenset(layer for layer in range(n_layers) if layer in listed or (layer + 1) % step)

    def _arithmetic(self) -> Mapping[str, object]:
        default = {**COMMON, **self.family.arithmetic}
        found = {name: self._get(name, fallback) for name, fallback in default.items()}
        if found["num_key_value_heads"] is None:
            found["num_key_value_heads"] = found["num_attention_heads"]
        heads, width = found["num_attention_heads"], self._get("hidden_size")
        if found["head_dim"] is None and isinstance(heads, int) and isinstance(width, int) and heads > 0:
            found["head_dim"] = width // heads
        return found

    def _rotary(self) -> str:
        """One text for both ways of writing them: beside other settings, or in `rope_parameters` with all of it.

        A model with two kinds of layers has the parameters of each; of those with a window only the base is apart.
        """
        default = {**ROTARY, **self.family.rotary}
        written = self.value.get("rope_parameters") or self.value.get("rope_scaling") or {}
        given = dict(plain.mapping(written, "the rotary parameters", ParentError))
        if "full_attention" in given:
            near = plain.mapping(given.get("sliding_attention") or {}, "the rotary parameters", ParentError)
            given = dict(plain.mapping(given["full_attention"], "the rotary parameters", ParentError))
            given |= {"rope_local_base_freq": near["rope_theta"]} if "rope_theta" in near else {}
        kind = given.pop("rope_type", None) or given.pop("type", None) or "default"
        given.pop("type", None)
        said = {name: self._get(name, value) for name, value in default.items()} | given
        numbers = {name: float(value) if _is_number(value) else value for name, value in said.items()}
        parts = [f"{name} {_short(value)}" for name, value in sorted(numbers.items())]
        return ", ".join([f"type {kind}", *parts])

    def _windows(self, n_layers: int) -> str:
        """How far attention reaches, in which layers."""
        window, size = self.family.window, self._get("sliding_window", self.family.window.default)
        if not size or (window.switch and not self._flag(window.switch, default=False)):
            return "none"
        near = [layer for layer in range(n_layers) if self._is_near(layer)]
        layers = "all layers" if len(near) == n_layers else f"layers {', '.join(map(str, near))}"
        return f"{size} tokens in {layers}"

    def _is_near(self, layer: int) -> bool:
        kinds = self.value.get("layer_types")
        if isinstance(kinds, list):
            return layer < len(kinds) and kinds[layer] == "sliding_attention"
        every = self._get("sliding_window_pattern", self.family.window.full_every)
        if isinstance(every, int) and every > 0:
            return (layer + 1) % every != 0
        first = self._get("max_window_layers") if self.family.window.switch else None
        return layer >= first if isinstance(first, int) else True


def _unlisted(model_type: str, value: Mapping[str, object], shapes: Mapping[str, tuple[int, ...]]) -> ModelConfig:
    embeddings = [shape for name, shape in shapes.items() if EMBEDDING.fullmatch(name) and len(shape) == 2]
    vocab_size, hidden_size = max(embeddings, default=(0, 0))
    numbers = {found[1] for name in shapes if (found := re.search(r"\.([0-9]+)\.", name))}
    return ModelConfig(
        family=unlisted(model_type, shapes),
        layout=Layout(n_layers=len(numbers)),
        hidden_size=hidden_size,
        vocab_size=vocab_size,
        arithmetic={},
        chosen={name: plain.canonical(item) for name, item in value.items() if not HARMLESS.fullmatch(name)},
    )


def _code_in(value: Mapping[str, object]) -> str:
    """The key, at any depth, that has the library import a program: of the folder, or of a repository with kernels; "" if none does."""
    rest: list[object] = [value]
    while rest:
        one = rest.pop()
        if isinstance(one, Mapping):
            for key, inside in one.items():
                if key == "auto_map" or (key.endswith("_implementation") and "/" in json.dumps(inside)):
                    return str(key)[:MAX_SHOWN]
            rest.extend(one.values())
        elif isinstance(one, list):
            rest.extend(one)
    return ""


def _integer(value: object, what: str) -> int:
    return plain.integer(value, what, ParentError)


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value: object) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)

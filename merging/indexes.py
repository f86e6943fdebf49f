"""What a model folder holds, without reading a tensor: names, shapes, sizes.

Only headers and JSON files are read; safetensors are the only weights. Knows no torch.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from merging import plain
from merging.cards import read_card
from merging.configs import ModelConfig, read_config, read_json
from merging.errors import ParentError
from merging.fingerprints import fingerprint
from merging.headers import DTYPE_NAMES, TensorEntry, check_name, read_header

SINGLE: Final = "model.safetensors"
INDEX: Final = "model.safetensors.index.json"
UNSAFE: Final = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".npz", ".npy", ".gguf", ".h5", ".msgpack")
ARCHIVES: Final = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar")
MAX_INDEX_BYTES: Final = 32 * 1024 * 1024
"""138,000 tensors, in the largest model of these years, need 13 MB."""
MAX_INDEX_MARKS: Final = 512 * 1024
"""Colons and commas; a tensor has two."""
N_PROBLEMS: Final = 8
"""Problems that one error lists; the rest are counted."""


@dataclass(frozen=True)
class TensorIndex:
    """The tensors of a folder by name. Every byte range was checked against its file when the index was opened."""

    folder: Path
    entries: Mapping[str, TensorEntry]

    @staticmethod
    def open(folder: str | Path) -> TensorIndex:
        """The index of a folder; ParentError for one that is missing, unsafe, incomplete or does not fit its own index."""
        path = Path(folder)
        if not path.is_absolute() or not path.is_dir():
            raise ParentError(f"{path} is not a folder on this machine; expected the absolute path of a model folder")
        if os.path.lexists(path / SINGLE):
            return TensorIndex(path, {entry.name: entry for entry in read_header(path / SINGLE)})
        if os.path.lexists(path / INDEX):
            return TensorIndex(path, _sharded(path))
        raise ParentError(_no_weights(path))

    def __getitem__(self, name: str) -> TensorEntry:
        if name not in self.entries:
            raise ParentError(f"{self.folder.name} has no tensor {name}")
        return self.entries[name]


@dataclass(frozen=True)
class ParentFacts:
    """A folder that can be a parent, as its files tell. `licence` is "" when the card names none."""

    folder: Path
    config: ModelConfig
    index: TensorIndex
    licence: str

    @cached_property
    def tensors(self) -> Mapping[str, TensorEntry]:
        """What a merge reads, by its family's name in order of data flow: no forgotten buffers, no tied output embedding."""
        stored = {self.config.family.name_of(name): entry for name, entry in self.index.entries.items()}
        return {name: stored[name] for name in self.config.family.required(self.config.layout)}

    def called(self, name: str) -> str:
        """What its files call the tensor that the family calls `name`; with tied embeddings one of them is both."""
        output, embedding = self.config.family.tied
        return self.tensors[embedding if self.tied_embeddings and name == output else name].name

    @property
    def n_parameters(self) -> int:
        return sum(entry.n_elements for entry in self.tensors.values())

    @property
    def n_bytes(self) -> int:
        return sum(entry.n_bytes for entry in self.tensors.values())

    @property
    def dtype(self) -> str:
        """The dtype of most bytes."""
        by_dtype = Counter[str]()
        for entry in self.tensors.values():
            by_dtype[DTYPE_NAMES[entry.dtype]] += entry.n_bytes
        return by_dtype.most_common(1)[0][0]

    @property
    def model_type(self) -> str:
        return self.config.family.model_type

    @property
    def n_layers(self) -> int:
        return self.config.n_layers

    @property
    def hidden_size(self) -> int:
        return self.config.hidden_size

    @property
    def vocab_size(self) -> int:
        return self.config.vocab_size

    @property
    def tied_embeddings(self) -> bool:
        return self.config.tied_embeddings

    @cached_property
    def fingerprint(self) -> str:
        """See `fingerprint`. Reads every byte of the folder on first access."""
        return fingerprint(self.folder)


def parent_facts(folder: str | Path) -> ParentFacts:
    """What a person wants to know of a folder before choosing it; ParentError names everything that bars it."""
    index = TensorIndex.open(folder)
    config = read_config(index.folder, {name: entry.shape for name, entry in index.entries.items()})
    problems = list(_misfits(index, config))
    if problems:
        raise ParentError(f"{index.folder.name} does not fit its own config.json: {listed(problems)}")
    return ParentFacts(index.folder, config, index, read_card(index.folder).licence)


def _sharded(folder: Path) -> dict[str, TensorEntry]:
    index = read_json(folder / INDEX, MAX_INDEX_BYTES, MAX_INDEX_MARKS)
    weight_map = plain.mapping(index.get("weight_map"), f"weight_map of {INDEX}", ParentError)
    files = sorted({_shard_name(file, tensor) for tensor, file in weight_map.items()})
    entries: dict[str, TensorEntry] = {}
    for entry in (entry for file in files for entry in read_header(folder / file)):
        if weight_map.get(entry.name) != entry.file.name:
            expected = weight_map.get(entry.name, "nowhere")
            raise ParentError(f"tensor {entry.name} is in {entry.file.name}; {INDEX} expects it {expected}")
        entries[entry.name] = entry
    if missing := sorted(set(weight_map) - set(entries)):
        raise ParentError(f"{folder.name} lacks {listed(missing)}, which {INDEX} names; download the folder again")
    return entries


def _shard_name(value: object, tensor: str) -> str:
    check_name(tensor, INDEX)
    file = plain.text(value, f"the file of {tensor} in {INDEX}", ParentError)
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\.safetensors", file):
        raise ParentError(f"{INDEX} puts {tensor} into {file!r}; expected the name of a safetensors file beside it")
    return file


def _no_weights(folder: Path) -> str:
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        return f"{folder} cannot be read: {error.strerror}"
    if unsafe := next((name for name in names if name.endswith(UNSAFE)), None):
        return f"{folder.name} has {unsafe} but no safetensors; convert it: other formats can run code when they are opened"
    if archive := next((name for name in names if name.endswith(ARCHIVES)), None):
        return f"{folder.name} has {archive} but no safetensors; archives are not opened here: unpack it yourself"
    return f"{folder.name} has no {SINGLE} and no {INDEX}; expected a Hugging Face model folder"


def _misfits(index: TensorIndex, config: ModelConfig) -> Iterator[str]:
    """How the tensors contradict the configuration."""
    family, required = config.family, set(config.family.required(config.layout))
    stored = [(family.name_of(name), entry) for name, entry in index.entries.items()]
    found = {name for name, _ in stored}
    yield from (f"{name} is missing" for name in family.required(config.layout) if name not in found)
    yield from (f"{name} comes twice" for name, n in Counter(name for name, _ in stored).items() if n > 1)
    for name, entry in stored:
        if family.is_ignored(name) or (config.tied_embeddings and name == family.tied[0]):
            continue
        if name not in required:
            yield f"{name} is not a tensor of {family.title} with {config.n_layers} layers{_unwanted(name, config)}"
        elif entry.dtype not in DTYPE_NAMES:
            yield f"{name} has dtype {entry.dtype}; expected {', '.join(DTYPE_NAMES)}"
        elif name in (family.tied[1], family.tied[0]) and entry.shape != (config.vocab_size, config.hidden_size):
            yield f"{name} is {list(entry.shape)}; expected {[config.vocab_size, config.hidden_size]}"


def _unwanted(name: str, config: ModelConfig) -> str:
    """Why a model of this configuration has no such tensor, though others of its family have."""
    switch = config.family.switch_of(name)
    return "" if switch is None else f" and {switch.name} {str(config.layout.switches[switch.name]).lower()}"


def listed(problems: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    shown, hidden = problems[:N_PROBLEMS], len(problems) - N_PROBLEMS
    return "; ".join(shown) + (f"; and {hidden} more" if hidden > 0 else "")

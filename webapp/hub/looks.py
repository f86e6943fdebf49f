"""A model of the Hub before it is fetched: which files are needed, how many bytes, on what terms, and whether it can be used at all.

Only metadata is asked for. What bars a model is said in words; the rest is decided when its files are here, as for any folder.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

from huggingface_hub import ModelInfo
from huggingface_hub.constants import MAX_HTTP_DOWNLOAD_SIZE

from merging.configs import MAX_JSON_BYTES, parse_json
from merging.errors import ParentError
from merging.families import families
from merging.indexes import INDEX, MAX_INDEX_BYTES, SINGLE, UNSAFE
from merging.words import counted, size
from webapp.hub.client import Asking
from webapp.hub.errors import HubError
from webapp.hub.names import COMMIT, Wanted
from webapp.hub.places import Place

WEIGHTS: Final = ".safetensors"
SHARD: Final = re.compile(r"model-\d{5}-of-\d{5}\.safetensors", re.ASCII)
"""What shards are called where the index cannot be read, for want of access."""
PLAIN: Final = re.compile(r"[A-Za-z0-9_][\w.-]{0,199}", re.ASCII)
"""A file of the top folder whose name is safe to have."""
DIGEST: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
SMALL: Final = re.compile(
    r"config\.json|generation_config\.json|tokenizer[\w.]*\.(json|model)|(special_tokens_map|added_tokens|vocab|chat_template)\.json|"
    r"vocab\.txt|merges\.txt|[\w.-]+\.(model|jinja)|README\.md",
    re.ASCII,
)
"""Configuration, tokenizer, chat templates, and the card."""
ADAPTER: Final = "adapter_config.json"
Access = Literal["open", "granted", "gated", "waiting", "refused", "token"]
"""What this person may do: read it as everybody, or as one who was let in; ask; wait; nothing; give a token first."""


@dataclass(frozen=True)
class Needed:
    """A file to be fetched. `digest` is what the Hub's cache calls it: the sha256 of a large one, git's hash of a small one."""

    name: str
    n_bytes: int
    digest: str

    @property
    def is_weights(self) -> bool:
        return self.name.endswith(WEIGHTS)


@dataclass(frozen=True)
class Look:
    """What the Hub says of a model at a commit. `refusals` bar it from being a parent here; `n_left` files are not needed."""

    wanted: Wanted
    commit: str
    files: tuple[Needed, ...]
    n_left: int
    n_left_bytes: int
    refusals: tuple[str, ...]
    access: Access
    access_sentence: str
    is_open: bool
    licence: str
    licence_name: str
    base_models: tuple[str, ...]
    model_type: str
    n_parameters: int | None
    downloads: int
    likes: int
    updated: datetime | None

    @property
    def n_bytes(self) -> int:
        """Of what would be fetched, exactly."""
        return sum(file.n_bytes for file in self.files)

    @property
    def at_commit(self) -> Wanted:
        """The model as nothing changes it any more."""
        return Wanted(self.wanted.repo, self.commit)

    @property
    def may_read(self) -> bool:
        return self.access in ("open", "granted")

    @cached_property
    def is_listed(self) -> bool:
        """Whether it is known which of its tensors belong to which layer."""
        return self.model_type in families

    def n_here(self, place: Place) -> int:
        """How many of those bytes are on this server already."""
        return sum(place.n_bytes(file.digest, file.n_bytes) for file in self.files)


def look(asking: Asking, wanted: Wanted) -> Look:
    """What the Hub says now: two questions, three for a gated model, one more for an index. HubError when it says nothing."""
    about = asking.model(wanted)
    commit = about.sha or ""
    if not COMMIT.fullmatch(commit):
        raise HubError("broken", f"The Hub does not say which commit {wanted} is.")
    is_open = not (about.gated or about.private)
    access, sentence = _access(asking, about, is_open)
    known = {file.name: file for file in _files(about)}
    index = (
        _index(asking, wanted.repo, commit, known[INDEX])
        if access in ("open", "granted") and _is_sharded(known)
        else None
    )
    needed = tuple(file for name, file in sorted(known.items()) if _is_needed(name, known, index))
    names = {file.name for file in needed}
    left = [entry for entry in about.siblings or () if entry.rfilename not in names]
    card, config = about.card_data, about.config or {}
    return Look(
        wanted=wanted,
        commit=commit,
        files=needed,
        n_left=len(left),
        n_left_bytes=sum(entry.size or 0 for entry in left),
        refusals=tuple(_refusals(about, known, needed, config)),
        access=access,
        access_sentence=sentence,
        is_open=is_open,
        licence=_text(getattr(card, "license", None)),
        licence_name=_text(card.get("license_name") if card else None),
        base_models=_names(getattr(card, "base_model", None)),
        model_type=_text(config.get("model_type")),
        n_parameters=about.safetensors.total if about.safetensors else None,
        downloads=about.downloads or 0,
        likes=about.likes or 0,
        updated=about.last_modified,
    )


def _access(asking: Asking, about: ModelInfo, is_open: bool) -> tuple[Access, str]:
    """What the Hub says to this person about this model, and the sentence for it."""
    if is_open:
        return "open", "Everybody may have it."
    try:
        asking.check_access(about.id)
    except HubError as error:
        barred: dict[str, Access] = {
            "gated": "gated" if asking.token else "token",
            "waiting": "waiting",
            "refused": "refused",
        }
        if error.kind not in barred:
            raise
        return barred[error.kind], str(error)
    return "granted", "You have access to it."


def _files(about: ModelInfo) -> Iterator[Needed]:
    """What could be fetched: files of the top folder with plain names, whose size and hash the Hub tells."""
    for entry in about.siblings or ():
        digest = entry.lfs.sha256 if entry.lfs else entry.blob_id
        if PLAIN.fullmatch(entry.rfilename) and entry.size is not None and DIGEST.fullmatch(digest or ""):
            yield Needed(entry.rfilename, entry.size, digest or "")


def _is_sharded(known: Collection[str]) -> bool:
    return SINGLE not in known and INDEX in known


def _index(asking: Asking, repo: str, commit: str, file: Needed) -> Mapping[str, Any]:
    """Which file has which tensor."""
    try:
        index = parse_json(asking.head(repo, commit, INDEX, min(file.n_bytes, MAX_INDEX_BYTES)), Path(repo) / INDEX)
    except ParentError as error:
        raise HubError("unusable", str(error)) from error
    of = index.get("weight_map")
    return of if isinstance(of, dict) else {}


def _is_needed(name: str, known: Collection[str], index: Mapping[str, Any] | None) -> bool:
    """Weights as the model is read from them, once; and whatever else decides what it does, and its card."""
    if name.endswith(WEIGHTS):
        if SINGLE in known:
            return name == SINGLE
        return INDEX in known and (name in index.values() if index is not None else bool(SHARD.fullmatch(name)))
    return bool(SMALL.fullmatch(name)) or (name == INDEX and SINGLE not in known)


def _refusals(
    about: ModelInfo, known: Mapping[str, Needed], needed: Collection[Needed], config: Mapping[str, Any]
) -> Iterator[str]:
    """Why it cannot be a parent here, each a sentence."""
    names = [entry.rfilename for entry in about.siblings or ()]
    if ADAPTER in names:
        yield "It is an adapter, not a whole model: merge it into its base model first."
    elif not any(file.is_weights for file in needed):
        yield _no_weights(names)
    if "config.json" not in known:
        yield "It has no config.json, so it is no model folder that can be read."
    if "auto_map" in config or (
        any(name.endswith(".py") and "/" not in name for name in names) and "custom_code" in (about.tags or ())
    ):
        yield "It brings its own code, which is never run here: only models that transformers knows by itself can be used."
    if config.get("quantization_config"):
        yield "It is quantised: merge the unquantised model, and quantise the result."
    for file in needed:
        if file.is_weights and file.n_bytes > MAX_HTTP_DOWNLOAD_SIZE:
            yield f"{file.name} has {size(file.n_bytes)}, and the Hub sends at most {size(MAX_HTTP_DOWNLOAD_SIZE)} as one file."
        elif not file.is_weights and file.n_bytes > MAX_JSON_BYTES:
            yield f"{file.name} has {size(file.n_bytes)}; at most {size(MAX_JSON_BYTES)} are read of such a file."


def _no_weights(names: Collection[str]) -> str:
    deeper = [name for name in names if name.endswith(WEIGHTS) and "/" in name]
    unsafe = [name for name in names if name.endswith(UNSAFE)]
    if deeper:
        return (
            f"Its safetensors are in folders of their own, such as {deeper[0][:100]}: it is no model that loads as one."
        )
    if any(name.endswith(".gguf") for name in unsafe):
        return "It has only GGUF files, which are quantised for llama.cpp: look for the model that they were made from."
    if unsafe:
        return (
            f"It has weights only as {counted(len(unsafe), 'pickle')} such as {unsafe[0][:100]}, which can run code when opened and "
            "are never opened here. Ask its authors for safetensors, or have the Hub convert it (spaces/safetensors/convert there) and "
            "fetch the revision refs/pr/N that this makes."
        )
    return "It has no weights."


def _text(value: object) -> str:
    """A licence or name as the Hub told it; several beside each other."""
    if isinstance(value, list):
        return ", ".join(_text(one) for one in value)[:200]
    return value[:200] if isinstance(value, str) and value.isprintable() else ""


def _names(value: object) -> tuple[str, ...]:
    listed = value if isinstance(value, list) else [value]
    return tuple(text for one in listed[:100] if (text := _text(one)))

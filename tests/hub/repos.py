"""What the fake Hub holds: repositories with commits and files, people and their tokens. Knows no HTTP."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

LFS_SUFFIXES = (".safetensors", ".bin", ".model", ".gguf", ".pt", ".h5", ".msgpack")
LFS_FROM = 10 * 1024 * 1024
"""Bytes from which any file is kept by Git LFS."""
POINTER_BYTES = 134
SECONDS = "2026-11-{:02d}T10:00:00.000Z"
Gate = Literal["auto", "manual"] | None


@dataclass(frozen=True)
class Blob:
    """The content of a file; large ones are kept by Git LFS, and git has a pointer to them."""

    content: bytes
    is_lfs: bool

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def oid(self) -> str:
        """What git calls it: of a large file, its pointer."""
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.content)}\n"
        return git_hash(pointer.encode() if self.is_lfs else self.content)

    @property
    def etag(self) -> str:
        return self.sha256 if self.is_lfs else self.oid


@dataclass(frozen=True)
class Commit:
    """One state of a repository. `number` counts from 1."""

    sha: str
    number: int
    files: Mapping[str, Blob]


@dataclass
class Repo:
    """A model repository. `gated` says who grants access: nobody has to, the Hub does, its authors do.

    `granted` and `waiting` are the names of people who may read it and who have asked, `refused` of those who were told no.
    """

    id: str
    gated: Gate = None
    private: bool = False
    downloads: int = 0
    likes: int = 0
    granted: set[str] = field(default_factory=set)
    waiting: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    @property
    def author(self) -> str:
        return self.id.partition("/")[0]

    def commit(self, files: Mapping[str, Blob | None], ref: str = "main") -> Commit:
        """A new commit with these files put in, or taken out where they are None."""
        known = dict(self.commits[self.refs[ref]].files) if ref in self.refs else {}
        for name, blob in files.items():
            if blob is None:
                known.pop(name, None)
            else:
                known[name] = blob
        number = len(self.commits) + 1
        tree = "".join(f"{name}\0{blob.oid}\0" for name, blob in sorted(known.items()))
        made = Commit(git_hash(f"{self.id}\0{number}\0{tree}".encode()), number, known)
        self.commits[made.sha] = made
        self.refs[ref] = made.sha
        return made

    def at(self, revision: str) -> Commit | None:
        """The commit of a branch, a tag, `refs/pr/N` or a full hash."""
        return self.commits.get(self.refs.get(revision, revision))

    def may_read(self, user: str | None) -> bool:
        """Whether this person may have its files."""
        if self.private and user != self.author:
            return False
        return self.gated is None or user == self.author or user in self.granted

    def card(self, commit: Commit) -> dict[str, Any]:
        """The front matter of the card, of which the fake reads plain words and lists."""
        text = commit.files["README.md"].content.decode() if "README.md" in commit.files else ""
        found: dict[str, Any] = {}
        last = ""
        for line in text.split("---\n")[1].splitlines() if text.startswith("---\n") else ():
            if line.startswith("- ") and last:
                found[last] = [*(found[last] or []), line[2:].strip()]
            elif ":" in line:
                last, _, value = line.partition(":")
                found[last] = value.strip() or None
        return found

    def config(self, commit: Commit) -> dict[str, Any]:
        """What the Hub tells of `config.json`."""
        if "config.json" not in commit.files:
            return {}
        whole = json.loads(commit.files["config.json"].content)
        return {name: whole[name] for name in ("architectures", "model_type", "auto_map") if name in whole}

    def parameters(self, commit: Commit) -> dict[str, int]:
        """How many numbers its safetensors have, by dtype."""
        counts: dict[str, int] = {}
        for name, blob in commit.files.items():
            if name.endswith(".safetensors") and len(blob.content) > 8:
                size = struct.unpack("<Q", blob.content[:8])[0]
                for tensor, entry in json.loads(blob.content[8 : 8 + size]).items():
                    if tensor != "__metadata__":
                        n = 1
                        for length in entry["shape"]:
                            n *= length
                        counts[entry["dtype"]] = counts.get(entry["dtype"], 0) + n
        return counts

    def tags(self, commit: Commit) -> list[str]:
        """As the Hub computes them: library, formats, architecture, licence, what it was made from."""
        card, config = self.card(commit), self.config(commit)
        found = ["transformers"] if config else []
        found += ["safetensors"] if self.parameters(commit) else []
        found += ["pytorch"] if any(name.endswith(".bin") for name in commit.files) else []
        found += [config["model_type"]] if "model_type" in config else []
        found += ["custom_code"] if "auto_map" in config else []
        found += [f"license:{card['license']}"] if card.get("license") else []
        bases = card.get("base_model") or []
        found += [f"base_model:{name}" for name in ([bases] if isinstance(bases, str) else bases)]
        return [*found, "region:us"]

    def info(self, commit: Commit, with_blobs: bool = False) -> dict[str, Any]:
        """What `/api/models/ID` answers."""
        parameters = self.parameters(commit)
        about: dict[str, Any] = {
            "_id": git_hash(self.id.encode())[:24],
            "id": self.id,
            "modelId": self.id,
            "author": self.author,
            "sha": commit.sha,
            "lastModified": SECONDS.format(min(commit.number, 28)),
            "createdAt": SECONDS.format(1),
            "private": self.private,
            "gated": self.gated or False,
            "disabled": False,
            "downloads": self.downloads,
            "likes": self.likes,
            "tags": self.tags(commit),
            "pipeline_tag": "text-generation",
            "library_name": "transformers",
            "config": self.config(commit),
            "cardData": self.card(commit),
            "siblings": [self._sibling(name, blob, with_blobs) for name, blob in sorted(commit.files.items())],
        }
        if parameters:
            about["safetensors"] = {"parameters": parameters, "total": sum(parameters.values())}
        return about

    def _sibling(self, name: str, blob: Blob, with_blobs: bool) -> dict[str, Any]:
        if not with_blobs:
            return {"rfilename": name}
        found: dict[str, Any] = {"rfilename": name, "blobId": blob.oid, "size": len(blob.content)}
        if blob.is_lfs:
            found["lfs"] = {"sha256": blob.sha256, "size": len(blob.content), "pointerSize": POINTER_BYTES}
        return found


def blob_of(name: str, content: bytes) -> Blob:
    """As the Hub would keep a file of this name."""
    return Blob(content, name.endswith(LFS_SUFFIXES) or len(content) >= LFS_FROM)


def git_hash(content: bytes) -> str:
    """What git calls a blob of this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@dataclass
class Shelf:
    """All repositories, and who has which token."""

    repos: dict[str, Repo] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)

    def add(self, repo_id: str, files: Mapping[str, bytes | str], **about: Any) -> Repo:
        """A repository with a commit of these files; one that is there gets one more."""
        repo = self.repos.setdefault(repo_id, Repo(repo_id))
        for name, value in about.items():
            setattr(repo, name, value)
        put(repo, files)
        return repo

    def add_folder(self, repo_id: str, folder: Path, but: Iterable[str] = (), **about: Any) -> Repo:
        """A repository of the files of a folder."""
        files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        return self.add(repo_id, {name: content for name, content in files.items() if name not in but}, **about)


def put(repo: Repo, files: Mapping[str, bytes | str], ref: str = "main") -> Commit:
    """A commit of these files."""
    contents = {name: text.encode() if isinstance(text, str) else text for name, text in files.items()}
    return repo.commit({name: blob_of(name, content) for name, content in contents.items()}, ref)

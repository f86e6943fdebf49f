"""How alike what two models learned is: the angle between their task vectors, and how often these point the same way. No torch.

Task vectors are measured from one base model, tensor by tensor, over the layers; embeddings and head are left out, because models that
learned new tokens have others. Models pass through in blocks, so that memory does not grow with them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from merging.elements import Elements
from merging.errors import ParentError
from merging.headers import TensorEntry
from merging.indexes import ParentFacts, listed, parent_facts
from merging.recipes import Parent
from merging.tensors import TensorReader

BLOCK: Final = 1024 * 1024
"""Elements that are compared at a time; in float32 and with what comes between, 30 MB of three models."""
Cells = tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True)
class Likeness:
    """Of two task vectors. `parts` are what tensors are called after their layer's number, and rows of both tables; columns are layers.

    `cosines` are in [-1, 1]; `agreements` the share, in [0, 1], of elements that both changed and in the same direction. None where a
    model has no such tensor, or has not changed it. `cosine` and `agreement` are of all layers together, `norms` the lengths of both.
    """

    parts: tuple[str, ...]
    cosines: Cells
    agreements: Cells
    cosine: float | None
    agreement: float | None
    norms: tuple[float, float]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types, the opposite of `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """What `to_json` wrote."""
        tables = {name: tuple(tuple(row) for row in value[name]) for name in ("cosines", "agreements")}
        first, second = value["norms"]
        return cls(
            tuple(value["parts"]), **tables, cosine=value["cosine"], agreement=value["agreement"], norms=(first, second)
        )


@dataclass
class _Sums:
    """Over elements of both task vectors: products, squares, how many both changed, and how many of these in the same direction."""

    dot: float = 0.0
    first: float = 0.0
    second: float = 0.0
    n_changed: int = 0
    n_alike: int = 0

    def add(self, first: NDArray[np.float32], second: NDArray[np.float32]) -> None:
        """More elements; sums of a block are in float64."""
        self.dot += float(np.einsum("i,i->", first, second, dtype=np.float64))
        self.first += float(np.einsum("i,i->", first, first, dtype=np.float64))
        self.second += float(np.einsum("i,i->", second, second, dtype=np.float64))
        signs = np.sign(first) * np.sign(second)  # a product of small numbers would be nothing
        self.n_changed += int(np.count_nonzero(signs))
        self.n_alike += int(np.count_nonzero(signs > 0))

    def __iadd__(self, other: _Sums) -> Self:
        self.dot, self.first, self.second = self.dot + other.dot, self.first + other.first, self.second + other.second
        self.n_changed, self.n_alike = self.n_changed + other.n_changed, self.n_alike + other.n_alike
        return self

    @property
    def cosine(self) -> float | None:
        length = math.sqrt(self.first) * math.sqrt(self.second)
        return max(-1.0, min(1.0, self.dot / length)) if length else None

    @property
    def agreement(self) -> float | None:
        return self.n_alike / self.n_changed if self.n_changed else None


def likeness(base: Parent, first: Parent, second: Parent, heard: Callable[[float], None]) -> Likeness:
    """How alike two models' task vectors are; `heard` is told which share is done. Reads all layers of the three models.

    ParentError when their layers are not of one shape, when it is not known which tensors are in layers, or for a file that cannot be read.
    """
    facts = [parent_facts(model.folder) for model in (base, first, second)]
    names = _compared((base, first, second), facts)
    layers = range(facts[0].n_layers)
    parts = tuple(dict.fromkeys(_part(facts[0], name) for name in names))
    sums: dict[tuple[str, int], _Sums] = {}
    whole, n_done = _Sums(), 0
    n_all = sum(facts[0].tensors[name].n_elements for name in names) or 1
    reader = TensorReader()
    try:
        for name in names:
            of = sums[_part(facts[0], name), _layer(facts[0], name)] = _Sums()
            for blocks in _blocks(reader, [one.tensors[name] for one in facts]):
                origin, here, there = blocks
                of.add(here - origin, there - origin)
                n_done += len(origin)
                heard(n_done / n_all)
            whole += of
    finally:
        reader.close()
    if not all(map(math.isfinite, (whole.dot, whole.first, whole.second))):
        raise ParentError(
            f"{base.name}, {first.name} or {second.name} has numbers that are not finite: their angle is not defined"
        )

    def table(of: Callable[[_Sums], float | None]) -> Cells:
        return tuple(
            tuple(of(found) if (found := sums.get((part, layer))) else None for layer in layers) for part in parts
        )

    return Likeness(
        parts,
        table(lambda found: found.cosine),
        table(lambda found: found.agreement),
        whole.cosine,
        whole.agreement,
        (math.sqrt(whole.first), math.sqrt(whole.second)),
    )


def _compared(models: tuple[Parent, Parent, Parent], facts: list[ParentFacts]) -> list[str]:
    """The tensors of the layers, in order of data flow."""
    if unlisted := [model.name for model, one in zip(models, facts, strict=True) if not one.config.family.is_listed]:
        raise ParentError(
            f"of {', '.join(unlisted)} nobody wrote down which tensors are in which layer; expected a listed family"
        )
    base = facts[0]
    names = [name for name in base.tensors if isinstance(base.config.family.place(name), int)]
    problems = []
    for model, one in zip(models[1:], facts[1:], strict=True):
        if one.n_layers != base.n_layers:
            problems.append(f"{model.name} has {one.n_layers} layers and {models[0].name} {base.n_layers}")
            continue
        for name in names:
            found = one.tensors[name].shape if name in one.tensors else None
            if found != (expected := base.tensors[name].shape):
                here = "has not" if found is None else f"has {list(found)} for"
                problems.append(f"{model.name} {here} {name}, which is {list(expected)} in {models[0].name}")
    if problems:
        raise ParentError(f"these models have no task vectors from one base: {listed(problems)}")
    return names


def _layer(facts: ParentFacts, name: str) -> int:
    place = facts.config.family.place(name)
    return place if isinstance(place, int) else 0


def _part(facts: ParentFacts, name: str) -> str:
    """What it is called in all layers, without `.weight`, which nearly all end with."""
    return facts.config.family.in_other_layer(name, 0).partition(".0.")[2].removesuffix(".weight")


def _blocks(reader: TensorReader, entries: list[TensorEntry]) -> Iterator[list[NDArray[np.float32]]]:
    """The same elements of several tensors of one shape, as float32. [block] each"""
    stored = [reader.read(entry) for entry in entries]
    for start in range(0, entries[0].n_elements, BLOCK):
        yield [
            Elements(words, one.dtype, words.shape).widened().words
            for one in stored
            for words in (one.words[start : start + BLOCK],)
        ]
    for entry in entries:
        reader.files.done(entry)

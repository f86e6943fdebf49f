"""Parents that are open: checked, and their tensors kept in memory while there is room. Imports torch."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import torch

from merging.elements import AnyTensor, as_tensor
from merging.errors import ParentError
from merging.fingerprints import fingerprint
from merging.fit import check_recipe_fit
from merging.headers import TensorEntry
from merging.indexes import ParentFacts, parent_facts
from merging.kernels.spectra import Spectra
from merging.recipes import Parent, Recipe
from merging.tensors import TensorReader

MEMORY_SHARE: Final = 0.25
"""Of the memory of the machine, or of what is free on a GPU beside vLLM, for parents' tensors."""
EVALUATION_SHARE: Final = 0.1
"""Of a GPU's memory, for what comes and goes while a model is loaded and asked: keys, values, logits."""


class ParentShelf:
    """A `TensorSource`: tensors stay as they are stored, on the device, up to `max_bytes` in all. None: what a GPU has left
    beside a model when the first recipe is opened, or a quarter of the machine's memory.

    What finds no room is read from its file every time, which the system's own cache makes cheap. Nothing is pushed out
    for another tensor of the same recipe: every candidate reads every tensor once, in the same order, and under that
    pattern a cache that drops the oldest never hits. Parents that the next recipe does not use leave, and with them their
    `spectra`: what was counted of task vectors.
    """

    def __init__(self, device: torch.device, max_bytes: int | None) -> None:
        if max_bytes is None and device.type != "cuda":
            max_bytes = room_in_memory()
        self._device = device
        self._max_bytes = max_bytes
        self._reader = TensorReader()
        # on a CPU parents' tensors stay in the system's cache
        self.spectra = Spectra(max_bytes if max_bytes is not None and device.type == "cpu" else 0)
        self._facts: dict[Parent, ParentFacts] = {}
        self._tensors: dict[tuple[Parent, str], AnyTensor] = {}
        self._n_bytes = 0
        self._is_keeping = True
        self._fitting: set[tuple[object, ...]] = set()

    def open(self, recipe: Recipe, staying: Collection[Parent] = ()) -> Mapping[Parent, ParentFacts]:
        """Makes the recipe's models ready and returns their facts; others leave, unless they are `staying`.

        ParentError when they do not fit each other, or a folder's files are not those of the recipe's fingerprint any
        more. Each model is hashed once, when it comes.
        """
        models = recipe.models
        for gone in [parent for parent in self._facts if parent not in models and parent not in staying]:
            self._remove(gone)
        for parent in models:
            if parent not in self._facts:
                self._facts[parent] = _checked(parent)
        self._check_fit(recipe)
        if self._max_bytes is None:
            self._max_bytes = room_beside_model(self._device, max(facts.n_bytes for facts in self._facts.values()))
        return dict(self._facts)

    @property
    def max_bytes(self) -> int:
        """0 until it is known, which it is once a recipe was opened."""
        return self._max_bytes or 0

    def tensor(self, parent: Parent, name: str) -> AnyTensor:
        """See `TensorSource`."""
        found = self._tensors.get((parent, name))
        return found if found is not None else self._read(parent, self._facts[parent].index[name])

    @contextmanager
    def keeping_nothing(self) -> Iterator[None]:
        """Inside the block tensors are only read, for somebody who keeps them in another place; what was kept before leaves."""
        for parent in self._facts:
            self._forget(parent)
        self._is_keeping = False
        try:
            yield
        finally:
            self._is_keeping = True
            self._reader.close()

    def close(self) -> None:
        """All parents leave."""
        for parent in list(self._facts):
            self._remove(parent)

    def _read(self, parent: Parent, entry: TensorEntry) -> AnyTensor:
        try:
            stored = self._reader.read(entry)
        except ParentError:
            self._remove(parent)  # when its files are as they were, it is opened again
            raise
        tensor = stored if self._device.type == "cpu" else as_tensor(stored).to(self._device)
        if self._is_keeping and self._n_bytes + tensor.nbytes <= self.max_bytes:
            self._tensors[parent, entry.name] = tensor
            self._n_bytes += tensor.nbytes
        return tensor

    def _remove(self, parent: Parent) -> None:
        del self._facts[parent]
        self._forget(parent)
        self._reader.close()

    def _forget(self, parent: Parent) -> None:
        self.spectra.forget(parent)
        for key in [key for key in self._tensors if key[0] == parent]:
            self._n_bytes -= self._tensors.pop(key).nbytes

    def _check_fit(self, recipe: Recipe) -> None:
        shape = (recipe.is_stack, recipe.path is not None)
        key = (recipe.method, recipe.parents, recipe.base, recipe.companions.tokenizer, shape, recipe.donor)
        if key not in self._fitting:
            check_recipe_fit(recipe)
            self._fitting.add(key)


def room_in_memory() -> int:
    """Bytes for parents in the memory of the machine."""
    return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * MEMORY_SHARE)


def room_beside_vllm(device: torch.device) -> int:
    """Bytes for parents on a GPU before vLLM takes its share of what is free."""
    free, _ = torch.cuda.mem_get_info(device)
    return int(free * MEMORY_SHARE)


def room_beside_model(device: torch.device, n_bytes: int) -> int:
    """Bytes for parents on a GPU that a model of `n_bytes` is yet to be loaded to: three of 7 B and their base on 80 GB."""
    free, total = torch.cuda.mem_get_info(device)
    return max(0, free - n_bytes - int(total * EVALUATION_SHARE))


def _checked(parent: Parent) -> ParentFacts:
    facts = parent_facts(parent.folder)
    if fingerprint(parent.folder, parent.fingerprint) != parent.fingerprint:
        raise ParentError(
            f"the files of {parent.name} in {parent.folder} have changed since it was chosen: add it again"
        )
    return facts

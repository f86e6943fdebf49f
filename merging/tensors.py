"""Tensors from and to safetensors files. No torch.

Reading trusts what `TensorIndex` has checked and checks once more what it gets; writing follows a layout that is known
before the first tensor.
"""

from __future__ import annotations

import numpy as np

from merging.elements import WORDS, AnyTensor, Elements, dtype_named, empty, in_memory
from merging.headers import DTYPE_NAMES, TensorEntry
from merging.mappings import MappedFiles
from merging.shards import ShardWriter, TensorShape


class TensorReader:
    """Reads single tensors by their entries, from files mapped into memory. Close it when parents leave."""

    def __init__(self) -> None:
        self.files = MappedFiles()

    def read(self, entry: TensorEntry) -> Elements:
        """The tensor as it is stored: a view of the mapped file, which nobody may write to.

        ParentError when the file is not what its index says any more.
        """
        pages = self.files.pages(entry)
        dtype, n = dtype_named(DTYPE_NAMES[entry.dtype]), entry.n_elements
        if not n:
            return empty(entry.shape, dtype)
        if entry.start % np.dtype(WORDS[dtype]).itemsize:  # a file that mixes dtypes may do so
            words = np.frombuffer(bytearray(pages[entry.start : entry.stop]), WORDS[dtype])
        else:
            words = np.frombuffer(pages, WORDS[dtype], n, entry.start)
        return Elements(words, dtype, entry.shape)

    def close(self) -> None:
        self.files.close()


class TensorWriter(ShardWriter):
    """A `ShardWriter` that takes tensors, from any device."""

    def add(self, name: str, tensor: AnyTensor) -> None:
        """Writes the next tensor of the layout; TensorError when it is not the next, or not as planned."""
        elements = in_memory(tensor)
        self.write(TensorShape(name, elements.dtype, elements.shape), elements.words.view(np.uint8))

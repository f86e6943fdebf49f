"""Tensors from and to safetensors files. Imports torch.

Reading trusts what `TensorIndex` has checked and checks once more what it gets; writing follows a layout that is known
before the first tensor.
"""

from __future__ import annotations

import torch
from torch import Tensor

from merging.errors import TensorError
from merging.headers import DTYPE_NAMES, TensorEntry
from merging.mappings import MappedFiles
from merging.shards import ShardWriter, TensorShape


def torch_dtype(name: str) -> torch.dtype:
    """`bfloat16` -> torch.bfloat16, for the dtypes that can be merged."""
    if name not in DTYPE_NAMES.values():
        raise TensorError(f"there is no dtype {name!r} here; expected {', '.join(DTYPE_NAMES.values())}")
    dtype: torch.dtype = getattr(torch, name)
    return dtype


class TensorReader:
    """Reads single tensors by their entries, from files mapped into memory. Close it when parents leave."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.files = MappedFiles()

    def read(self, entry: TensorEntry) -> Tensor:
        """The tensor as it is stored, on the reader's device; ParentError when the file is not what its index says any more.

        On a CPU it is a view of the mapped file, which nobody may write to.
        """
        return _viewed(self.files, entry).to(self._device)

    def close(self) -> None:
        self.files.close()


class TensorWriter(ShardWriter):
    """A `ShardWriter` that takes tensors, from any device."""

    def add(self, name: str, tensor: Tensor) -> None:
        """Writes the next tensor of the layout; TensorError when it is not the next, or not as planned."""
        shape = TensorShape(name, str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape))
        data = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        self.write(shape, data.numpy())


def _viewed(files: MappedFiles, entry: TensorEntry) -> Tensor:
    dtype = torch_dtype(DTYPE_NAMES[entry.dtype])
    pages = files.pages(entry)
    if not entry.n_elements:
        return torch.empty(entry.shape, dtype=dtype)
    if entry.start % dtype.itemsize:  # a file that mixes dtypes may do so
        return torch.frombuffer(bytearray(pages[entry.start : entry.stop]), dtype=dtype).view(entry.shape)
    return torch.frombuffer(pages, dtype=dtype, count=entry.n_elements, offset=entry.start).view(entry.shape)

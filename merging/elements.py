"""A tensor in the memory of the machine: its elements as they are stored, what kernels for a CPU read and write.

Most merges need no more, and importing torch takes longer than a small model's merge. So torch comes only with a tensor
that is to become one of its own, or has been one; neither change copies anything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from merging.errors import TensorError
from merging.headers import DTYPE_NAMES

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from merging.recipes import Dtype

WORDS: Final[dict[Dtype, Any]] = {"bfloat16": np.uint16, "float16": np.int16, "float32": np.float32}
"""What elements are for a kernel: NumPy knows no bfloat16, and numba computes in no float16."""


@dataclass(frozen=True, eq=False)
class Elements:
    """`words` are all of them in the order of memory, as `WORDS` says. [n]"""

    words: NDArray[Any]
    dtype: Dtype
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return self.words.nbytes

    def widened(self) -> Elements:
        """As float32, which changes no value."""
        if self.dtype == "float32":
            return self
        if self.dtype == "float16":
            return Elements(self.words.view(np.float16).astype(np.float32), "float32", self.shape)
        return Elements((self.words.astype(np.uint32) << 16).view(np.float32), "float32", self.shape)


AnyTensor: TypeAlias = "Elements | Tensor"
"""`Elements`, or a tensor of torch's: on a GPU, or not in order of memory."""


def empty(shape: tuple[int, ...], dtype: Dtype) -> Elements:
    """Memory for elements, with anything in it."""
    return Elements(np.empty(math.prod(shape), WORDS[dtype]), dtype, shape)


def rounded(values: NDArray[np.float32], dtype: Dtype) -> NDArray[np.float32]:
    """Each to the nearest, ties to even, that the dtype stores."""
    if dtype == "float32":
        return values
    if dtype == "float16":
        with np.errstate(over="ignore"):  # what is too large becomes infinite
            return values.astype(np.float16).astype(np.float32)
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).view(np.float32)


def dtype_named(name: str) -> Dtype:
    """TensorError for a dtype that cannot be merged."""
    if name not in WORDS:
        raise TensorError(f"there is no dtype {name!r} here; expected {', '.join(DTYPE_NAMES.values())}")
    return name


def dtype_of(tensor: Tensor) -> Dtype:
    """What a tensor of torch's is stored in; TensorError for a dtype that cannot be merged."""
    return dtype_named(str(tensor.dtype).removeprefix("torch."))


def torch_dtype(name: str) -> torch.dtype:
    """`bfloat16` -> torch.bfloat16, for the dtypes that can be merged. Imports torch."""
    import torch

    return cast("torch.dtype", getattr(torch, dtype_named(name)))


def as_tensor(tensor: AnyTensor) -> Tensor:
    """The same memory as a tensor of torch's. Imports torch."""
    if not isinstance(tensor, Elements):
        return tensor
    import torch

    return torch.from_numpy(tensor.words).view(torch_dtype(tensor.dtype)).view(tensor.shape)


def as_elements(tensor: AnyTensor) -> AnyTensor:
    """The same memory as elements, if it is the machine's, in order and of a dtype that kernels know; otherwise the tensor itself."""
    if isinstance(tensor, Elements):
        return tensor
    name = str(tensor.dtype).removeprefix("torch.")
    if tensor.device.type != "cpu" or name not in WORDS or not tensor.is_contiguous():
        return tensor
    import torch

    words = tensor.detach().view(-1).view({2: torch.int16, 4: torch.float32}[tensor.itemsize]).numpy()
    return Elements(words.view(WORDS[name]), name, tuple(tensor.shape))


def in_memory(tensor: AnyTensor) -> Elements:
    """The elements of a tensor from anywhere; TensorError for a dtype that cannot be merged."""
    if isinstance(tensor, Elements):
        return tensor
    dtype_of(tensor)
    return cast(Elements, as_elements(tensor.cpu().contiguous()))

"""The merge of one tensor on a GPU in one launch and one pass over memory. Imports torch, and triton with the first tensor.

Results equal to the bit what `merging.masks` gives on a CPU. Plain torch on a GPU divides by a number as a product with
its inverse, and can differ from both in the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from typing import Final

import torch
from torch import Tensor

from merging.elements import torch_dtype
from merging.kernels.cpu import INFINITE, possible_weights
from merging.kernels.passes import BLOCK_BITS, Lottery, Pass, RankedLottery, Window
from merging.masks import TINY_WEIGHT
from merging.recipes import DTYPES, Dtype

SIZE: Final = 1024
"""Elements of a tile: each of 128 threads has 16 bytes of every 16-bit model under way. 2048 would need twice the registers,
up to 190 for a thread, and with them half of the threads that a processor can hold.
"""


def takes(tensors: Sequence[Tensor]) -> bool:
    """Whether tensors of one shape can be merged here. Without triton there is only plain torch."""
    first, dtypes = tensors[0].device, [torch_dtype(name) for name in DTYPES]
    are_here = all(one.device == first and one.dtype in dtypes and one.is_contiguous() for one in tensors)
    return first.type == "cuda" and are_here and _has_triton()


def knows(task: Pass) -> bool:
    """Whether its rules have been written for a GPU. Ranks in rows have not: sorting them takes most of the time anyway."""
    return not any(isinstance(keep, RankedLottery) for keep in task.keep)


def merge(target: Tensor, base: Tensor | None, parents: Sequence[Tensor], dtype: Dtype, task: Pass) -> Tensor:
    """Writes the merged tensor into `target`; see `cpu.merge`. The result is a bool on the GPU, for which nobody waits here.

    Whoever looks at it waits until the tensor is merged: better once for a model than for every tensor.
    """
    import triton.language as tl

    from merging.kernels import tiles

    is_finite = torch.ones((), dtype=torch.bool, device=target.device)
    n = target.numel()
    if not n:
        return is_finite
    windows = [keep for keep in task.keep if isinstance(keep, Window)]
    lotteries = [keep for keep in task.keep if isinstance(keep, Lottery)]
    is_bounded = any(window.high < math.inf for window in windows)
    total = sum(task.weights)
    is_divided = task.normalize and not task.elect and abs(total) >= TINY_WEIGHT
    with torch.cuda.device(target.get_device()):
        tiles.merge_tile[(-(-n // SIZE),)](
            _words(target),
            None if base is None else _words(base),
            tuple(_words(parent) for parent in parents),
            tuple(possible_weights(task)),
            tuple(window.low for window in windows) or None,
            tuple(window.high for window in windows) if is_bounded else None,
            tuple(lottery.divisor for lottery in lotteries) or None,
            _words_of(lotteries).to(target.device, non_blocking=True) if lotteries else None,
            total if is_divided else None,
            task.scale,
            is_finite,
            n,
            elect=task.elect,
            count=task.elect and task.normalize,
            sample={"bfloat16": tl.int16, "float16": tl.float16, "float32": tl.float32}[dtype],
            infinite=INFINITE[dtype],
            n_shared=1 << BLOCK_BITS,
            size=SIZE,
            enable_fp_fusion=False,
        )
    return is_finite


@lru_cache(maxsize=1)
def _has_triton() -> bool:
    return find_spec("triton") is not None


def _words(tensor: Tensor) -> Tensor:
    """As tiles take them, without a copy."""
    tensor = tensor.detach()
    return tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor


def _words_of(lotteries: Sequence[Lottery]) -> Tensor:
    """What tiles have to know of lotteries but divisors, as signed numbers. [1 + 2 blocks, parents], int32"""
    columns = [[lottery.last, *(_signed(key) for keys in lottery.keys for key in keys)] for lottery in lotteries]
    return torch.tensor(columns, dtype=torch.int32).T.contiguous()


def _signed(word: int) -> int:
    return word - 2**32 if word >= 2**31 else word

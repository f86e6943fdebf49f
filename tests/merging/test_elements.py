"""Elements and torch's tensors: the same memory either way, and numbers that round alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from merging.elements import Elements, as_elements, as_tensor, empty, in_memory, rounded
from merging.errors import TensorError
from merging.recipes import DTYPES, Dtype

OF_EACH = pytest.mark.parametrize("dtype", DTYPES)


@OF_EACH
def test_neither_change_copies(dtype: Dtype) -> None:
    tensor = torch.arange(6.0).view(2, 3).to(getattr(torch, dtype))
    elements = as_elements(tensor)
    assert isinstance(elements, Elements) and (elements.dtype, elements.shape) == (dtype, (2, 3))
    again = as_tensor(elements)
    again[1, 2] = 7
    assert tensor[1, 2] == 7 and again.dtype == tensor.dtype and again.data_ptr() == tensor.data_ptr()


@OF_EACH
@pytest.mark.parametrize("shape", [(), (0,), (0, 4)])
def test_shapes_without_a_length_or_an_element_stay(dtype: Dtype, shape: tuple[int, ...]) -> None:
    tensor = as_tensor(empty(shape, dtype))
    assert tuple(tensor.shape) == shape and in_memory(tensor).shape == shape


@OF_EACH
def test_widened_elements_have_the_values_of_torch_s(dtype: Dtype) -> None:
    tensor = torch.randn(1000, generator=torch.Generator().manual_seed(1)).to(getattr(torch, dtype))
    assert np.array_equal(in_memory(tensor).widened().words, tensor.float().numpy())


@OF_EACH
def test_numbers_round_as_torch_rounds(dtype: Dtype) -> None:
    """Halves between two neighbours, subnormal numbers and what is too large among them."""
    words = torch.arange(2**16).to(torch.int32).to(torch.uint16)
    stored = torch.cat([words.view(torch.bfloat16).float(), words.view(torch.float16).float()])
    stored = stored[torch.isfinite(stored)]
    for factor in (1, 1 + 2**-8, 1 + 2**-9, 1 - 2**-12):
        moved = stored * factor
        moved = moved[moved.abs() < 3.3e38]
        assert np.array_equal(rounded(moved.numpy(), dtype), moved.to(getattr(torch, dtype)).float().numpy())


def test_what_lies_otherwise_stays_torch_s_and_can_be_brought_in() -> None:
    turned = torch.arange(6.0).view(2, 3).T
    assert as_elements(turned) is turned
    assert in_memory(turned).words.tolist() == [0, 3, 1, 4, 2, 5]
    with pytest.raises(TensorError, match="no dtype 'float64' here"):
        in_memory(torch.zeros(1, dtype=torch.float64))

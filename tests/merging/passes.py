"""A merge by a method's plain arithmetic, and the same as a pass: what the kernels of every processor are compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from merging.draws import Draws
from merging.elements import AnyTensor, Elements, as_elements, dtype_named
from merging.kernels import cpu
from merging.kernels.keepers import TensorKeepers
from merging.kernels.passes import Pass
from merging.kernels.spectra import AnySpectrum
from merging.methods.method import Method
from merging.recipes import Dtype

WEIGHTS, DENSITIES = (0.3, -0.5, 0.9), (0.2, 0.5, 1.0)


@dataclass(frozen=True)
class Both:
    """`expected` is what `merge` makes, rounded once; `base` is None where the method has none."""

    base: torch.Tensor | None
    expected: torch.Tensor
    task: Pass


def some(shape: tuple[int, ...], seed: int, dtype: torch.dtype, scale: float = 0.3) -> torch.Tensor:
    return (torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * scale).to(dtype)


def elements(tensor: torch.Tensor) -> Elements:
    found = as_elements(tensor)
    assert isinstance(found, Elements)
    return found


def name_of(dtype: torch.dtype) -> Dtype:
    return dtype_named(str(dtype).removeprefix("torch."))


def merge_on_cpu(
    target: torch.Tensor, base: torch.Tensor | None, parents: list[torch.Tensor], dtype: torch.dtype, task: Pass
) -> bool:
    """By the kernel, in the memory of torch's tensors."""
    below = None if base is None else elements(base)
    return cpu.merge(elements(target), below, [elements(parent) for parent in parents], name_of(dtype), task)


def both(
    method: Method,
    base: torch.Tensor,
    parents: list[torch.Tensor],
    result: torch.dtype,
    weights: tuple[float, ...],
    densities: tuple[float, ...],
    changed: dict[str, float | bool],
    spectrum: Callable[[int, AnyTensor], AnySpectrum],
    taken_as: Callable[[torch.Tensor], AnyTensor] = elements,
) -> Both:
    per_parent = [{"weight": w, "density": d, "scale": w} for w, d in zip(weights, densities, strict=False)]
    names = [parameter.name for parameter in method.per_parent()]
    values = [{name: row[name] for name in names} for row in per_parent[: len(parents)]]
    chosen = method.default_settings() | {k: v for k, v in changed.items() if k in method.default_settings()}
    chosen |= {parameter.name: 0.3 for parameter in method.per_group()}
    below, draws = None if method.base == "none" else base, Draws(3, "t")
    floats = [parent.float() for parent in parents]
    expected = method.merge(None if below is None else below.float(), floats, values, chosen, draws).to(result)
    given = [taken_as(parent) for parent in parents]
    keepers = TensorKeepers(None if below is None else taken_as(below), given, draws, spectrum)
    task = None if method.as_pass is None else method.as_pass(values, chosen, keepers)
    assert task is not None
    return Both(below, expected, task)

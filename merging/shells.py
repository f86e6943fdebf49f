"""A model without its numbers: built once, then filled with every candidate's tensors in place.

Imports torch and transformers.

Models are built from classes of the library and local files only; no code from a model folder ever runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import torch
import transformers
from torch import Tensor
from torch.overrides import TorchFunctionMode
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.core_model_loading import revert_weight_conversion

from merging.assembly import NamedTensor
from merging.elements import AnyTensor, as_tensor
from merging.errors import ParentError, TensorError
from merging.families import families
from merging.indexes import parent_facts

INITIALISED: Final = "_is_hf_initialized"
"""The library's own mark of what needs no first values any more."""


@dataclass(frozen=True)
class Stack:
    """Stacked layers in place of a folder's own: their configuration, and the shape of every tensor by its name in a file."""

    config: Mapping[str, object]
    shapes: Mapping[str, tuple[int, ...]]


class ModelShell:
    """The model that a folder's configuration describes, or the one of a stack, in memory of `device` and `dtype`, in
    evaluation mode. Of a stack, all but the configuration is the folder's.

    Loading writes into the same memory every time, so engines may keep what they know of the model.
    """

    def __init__(self, folder: Path, device: torch.device, dtype: torch.dtype, stack: Stack | None = None) -> None:
        self.model = _skeleton(folder, device, dtype, stack)
        self.targets = _stored(self.model)

    def load(self, tensors: Iterable[NamedTensor]) -> None:
        """Fills the model. TensorError unless every parameter is written exactly once, in its own shape.

        Tensors may have another dtype or device; 16-bit values become float32 without change. One of `targets` itself has
        its numbers already. After an error the model is partly filled and must be loaded again.
        """
        written: set[str] = set()
        with torch.no_grad():
            for name, tensor in tensors:
                self._write(name, tensor, written)
        if missing := sorted(set(self.targets) - written):
            raise TensorError(f"the model was left without {len(missing)} of its tensors, such as {missing[0]}")

    def _write(self, name: str, tensor: AnyTensor, written: set[str]) -> None:
        target = self.targets.get(name)
        if target is None:
            raise TensorError(f"{name} is not a tensor of this model")
        if name in written:
            raise TensorError(f"{name} was written twice")
        if target.shape != tensor.shape:
            raise TensorError(f"{name} is {list(tensor.shape)}; the model has {list(target.shape)}")
        if tensor is not target:
            target.copy_(as_tensor(tensor))
        written.add(name)


def compute_dtype(device: torch.device, stored: torch.dtype) -> torch.dtype:
    """What models compute in: float32 on a CPU, where it is exact for every stored dtype and fastest; elsewhere as stored.

    A score is therefore that of the rounded tensors that are exported, and whoever loads an export in this dtype gets
    it again.
    """
    return torch.float32 if device.type == "cpu" else stored


def library_config(value: Mapping[str, object]) -> PreTrainedConfig:
    """What the library makes of a configuration of a listed family, as when it reads it from a folder."""
    known: Any = CONFIG_MAPPING[str(value["model_type"])]
    found: PreTrainedConfig = known(**value)  # as its `from_dict`, which writes a log beside it
    return found


def _skeleton(folder: Path, device: torch.device, dtype: torch.dtype, stack: Stack | None) -> PreTrainedModel:
    """On the meta device first, so that nothing is drawn at random only to be overwritten (1.3 s for 0.75 M parameters),
    and no memory is taken for a configuration that its own tensors contradict.
    """
    facts = parent_facts(folder)  # refuses folders with code, and what does not fit its own configuration
    model: Any = _described(folder, facts.model_type, dtype, stack)  # the library's own annotations stop here
    here = {name: entry.shape for name, entry in facts.tensors.items()} if stack is None else stack.shapes
    _check_tensors(folder.name, here, {name: tuple(tensor.shape) for name, tensor in _stored(model).items()})
    model.to_empty(device=device)
    model.tie_weights()  # `to_empty` gives tied parameters memory of their own
    _rebuild_buffers(model)
    if (folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    model.requires_grad_(False).eval()
    return cast(PreTrainedModel, model)


def _described(folder: Path, model_type: str, dtype: torch.dtype, stack: Stack | None) -> PreTrainedModel:
    """The model of a configuration, on the meta device."""
    models: Any = AutoModelForCausalLM
    try:
        if stack is None:
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        else:
            config = library_config(stack.config)
        with torch.device("meta"):
            return cast(PreTrainedModel, models.from_config(config, dtype=dtype, trust_remote_code=False))
    except ValueError as error:
        if model_type in families:
            raise
        raise ParentError(
            f"{folder.name} is of the type {model_type}, which transformers {transformers.__version__} does not know as a "
            "language model: it can be merged but not scored"
        ) from error


def _check_tensors(folder: str, here: Mapping[str, tuple[int, ...]], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """ParentError unless the model has the tensors of its files, which a family that is listed has made sure of."""
    if here != shapes:
        name = min(name for name in {**here, **shapes} if here.get(name) != shapes.get(name))
        raise ParentError(
            f"{folder} cannot be scored: {name} is {_shown(here.get(name))} in its files and "
            f"{_shown(shapes.get(name))} in the model that transformers makes of its config.json"
        )


def _shown(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else str(list(shape))


def _stored(model: PreTrainedModel) -> Mapping[str, Tensor]:
    """The model's own memory by the names that files have: tied parameters once, experts one by one.

    In memory all experts of a layer are one parameter. The library knows how to take it apart for a file; here what it
    takes apart must stay the same memory.
    """
    with torch.no_grad(), _InPlace():
        found: dict[str, Tensor] = revert_weight_conversion(model, dict(model.named_parameters()))
    memory = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    if copied := sorted(name for name, tensor in found.items() if tensor.untyped_storage()._cdata not in memory):
        raise TensorError(
            f"{type(model).__name__} keeps {copied[0]} in another form than its files: it cannot be filled"
        )
    return found


class _InPlace(TorchFunctionMode):
    """Slices stay slices: what would be copied to lie in one piece is left where it is."""

    def __torch_function__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), named: dict[str, Any] | None = None
    ) -> Any:
        return arguments[0] if function is Tensor.contiguous else function(*arguments, **(named or {}))


def _rebuild_buffers(model: Any) -> None:
    """Buffers are in no file, and `to_empty` leaves noise in them: the library computes them again, as when it loads.

    TensorError when it has left one out.
    """
    buffers = dict(model.named_buffers())
    for buffer in buffers.values():
        buffer.fill_(torch.nan if buffer.is_floating_point() else 0)
    for parameter in model.parameters():
        setattr(parameter, INITIALISED, True)  # draws no random numbers for what will be loaded
    for module in model.modules():
        setattr(module, INITIALISED, False)
    model.initialize_weights()
    strange = set(buffers) & set(model.state_dict()) | {
        name for name, buffer in buffers.items() if buffer.isnan().any()
    }
    if strange:
        raise TensorError(f"{type(model).__name__} has buffers that cannot be rebuilt: {', '.join(sorted(strange))}")

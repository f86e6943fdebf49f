"""A model without its numbers: built once, then filled with every candidate's tensors in place.

Imports torch and transformers.

Models are built from an allow-listed `model_type` and local files only; no code from a model folder ever runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, cast

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PreTrainedModel

from merging.assembly import NamedTensor
from merging.configs import read_config
from merging.errors import TensorError

ROTARY: Final = "model.rotary_emb"


class ModelShell:
    """The model that a folder's configuration describes, in memory of `device` and `dtype`, in evaluation mode.

    Loading writes into the same memory every time, so engines may keep what they know of the model.
    """

    def __init__(self, folder: Path, device: torch.device, dtype: torch.dtype) -> None:
        read_config(folder)  # refuses unknown families and folders with code before anything is built
        self.model = _skeleton(folder, device, dtype)
        self.targets: Mapping[str, Tensor] = dict(self.model.named_parameters())  # tied ones once, by their first name

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

    def _write(self, name: str, tensor: Tensor, written: set[str]) -> None:
        target = self.targets.get(name)
        if target is None:
            raise TensorError(f"{name} is not a tensor of this model")
        if name in written:
            raise TensorError(f"{name} was written twice")
        if target.shape != tensor.shape:
            raise TensorError(f"{name} is {list(tensor.shape)}; the model has {list(target.shape)}")
        if tensor is not target:
            target.copy_(tensor)
        written.add(name)


def compute_dtype(device: torch.device, stored: torch.dtype) -> torch.dtype:
    """What models compute in: float32 on a CPU, where it is exact for every stored dtype and fastest; elsewhere as stored.

    A score is therefore that of the rounded tensors that are exported, and whoever loads an export in this dtype gets
    it again.
    """
    return torch.float32 if device.type == "cpu" else stored


def _skeleton(folder: Path, device: torch.device, dtype: torch.dtype) -> PreTrainedModel:
    """On the meta device first, so that nothing is drawn at random only to be overwritten (1.3 s for 0.75 M parameters)."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    models: Any = AutoModelForCausalLM  # the library's own annotations stop here
    with torch.device("meta"):
        model = models.from_config(config, dtype=dtype, trust_remote_code=False)
    model.to_empty(device=device)
    model.tie_weights()  # `to_empty` gives tied parameters memory of their own
    _rebuild_rotary(model, device)
    if (folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    model.requires_grad_(False).eval()
    return cast(PreTrainedModel, model)


def _rebuild_rotary(model: PreTrainedModel, device: torch.device) -> None:
    """Buffers are in no file, and `to_empty` leaves noise in them: the only ones, rotary frequencies, are computed again."""
    strange = [name for name, _ in model.named_buffers() if not name.startswith(f"{ROTARY}.")]
    if strange:
        raise TensorError(f"{type(model).__name__} has buffers that cannot be rebuilt: {', '.join(strange)}")
    with torch.device(device):
        model.set_submodule(ROTARY, type(model.get_submodule(ROTARY))(model.config))

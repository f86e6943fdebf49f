"""How rows in slots attend: one query each, at a column of its own, by shapes that do not change.

The library's masks know one position of a query for all rows. Here a query's position is a tensor [rows], the length that
its layer tells, and the library's own rules (causal, within a window) are asked with it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.cache_utils import StaticLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from merging.engines.transformers.attention import attending_by
from merging.engines.transformers.lean import FIXED_ROTATIONS
from merging.engines.transformers.rows import arguments, can_move_rows

NAME: Final = "progeny_slots"


class SlotLayer(StaticLayer):
    """Keys and values of one layer, [rows, heads, columns, head size]; row i goes on at column `positions[i]`."""

    keys: Tensor
    values: Tensor

    def __init__(self, keys: Tensor, values: Tensor, positions: Tensor) -> None:
        super().__init__(max_cache_len=keys.shape[2])  # type: ignore[no-untyped-call]
        self.dtype, self.device = keys.dtype, keys.device
        self.keys, self.values, self.cumulative_length = keys, values, positions
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Of one token a row."""
        for buffer, states in ((self.keys, key_states), (self.values, value_states)):
            buffer.scatter_(2, self.cumulative_length[:, None, None, None].expand_as(states), states)
        return self.keys, self.values


def can_use_slots(model: PreTrainedModel) -> bool:
    """Whether a step of the model is the same kernels every time: as the library says, with attention that can be exchanged,
    told positions, and rotations that do not change with the length.
    """
    kind: Any = type(model)
    is_open = kind._can_compile_fullgraph and kind._can_set_attn_implementation()
    return bool(
        is_open
        and can_move_rows(model)
        and "position_ids" in arguments(kind.forward)
        and _rotations(model) <= FIXED_ROTATIONS
    )


def _rotations(model: PreTrainedModel) -> set[str]:
    """Of all layers, or by their kind."""
    found = [kind for module in model.modules() if (kind := vars(module).get("rope_type")) is not None]
    return {name for kind in found for name in (kind.values() if isinstance(kind, dict) else [kind])}


def slot_attention(model: PreTrainedModel) -> AbstractContextManager[None]:
    """Inside the block the model attends as rows in slots do, and in no other way."""
    return attending_by(NAME, model)


def _mask(
    *,
    batch_size: int,
    kv_length: int,
    q_offset: Tensor,  # [rows]
    mask_function: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor],
    **others: Any,
) -> Tensor:
    """What each row sees, [rows, 1, 1, columns]."""
    device = q_offset.device
    rows, columns = torch.arange(batch_size, device=device), torch.arange(kv_length, device=device)
    places = (
        rows[:, None, None, None],
        columns.new_zeros(1, 1, 1, 1),
        q_offset[:, None, None, None],
        columns[None, None, None],
    )
    return mask_function(*places)


def _attend(
    module: torch.nn.Module,
    query: Tensor,  # [rows, heads, 1, head size]
    key: Tensor,  # [rows, key heads, columns, head size]
    value: Tensor,
    attention_mask: Tensor,
    scaling: float | None = None,
    softcap: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """By torch's attention, which knows no soft cap of scores; with one, by products."""
    if softcap is None:
        found: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **others
        )
        return found
    n_rows, n_heads, _, size = query.shape
    grouped = query.reshape(n_rows, key.shape[1], -1, size) * (size**-0.5 if scaling is None else scaling)
    scores = torch.tanh(grouped @ key.transpose(2, 3) / softcap) * softcap
    scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    attended = torch.softmax(scores, dim=-1, dtype=torch.float32).to(value.dtype) @ value
    return attended.view(n_rows, 1, n_heads, value.shape[3]), None


AttentionInterface.register(NAME, _attend)
AttentionMaskInterface.register(NAME, _mask)

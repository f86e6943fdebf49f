"""The short way through Llama-like models computes what the library's does, and is taken nowhere else."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from merging.engines.transformers import lean
from merging.engines.transformers.lean import Lean, forward_of
from merging.engines.transformers.rows import After, ByLibrary, read

SHAPE = {
    "vocab_size": 40,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
}
ROWS = [[3, 1, 4, 1, 5, 9, 2, 6], [5, 3, 5], [8]]
SAME = {"rtol": 1e-4, "atol": 1e-4}
"""Logits are of size 10; both add up the same float32 products, in other orders."""


def llama(**others: object) -> PreTrainedModel:
    torch.manual_seed(1)
    return LlamaForCausalLM(LlamaConfig(**SHAPE | {"num_key_value_heads": 2} | others)).eval()


def with_biases() -> PreTrainedModel:
    model = llama(attention_bias=True, mlp_bias=True)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    return model


def mistral(window: int | None = None) -> PreTrainedModel:
    torch.manual_seed(2)
    return MistralForCausalLM(MistralConfig(**SHAPE, num_key_value_heads=1, sliding_window=window)).eval()


def qwen2() -> PreTrainedModel:
    torch.manual_seed(3)
    return Qwen2ForCausalLM(Qwen2Config(**SHAPE, num_key_value_heads=4)).eval()


def scaled() -> PreTrainedModel:
    """As a path scales what its layers read."""
    model = llama()
    for layer in model.model.layers:
        layer.register_forward_pre_hook(lambda _, arguments: (arguments[0] * 0.7, *arguments[1:]))
    return model


def yarn() -> PreTrainedModel:
    return llama(rope_parameters={"rope_type": "yarn", "rope_theta": 10000.0, "factor": 2.0})


@pytest.mark.parametrize("make", [llama, with_biases, mistral, qwen2, scaled, yarn])
@pytest.mark.parametrize("max_scores", [lean.MAX_SCORES, 0])
@torch.inference_mode()
def test_rows_and_what_follows_them_are_read_as_by_the_library(make, max_scores, monkeypatch):
    monkeypatch.setattr(lean, "MAX_SCORES", max_scores)
    model = make()
    ours, theirs = forward_of(model, 16), ByLibrary(model)
    assert isinstance(ours, Lean)
    (first, past), (expected, known) = (read(forward, ROWS) for forward in (ours, theirs))
    torch.testing.assert_close(first, expected, **SAME)
    longer = [[*ROWS[0], 7, 7, 8], [*ROWS[2], 6], [*ROWS[0], 4]]
    (ours_on, _), (theirs_on, _) = (
        read(forward, longer, After(kept, [0, 2, 0]), 2) for forward, kept in ((ours, past), (theirs, known))
    )
    torch.testing.assert_close(ours_on, theirs_on, **SAME)


def with_another_pass() -> PreTrainedModel:
    model = llama()
    layer = model.model.layers[1]
    layer.forward = lambda x, **others: x
    return model


def with_a_hook_after() -> PreTrainedModel:
    model = llama()
    model.model.layers[0].register_forward_hook(lambda module, arguments, output: output * 2)
    return model


def dynamic() -> PreTrainedModel:
    return llama(rope_parameters={"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0})


def in_half_precision() -> PreTrainedModel:
    return llama().bfloat16()


def with_gelu() -> PreTrainedModel:
    return llama(hidden_act="gelu")


@pytest.mark.parametrize("make", [with_another_pass, with_a_hook_after, dynamic, in_half_precision, with_gelu])
def test_what_only_the_library_knows_is_left_to_it(make):
    assert isinstance(forward_of(make(), 16), ByLibrary)


@pytest.mark.parametrize(("longest", "way"), [(16, Lean), (17, ByLibrary)])
def test_rows_longer_than_a_sliding_window_are_left_to_the_library(longest, way):
    assert isinstance(forward_of(mistral(window=16), longest), way)

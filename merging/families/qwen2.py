"""Qwen 1.5, 2 and 2.5: Llama's tensors, with biases on query, key and value."""

from dataclasses import replace

from merging.families import llama

FAMILY = replace(
    llama.FAMILY,
    model_type="qwen2",
    title="Qwen2",
    in_layer=(
        *llama.FAMILY.in_layer,
        "model.layers.{}.self_attn.q_proj.bias",
        "model.layers.{}.self_attn.k_proj.bias",
        "model.layers.{}.self_attn.v_proj.bias",
    ),
    optional=(),
)

"""Qwen 3: Llama's tensors, with norms on query and key."""

from dataclasses import replace

from merging.families import llama, qwen2
from merging.families.family import Part, Switch

QUERY_KEY_NORMS = (
    "model.layers.{}.self_attn.q_norm.weight",
    "model.layers.{}.self_attn.k_norm.weight",
)

FAMILY = replace(
    llama.FAMILY,
    model_type="qwen3",
    title="Qwen3",
    parts=(
        Part((*llama.ATTENTION, *QUERY_KEY_NORMS, *llama.MLP)),
        Part(llama.ATTENTION_BIASES, Switch("attention_bias")),
    ),
    window=qwen2.WINDOW,
)

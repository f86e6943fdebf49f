"""Gemma 2: norms before and after both branches, tied embeddings, and a window in every second layer.

Its norms multiply by one plus their tensor.
"""

from dataclasses import replace

from merging.families import llama
from merging.families.family import Part, Switch, Window

NORMS = (
    "model.layers.{}.pre_feedforward_layernorm.weight",
    "model.layers.{}.post_feedforward_layernorm.weight",
)
AFTER_BRANCHES = (
    "model.layers.{}.post_attention_layernorm",
    "model.layers.{}.post_feedforward_layernorm",
)
ARITHMETIC = {
    "hidden_activation": "gelu_pytorch_tanh",
    "rms_norm_eps": 1e-6,
    "query_pre_attn_scalar": 256,
    "attn_logit_softcapping": 50.0,
    "final_logit_softcapping": 30.0,
}

FAMILY = replace(
    llama.FAMILY,
    model_type="gemma2",
    title="Gemma 2",
    parts=(
        Part((*llama.ATTENTION, *NORMS, *llama.MLP)),
        Part(llama.ATTENTION_BIASES, Switch("attention_bias")),
    ),
    output_projections=AFTER_BRANCHES,
    arithmetic=ARITHMETIC,
    tied_by_default=True,
    window=Window(4096, full_every=2),
    norms_add_one=True,
)

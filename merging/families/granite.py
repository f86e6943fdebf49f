"""Granite 3: Llama's tensors, with four multipliers that no tensor shows."""

from dataclasses import replace

from merging.families import llama

FAMILY = replace(
    llama.FAMILY,
    model_type="granite",
    title="Granite",
    arithmetic={
        **llama.FAMILY.arithmetic,
        "embedding_multiplier": 1.0,
        "attention_multiplier": 1.0,
        "residual_multiplier": 1.0,
        "logits_scaling": 1.0,
    },
)

"""Phi-3, 3.5 and 4: Llama with query, key and value in one tensor, and gate and up in another."""

from dataclasses import replace

from merging.families import llama
from merging.families.family import Part

FAMILY = replace(
    llama.FAMILY,
    model_type="phi3",
    title="Phi-3",
    parts=(
        Part(
            (
                "model.layers.{}.input_layernorm.weight",
                "model.layers.{}.self_attn.qkv_proj.weight",
                "model.layers.{}.self_attn.o_proj.weight",
                "model.layers.{}.post_attention_layernorm.weight",
                "model.layers.{}.mlp.gate_up_proj.weight",
                "model.layers.{}.mlp.down_proj.weight",
            )
        ),
    ),
    arithmetic={"hidden_act": "silu", "rms_norm_eps": 1e-5},
)

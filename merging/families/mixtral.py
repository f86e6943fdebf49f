"""Mixtral: Mistral's attention, and in every layer a router with experts."""

from dataclasses import replace

from merging.families import llama
from merging.families.family import Part

FAMILY = replace(
    llama.FAMILY,
    model_type="mixtral",
    title="Mixtral",
    parts=(
        Part(llama.ATTENTION),
        Part(("model.layers.{}.block_sparse_moe.gate.weight",), layers="sparse"),
        Part(
            (
                "model.layers.{}.block_sparse_moe.experts.{}.w1.weight",
                "model.layers.{}.block_sparse_moe.experts.{}.w2.weight",
                "model.layers.{}.block_sparse_moe.experts.{}.w3.weight",
            ),
            layers="sparse",
            counted="num_experts",
        ),
    ),
    output_projections=("model.layers.{}.self_attn.o_proj", "model.layers.{}.block_sparse_moe.experts.{}.w2"),
    arithmetic={"hidden_act": "silu", "rms_norm_eps": 1e-5, "num_experts_per_tok": 2},
    aliases={"num_experts": ("num_local_experts",)},
    rotary={"rope_theta": 1e6},
)

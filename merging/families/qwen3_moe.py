"""Qwen 3 with experts: Qwen3's attention, a router and experts."""

from dataclasses import replace

from merging.families import llama, qwen2_moe, qwen3
from merging.families.family import Part, Switch

FAMILY = replace(
    qwen3.FAMILY,
    model_type="qwen3_moe",
    title="Qwen3 MoE",
    parts=(
        Part((*llama.ATTENTION, *qwen3.QUERY_KEY_NORMS)),
        Part(llama.ATTENTION_BIASES, Switch("attention_bias")),
        Part(llama.MLP, layers="dense"),
        Part((qwen2_moe.ROUTER,), layers="sparse"),
        Part(qwen2_moe.EXPERTS, layers="sparse", counted="num_experts"),
    ),
    output_projections=(
        "model.layers.{}.self_attn.o_proj",
        "model.layers.{}.mlp.down_proj",
        "model.layers.{}.mlp.experts.{}.down_proj",
    ),
    arithmetic={**qwen3.FAMILY.arithmetic, "num_experts_per_tok": 8, "norm_topk_prob": False},
    aliases={"num_experts": ("num_local_experts",)},
)

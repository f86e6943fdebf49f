"""Qwen 1.5 and 2 with experts: Qwen2's attention, a router, experts, and one expert that every token passes."""

from dataclasses import replace

from merging.families import llama, qwen2
from merging.families.family import Part, Switch

ROUTER = "model.layers.{}.mlp.gate.weight"
EXPERTS = (
    "model.layers.{}.mlp.experts.{}.gate_proj.weight",
    "model.layers.{}.mlp.experts.{}.up_proj.weight",
    "model.layers.{}.mlp.experts.{}.down_proj.weight",
)
SHARED = (
    "model.layers.{}.mlp.shared_expert.gate_proj.weight",
    "model.layers.{}.mlp.shared_expert.up_proj.weight",
    "model.layers.{}.mlp.shared_expert.down_proj.weight",
    "model.layers.{}.mlp.shared_expert_gate.weight",
)

FAMILY = replace(
    qwen2.FAMILY,
    model_type="qwen2_moe",
    title="Qwen2 MoE",
    parts=(
        Part(llama.ATTENTION),
        Part(llama.QUERY_KEY_VALUE_BIASES, Switch("qkv_bias", default=True)),
        Part(llama.MLP, layers="dense"),
        Part((ROUTER, *SHARED), layers="sparse"),
        Part(EXPERTS, layers="sparse", counted="num_experts"),
    ),
    output_projections=(
        "model.layers.{}.self_attn.o_proj",
        "model.layers.{}.mlp.down_proj",
        "model.layers.{}.mlp.experts.{}.down_proj",
        "model.layers.{}.mlp.shared_expert.down_proj",
    ),
    arithmetic={**qwen2.FAMILY.arithmetic, "num_experts_per_tok": 4, "norm_topk_prob": False},
    aliases={"num_experts": ("num_local_experts",)},
)

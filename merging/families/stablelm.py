"""StableLM: Llama with biases on its norms and, in some, a norm for each head of query and key.

With both branches in parallel there is one norm for both.
"""

from dataclasses import replace

from merging.families import llama
from merging.families.family import Part, Switch

FAMILY = replace(
    llama.FAMILY,
    model_type="stablelm",
    title="StableLM",
    parts=(
        Part(
            (
                "model.layers.{}.input_layernorm.weight",
                "model.layers.{}.input_layernorm.bias",
                "model.layers.{}.self_attn.q_proj.weight",
                "model.layers.{}.self_attn.k_proj.weight",
                "model.layers.{}.self_attn.v_proj.weight",
                "model.layers.{}.self_attn.o_proj.weight",
                *llama.MLP,
            )
        ),
        Part(
            (
                "model.layers.{}.post_attention_layernorm.weight",
                "model.layers.{}.post_attention_layernorm.bias",
            ),
            Switch("use_parallel_residual", wanted=False),
        ),
        Part(llama.QUERY_KEY_VALUE_BIASES, Switch("use_qkv_bias")),
        Part(
            ("model.layers.{}.self_attn.q_layernorm.norms.{}.weight",),
            Switch("qk_layernorm"),
            counted="num_attention_heads",
        ),
        Part(
            ("model.layers.{}.self_attn.k_layernorm.norms.{}.weight",),
            Switch("qk_layernorm"),
            counted="num_key_value_heads",
        ),
    ),
    after=("model.norm.weight", "model.norm.bias", "lm_head.weight"),
    arithmetic={"hidden_act": "silu", "layer_norm_eps": 1e-5},
    rotary={"partial_rotary_factor": 0.25},
)

"""OLMo 2: no norm before a branch but one after each, and norms on query and key.

So the first projections of both branches see the residual stream as it is.
"""

from dataclasses import replace

from merging.families import gemma2, llama
from merging.families.family import Part, Switch
from merging.families.qwen3 import QUERY_KEY_NORMS

FAMILY = replace(
    llama.FAMILY,
    model_type="olmo2",
    title="OLMo 2",
    parts=(
        Part(
            (
                *(name for name in llama.ATTENTION if "input_layernorm" not in name),
                *QUERY_KEY_NORMS,
                *llama.MLP,
                "model.layers.{}.post_feedforward_layernorm.weight",
            )
        ),
        Part(llama.ATTENTION_BIASES, Switch("attention_bias")),
    ),
    output_projections=gemma2.AFTER_BRANCHES,
    stream_readers=(
        "model.layers.{}.self_attn.q_proj",
        "model.layers.{}.self_attn.k_proj",
        "model.layers.{}.self_attn.v_proj",
        "model.layers.{}.mlp.gate_proj",
        "model.layers.{}.mlp.up_proj",
    ),
    arithmetic={"hidden_act": "silu", "rms_norm_eps": 1e-5},
)

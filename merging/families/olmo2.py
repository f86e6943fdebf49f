"""OLMo 2: no norm before a branch but one after each, and norms on query and key."""

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
    arithmetic={"hidden_act": "silu", "rms_norm_eps": 1e-5},
)

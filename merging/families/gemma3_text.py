"""Gemma 3 without its eyes: Gemma 2 with norms on query and key, and other positions in the layers that see everything."""

from dataclasses import replace

from merging.families import gemma2, llama
from merging.families.family import Part, Switch, Window
from merging.families.qwen3 import QUERY_KEY_NORMS

FAMILY = replace(
    gemma2.FAMILY,
    model_type="gemma3_text",
    title="Gemma 3",
    parts=(
        Part((*llama.ATTENTION, *QUERY_KEY_NORMS, *gemma2.NORMS, *llama.MLP)),
        Part(llama.ATTENTION_BIASES, Switch("attention_bias")),
    ),
    arithmetic={**gemma2.ARITHMETIC, "attn_logit_softcapping": None, "final_logit_softcapping": None},
    rotary={"rope_theta": 1e6, "rope_local_base_freq": 10000.0},
    window=Window(4096, full_every=6),
)

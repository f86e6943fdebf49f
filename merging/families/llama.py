"""Llama 1 to 3, and the many models that are Llama in all but name (Vicuna, TinyLlama, SmolLM, Yi, DeepSeek-LLM)."""

from merging.families.family import Family, Part, Switch

QUERY_KEY_VALUE_BIASES = (
    "model.layers.{}.self_attn.q_proj.bias",
    "model.layers.{}.self_attn.k_proj.bias",
    "model.layers.{}.self_attn.v_proj.bias",
)
ATTENTION_BIASES = (*QUERY_KEY_VALUE_BIASES, "model.layers.{}.self_attn.o_proj.bias")
ATTENTION = (
    "model.layers.{}.input_layernorm.weight",
    "model.layers.{}.self_attn.q_proj.weight",
    "model.layers.{}.self_attn.k_proj.weight",
    "model.layers.{}.self_attn.v_proj.weight",
    "model.layers.{}.self_attn.o_proj.weight",
    "model.layers.{}.post_attention_layernorm.weight",
)
MLP = (
    "model.layers.{}.mlp.gate_proj.weight",
    "model.layers.{}.mlp.up_proj.weight",
    "model.layers.{}.mlp.down_proj.weight",
)
MLP_BIASES = (
    "model.layers.{}.mlp.gate_proj.bias",
    "model.layers.{}.mlp.up_proj.bias",
    "model.layers.{}.mlp.down_proj.bias",
)

FAMILY = Family(
    model_type="llama",
    title="Llama",
    before=("model.embed_tokens.weight",),
    parts=(
        Part((*ATTENTION, *MLP)),
        Part(ATTENTION_BIASES, Switch("attention_bias")),
        Part(MLP_BIASES, Switch("mlp_bias")),
    ),
    after=("model.norm.weight", "lm_head.weight"),
    ignored=(r"model\.layers\.[0-9]+\.self_attn\.rotary_emb\.inv_freq",),
    output_projections=("model.layers.{}.self_attn.o_proj", "model.layers.{}.mlp.down_proj"),
    tied=("lm_head.weight", "model.embed_tokens.weight"),
    arithmetic={"hidden_act": "silu", "rms_norm_eps": 1e-6},
)

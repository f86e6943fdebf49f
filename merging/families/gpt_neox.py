"""GPT-NeoX and Pythia. Old files carry each layer's causal mask and its frequencies."""

from merging.families.family import Family, Part, Switch

FAMILY = Family(
    model_type="gpt_neox",
    title="GPT-NeoX",
    before=("gpt_neox.embed_in.weight",),
    parts=(
        Part(
            (
                "gpt_neox.layers.{}.input_layernorm.weight",
                "gpt_neox.layers.{}.input_layernorm.bias",
                "gpt_neox.layers.{}.attention.query_key_value.weight",
                "gpt_neox.layers.{}.attention.dense.weight",
                "gpt_neox.layers.{}.post_attention_layernorm.weight",
                "gpt_neox.layers.{}.post_attention_layernorm.bias",
                "gpt_neox.layers.{}.mlp.dense_h_to_4h.weight",
                "gpt_neox.layers.{}.mlp.dense_h_to_4h.bias",
                "gpt_neox.layers.{}.mlp.dense_4h_to_h.weight",
                "gpt_neox.layers.{}.mlp.dense_4h_to_h.bias",
            )
        ),
        Part(
            (
                "gpt_neox.layers.{}.attention.query_key_value.bias",
                "gpt_neox.layers.{}.attention.dense.bias",
            ),
            Switch("attention_bias", default=True),
        ),
    ),
    after=("gpt_neox.final_layer_norm.weight", "gpt_neox.final_layer_norm.bias", "embed_out.weight"),
    ignored=(r"(gpt_neox\.)?layers\.[0-9]+\.attention\.(bias|masked_bias|rotary_emb\.inv_freq)",),
    output_projections=("gpt_neox.layers.{}.attention.dense", "gpt_neox.layers.{}.mlp.dense_4h_to_h"),
    tied=("embed_out.weight", "gpt_neox.embed_in.weight"),
    arithmetic={"hidden_act": "gelu", "layer_norm_eps": 1e-5, "use_parallel_residual": True},
    aliases={"rope_theta": ("rotary_emb_base",), "partial_rotary_factor": ("rotary_pct",)},
    rotary={"partial_rotary_factor": 0.25},
)

"""GPT-2 and what was trained like it. Its own file calls tensors `h.0.…`, most others `transformer.h.0.…`.

Old files carry each layer's causal mask.
"""

from merging.families.family import Family, Part

FAMILY = Family(
    model_type="gpt2",
    title="GPT-2",
    before=("transformer.wte.weight", "transformer.wpe.weight"),
    parts=(
        Part(
            (
                "transformer.h.{}.ln_1.weight",
                "transformer.h.{}.ln_1.bias",
                "transformer.h.{}.attn.c_attn.weight",
                "transformer.h.{}.attn.c_attn.bias",
                "transformer.h.{}.attn.c_proj.weight",
                "transformer.h.{}.attn.c_proj.bias",
                "transformer.h.{}.ln_2.weight",
                "transformer.h.{}.ln_2.bias",
                "transformer.h.{}.mlp.c_fc.weight",
                "transformer.h.{}.mlp.c_fc.bias",
                "transformer.h.{}.mlp.c_proj.weight",
                "transformer.h.{}.mlp.c_proj.bias",
            )
        ),
    ),
    after=("transformer.ln_f.weight", "transformer.ln_f.bias", "lm_head.weight"),
    ignored=(r"(transformer\.)?h\.[0-9]+\.attn\.(bias|masked_bias)",),
    output_projections=("transformer.h.{}.attn.c_proj", "transformer.h.{}.mlp.c_proj"),
    tied=("lm_head.weight", "transformer.wte.weight"),
    arithmetic={
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
    },
    tied_by_default=True,
    aliases={
        "num_hidden_layers": ("n_layer",),
        "hidden_size": ("n_embd",),
        "num_attention_heads": ("n_head",),
    },
)

"""The configuration of layers that are stacked: as many as there are, and every list that has an entry for each of them.

Reads configurations as plain values; opens no folder. No torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from merging import plain
from merging.errors import RecipeError
from merging.families import families
from merging.families.family import Window

DEPTHS: Final = ("num_hidden_layers", "n_layer", "num_layers")
"""What configurations call the number of layers."""
NUMBERED: Final = ("mlp_only_layers", "full_attn_idxs")
"""Lists of layers by number. All other lists as long as the model is deep have an entry for each layer."""
OTHERWISE: Final = re.compile(r"architectures|.*token_ids?|layer_types")
"""Lists that may be as long by chance, and the one that some models have and others write as a rule."""
FULL, SLIDING = "full_attention", "sliding_attention"

Config = Mapping[str, object]
Layer = tuple[Config, int]
"""The configuration of the model that a layer comes from, and the layer's number there."""


def stacked_config(config: Config, layers: Sequence[Layer]) -> dict[str, object]:
    """The configuration with these layers in place of its own. Rules that tell a layer's kind from its number (every
    sixth, the first 28) are written out, because layers have other numbers now.

    RecipeError where the layers' models disagree on what their configurations list.
    """
    return {
        **config,
        **{name: len(layers) for name in DEPTHS if name in config},
        **_lists(config, layers),
        **_attention(config, layers),
        **_positions(layers),
        **_experts(layers),
    }


def _depth(config: Config) -> int:
    found = next((config[name] for name in DEPTHS if name in config), None)
    return plain.integer(found, "num_hidden_layers", RecipeError)


def _is_listed(config: Config, name: str) -> bool:
    value = config.get(name)
    return isinstance(value, list) and len(value) == _depth(config) and not OTHERWISE.fullmatch(name)


def _lists(config: Config, layers: Sequence[Layer]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name in config:
        if name in NUMBERED and isinstance(config[name], list):
            found[name] = [i for i, (source, layer) in enumerate(layers) if layer in _numbers(source, name)]
        elif _is_listed(config, name):
            found[name] = [_entry(source, name, layer) for source, layer in layers]
    return found


def _entry(config: Config, name: str, layer: int) -> object:
    value = config.get(name)
    if not isinstance(value, list) or layer >= len(value):
        raise RecipeError(
            f"{name} has no entry for layer {layer} of one of the models, and has one for those of others"
        )
    return value[layer]


def _numbers(config: Config, name: str) -> Sequence[object]:
    value = config.get(name)
    return value if isinstance(value, list) else ()


def _attention(config: Config, layers: Sequence[Layer]) -> dict[str, object]:
    """How far each layer looks back, where it is a rule. Older loaders know only how many layers at the front see all:
    they are told too, where that says it. Without a window of its own the result has none, whatever its layers had.
    """
    ruled = [_rule(source, layer) for source, layer in layers]
    if not any(ruled):
        return {}
    kinds = [kind or FULL if _has_window(config) else FULL for kind in ruled]
    n_full = next((i for i, kind in enumerate(kinds) if kind != FULL), len(kinds))
    says_it = SLIDING not in kinds or FULL not in kinds[n_full:]
    has_count = all("max_window_layers" in source for source, _ in layers)
    return {"layer_types": kinds, **({"max_window_layers": n_full} if has_count and says_it else {})}


def _rule(config: Config, layer: int) -> str | None:
    """The kind of a layer's attention; None where a configuration knows only one."""
    listed = config.get("layer_types")
    if isinstance(listed, list):
        return str(_entry(config, "layer_types", layer))
    every, first = config.get("sliding_window_pattern", _full_every(config)), config.get("max_window_layers")
    if isinstance(every, int) and every > 0:
        return SLIDING if (layer + 1) % every else FULL
    if config.get("use_sliding_window") is True and isinstance(first, int):
        return SLIDING if layer >= first else FULL
    return None


def _has_window(config: Config) -> bool:
    """Whether it says how many tokens a layer sees that does not see all."""
    window = _window(config)
    is_on = not window.switch or config.get(window.switch) is True
    return is_on and bool(config.get("sliding_window", window.default))


def _full_every(config: Config) -> int:
    """A rule that a family has and its configurations do not say: of Gemma 2 they never did."""
    return _window(config).full_every


def _window(config: Config) -> Window:
    model_type = config.get("model_type")
    return families.get(model_type).window if isinstance(model_type, str) and model_type in families else Window(None)


def _positions(layers: Sequence[Layer]) -> dict[str, object]:
    """Which layers turn by position, where every so-manieth does not."""
    intervals = [source.get("no_rope_layer_interval") for source, _ in layers]
    if any(
        isinstance(source.get("no_rope_layers"), list) or interval is None
        for (source, _), interval in zip(layers, intervals, strict=True)
    ):
        return {}
    steps = [plain.integer(interval, "no_rope_layer_interval", RecipeError) for interval in intervals]
    return {"no_rope_layers": [int((layer + 1) % step != 0) for (_, layer), step in zip(layers, steps, strict=True)]}


def _experts(layers: Sequence[Layer]) -> dict[str, object]:
    """Which layers have experts, where every so-manieth has. A configuration that does not say it means every layer."""
    if not any("decoder_sparse_step" in source for source, _ in layers):
        return {}
    dense = [i for i, (source, layer) in enumerate(layers) if _is_dense(source, layer)]
    return {"decoder_sparse_step": 1, "mlp_only_layers": dense}


def _is_dense(config: Config, layer: int) -> bool:
    step = plain.integer(config.get("decoder_sparse_step", 1), "decoder_sparse_step", RecipeError)
    return layer in _numbers(config, "mlp_only_layers") or (step > 0 and (layer + 1) % step != 0)

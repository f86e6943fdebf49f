"""The configuration of stacked layers: every list and every rule that tells layers apart follows the layers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig, AutoModelForCausalLM

from merging.errors import ParentError, RecipeError
from merging.fit import check_recipe_fit
from merging.indexes import parent_facts
from merging.plans import plan
from merging.recipes import WHOLE_MODEL, LayerGroup, Source, passthrough_recipe
from merging.stacks import stacked_config
from tests.merging.models import config as of_folder
from tests.merging.models import parent, tokenizer, write_parent

FULL, SLIDING = "full_attention", "sliding_attention"


def written(model_type: str, **changes: Any) -> dict[str, Any]:
    """A configuration as the library writes it."""
    found: dict[str, Any] = AutoConfig.for_model(model_type, **changes).to_dict()
    return found


def read(config: dict[str, Any]) -> Any:
    """A configuration as the library understands it."""
    return AutoConfig.for_model(**config)


QWEN = written("qwen2", num_hidden_layers=4, use_sliding_window=True, max_window_layers=2, sliding_window=8)
GEMMA = written("gemma3_text", num_hidden_layers=6, sliding_window=8)


def test_an_entry_for_each_layer_goes_with_its_layer() -> None:
    made = stacked_config(QWEN, [(QWEN, layer) for layer in (0, 1, 2, 1, 3, 3)])
    assert made["num_hidden_layers"] == 6
    assert read(made).layer_types == [FULL, FULL, SLIDING, FULL, SLIDING, SLIDING]


def test_a_count_of_layers_at_the_front_follows_where_it_still_says_it() -> None:
    assert stacked_config(QWEN, [(QWEN, layer) for layer in (0, 1, 1, 2, 3)])["max_window_layers"] == 3
    assert stacked_config(QWEN, [(QWEN, layer) for layer in (2, 0, 1)])["max_window_layers"] == 2


def test_layers_of_another_model_bring_their_own_kind() -> None:
    other = QWEN | {"layer_types": [SLIDING] * 4}
    assert stacked_config(QWEN, [(QWEN, 0), (other, 0), (QWEN, 3)])["layer_types"] == [FULL, SLIDING, SLIDING]


def test_layers_with_a_window_see_everything_in_a_model_that_has_none() -> None:
    """The library refuses to run a window of no size."""
    without = written("qwen2", num_hidden_layers=4, use_sliding_window=False, sliding_window=None)
    made = stacked_config(without, [(without, 0), (QWEN, 3), (QWEN, 0)])
    assert read(made).layer_types == [FULL, FULL, FULL] and made["max_window_layers"] == 3
    assert stacked_config(QWEN, [(QWEN, 3), (without, 3)])["layer_types"] == [SLIDING, FULL]


def test_every_sixth_layer_is_written_out() -> None:
    old = {name: value for name, value in GEMMA.items() if name != "layer_types"} | {"sliding_window_pattern": 6}
    for config in (GEMMA, old):
        made = stacked_config(config, [(config, layer) for layer in (4, 5, 0, 5)])
        assert read(made).layer_types == [SLIDING, FULL, SLIDING, FULL]


def test_a_rule_that_only_the_family_knows_is_written_out() -> None:
    """Gemma 2's own files say nothing of which layers have a window."""
    config = {n: value for n, value in written("gemma2", num_hidden_layers=4).items() if n != "layer_types"}
    expected = [read(config).layer_types[layer] for layer in (1, 1, 2, 3)]
    assert expected == [FULL, FULL, SLIDING, FULL]
    assert read(stacked_config(config, [(config, layer) for layer in (1, 1, 2, 3)])).layer_types == expected


def test_layers_without_experts_are_counted_anew() -> None:
    config = written("qwen2_moe", num_hidden_layers=4, decoder_sparse_step=2, mlp_only_layers=[3])
    made = stacked_config(config, [(config, layer) for layer in (0, 1, 1, 3)])
    assert made["mlp_only_layers"] == [0, 3] and made["decoder_sparse_step"] == 1


def test_a_model_that_says_nothing_of_dense_layers_has_none() -> None:
    sparse = {n: v for n, v in written("qwen3_moe", num_hidden_layers=4).items() if n != "decoder_sparse_step"}
    mixed = written("qwen3_moe", num_hidden_layers=4, decoder_sparse_step=2)
    made = stacked_config(mixed, [(mixed, 0), (sparse, 0), (mixed, 1), (sparse, 1)])
    assert made["mlp_only_layers"] == [0] and made["decoder_sparse_step"] == 1


@pytest.mark.parametrize("explicit", [True, False])
def test_layers_that_know_no_position_stay_so(explicit: bool) -> None:
    config = written("smollm3", num_hidden_layers=4, no_rope_layer_interval=4)
    if not explicit:
        del config["no_rope_layers"]
    made = stacked_config(config, [(config, layer) for layer in (3, 0, 3)])
    assert made["no_rope_layers"] == [0, 1, 0]


@pytest.mark.parametrize(("model_type", "name"), [("gpt2", "n_layer"), ("llama", "num_hidden_layers")])
def test_the_number_of_layers_has_its_family_s_name(model_type: str, name: str) -> None:
    config = written(model_type)
    made = stacked_config(config, [(config, 0)] * 3)
    assert read(made).num_hidden_layers == made[name] == 3


def test_lists_that_are_as_long_by_chance_stay() -> None:
    config = written("llama", num_hidden_layers=2, eos_token_id=[1, 2])
    assert stacked_config(config, [(config, 1)])["eos_token_id"] == [1, 2]


def test_a_model_that_writes_the_rule_stands_beside_one_that_lists_its_layers() -> None:
    other = {name: value for name, value in QWEN.items() if name != "layer_types"}
    assert stacked_config(QWEN, [(QWEN, 0), (other, 3), (other, 1)])["layer_types"] == [FULL, SLIDING, FULL]


def test_what_only_some_of_the_models_list_is_refused() -> None:
    listed = QWEN | {"mlp_layer_types": ["dense"] * 4}
    with pytest.raises(RecipeError, match="mlp_layer_types has no entry for layer 1 of one of the models"):
        stacked_config(listed, [(listed, 0), (QWEN, 1)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"attention_bias": True},
            "would have model.layers.1.self_attn.q_proj.bias, which a model like a does not have",
        ),
        (
            {"intermediate_size": 32},
            r"model.layers.1.mlp.gate_proj.weight would be \[32, 16\] from b and is \[24, 16\]",
        ),
    ],
)
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_layers_that_are_no_model_together_are_refused(
    tmp_path: Path, changes: dict[str, Any], message: str, order: tuple[int, int]
) -> None:
    """Each would be written as it is, and no library could load them: either of the two may be the donor."""
    a, b = (parent(write_parent(tmp_path / n, of_folder(**c))) for n, c in (("a", {}), ("b", changes)))
    facts = {model: parent_facts(model.folder) for model in (a, b)}
    groups = tuple(
        LayerGroup(f"layer {i}", i, i + 1, i == 0, i == 1, sources=(Source(of, i),)) for i, of in enumerate(order)
    )
    recipe = replace(passthrough_recipe(a), parents=(a, b), groups=groups, values=(({"scale": 1.0},),) * 2)
    with pytest.raises(ParentError, match=message if order == (0, 1) else "layers"):
        plan(recipe, facts)
    assert plan(replace(recipe, parents=(b,), groups=(WHOLE_MODEL,), values=recipe.values[:1]), facts)


def test_layers_that_compute_with_their_number_are_not_stacked(tmp_path: Path) -> None:
    sizes = {"vocab_size": 259, "n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 8}
    for scaled in (False, True):
        folder = tmp_path / str(scaled)
        model = AutoModelForCausalLM.from_config(read(written("gpt2", scale_attn_by_inverse_layer_idx=scaled, **sizes)))
        model.save_pretrained(folder)
        tokenizer().save_pretrained(folder)
        one = passthrough_recipe(parent(folder))
        groups = tuple(LayerGroup(f"layer {i}", i, i + 1, i == 0, i == 1, sources=(Source(0, 0),)) for i in range(2))
        recipe = replace(one, groups=groups, values=one.values * 2)
        facts = {recipe.parents[0]: parent_facts(folder)}
        if not scaled:
            assert len(plan(recipe, facts)) == 28
            continue
        with pytest.raises(ParentError, match="scale_attn_by_inverse_layer_idx is True in True"):
            check_recipe_fit(recipe)
        with pytest.raises(ParentError, match="it cannot be stacked"):
            plan(recipe, facts)

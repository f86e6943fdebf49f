"""Laws of model families, and that their names and defaults are those of the library's own classes.

Parents are made by the library itself, as everybody's are: a class, its configuration, `save_pretrained`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from merging.__main__ import main
from merging.engines.transformers import TransformersEngine
from merging.families import Family, families
from merging.genomes import parameter_space
from merging.indexes import SINGLE, parent_facts
from merging.plans import plan
from merging.recipes import Parent, uniform_average
from merging.shells import ModelShell
from merging.workbench import Workbench
from tests.merging.models import N_TOKENS, WIDTHS, tokenizer

MODELS: Final[Any] = AutoModelForCausalLM  # the library leaves much of it without types
CPU: Final = torch.device("cpu")
TOKENS: Final = torch.tensor([[1, 2, 3, 4, 5, 200, 7, 8, 9, 10, 11]])
NARROW: Final = {"head_dim": 8, "sliding_window": 4}
"""A window that the tokens above reach beyond."""
EXPERTS: Final = {"moe_intermediate_size": 8, "num_experts": 4, "num_experts_per_tok": 2}
GPT2: Final = {"n_embd": 16, "n_layer": 3, "n_head": 2, "n_positions": 64, "vocab_size": N_TOKENS}

SHAPES: Final[Mapping[str, Mapping[str, Any]]] = {
    "gemma2": NARROW,
    "gemma3_text": {**NARROW, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
    "gpt2": GPT2,
    "mistral": {"sliding_window": 4},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen2_moe": {**EXPERTS, "shared_expert_intermediate_size": 12},
    "qwen3": {"head_dim": 8},
    "qwen3_moe": {**EXPERTS, "head_dim": 8},
}
"""What the tiny model of a family needs beside the common widths."""
VARIANTS: Final[tuple[tuple[str, Mapping[str, Any]], ...]] = (
    ("llama", {"attention_bias": True, "mlp_bias": True}),
    ("qwen3", {"attention_bias": True}),
    ("gemma2", {"attention_bias": True}),
    ("gpt_neox", {"attention_bias": False}),
    ("granite", {"attention_bias": True, "mlp_bias": True}),
    ("olmo2", {"attention_bias": True}),
    ("stablelm", {"use_qkv_bias": True, "qk_layernorm": True, "use_parallel_residual": True}),
    ("qwen2_moe", {"qkv_bias": False, "decoder_sparse_step": 2}),
    ("qwen3_moe", {"attention_bias": True, "mlp_only_layers": [1]}),
)
"""Configurations that turn tensors on or off."""

ALL = pytest.mark.parametrize("family", list(families), ids=families.names())
EVERY_SHAPE = pytest.mark.parametrize(
    ("model_type", "changes"),
    [
        *((family.model_type, {"tie_word_embeddings": tied}) for family in families for tied in (False, True)),
        *VARIANTS,
    ],
    ids=str,
)


pytestmark = pytest.mark.usefixtures("quiet_library")


def described(model_type: str, changes: Mapping[str, Any], seed: int) -> Any:
    """A tiny model of the library's own class, its tensors all drawn at random."""
    common = {} if model_type == "gpt2" else WIDTHS
    special = {"bos_token_id": 256, "eos_token_id": 257, "pad_token_id": 258}
    config = AutoConfig.for_model(model_type, **{**common, **special, **SHAPES.get(model_type, {}), **changes})
    model = MODELS.from_config(config)
    generator = torch.Generator().manual_seed(seed)
    for tensor in model.parameters():
        tensor.data = torch.randn(tensor.shape, generator=generator) * 0.3
    return model.eval()


def saved(folder: Path, model_type: str, changes: Mapping[str, Any], seed: int = 0) -> Path:
    described(model_type, changes, seed).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(TOKENS).logits
    return found


def loaded(folder: Path) -> PreTrainedModel:
    model: PreTrainedModel = MODELS.from_pretrained(folder, dtype=torch.float32).eval()
    return model


def average(folder: Path, *parents: Path) -> Path:
    """The mean of models, built as from a terminal."""
    recipe = uniform_average([Parent(f"{path.name} {i}", str(path), "") for i, path in enumerate(parents)])
    (folder / "recipe.json").write_text(json.dumps(recipe.to_json()))
    assert main([str(folder / "recipe.json"), str(folder / "merged")]) == 0
    return folder / "merged"


@EVERY_SHAPE
def test_a_family_is_merged_and_scored_as_the_library_knows_it(
    tmp_path: Path, model_type: str, changes: Mapping[str, Any]
) -> None:
    """Its names are the file's; the mean of a model with itself loads as that model; a filled shell is that model."""
    folder = saved(tmp_path / "m", model_type, changes)
    stored, facts, expected = load_file(folder / SINGLE), parent_facts(folder), logits(loaded(folder))
    assert set(facts.tensors) == set(stored)
    assert facts.n_layers == 3 and facts.vocab_size == N_TOKENS and facts.hidden_size == 16

    filled = ModelShell(folder, CPU, torch.float32)
    filled.load(stored.items())
    assert torch.equal(logits(filled.model), expected)

    assert torch.equal(logits(loaded(average(tmp_path, folder, folder))), expected)


@pytest.mark.parametrize("model_type", ["gemma3_text", "gpt_neox", "gpt2", "mixtral", "qwen3_moe"])
def test_a_candidate_in_place_is_the_model_that_is_built(tmp_path: Path, model_type: str) -> None:
    """In layer groups, over a base model, with everything that parents may keep in memory."""
    folders = [saved(tmp_path / f"m{seed}", model_type, {}, seed) for seed in range(3)]
    base, *parents = (Parent(folder.name, str(folder), parent_facts(folder).fingerprint) for folder in folders)
    space = parameter_space(
        method="ties", parents=parents, base=base, n_layers=3, groups="block", settings=(), seed=0, dtype="float32"
    )
    recipe = space.decode(tuple((i * 37 % 100) / 100 for i in range(space.n_genes)))
    bench, prompts = Workbench("cpu"), ["a", "merged model?"]
    try:
        said = [completion.text for completion in bench.model(recipe).complete(prompts, 12)]
        bench.build(recipe, tmp_path / "built", {})
    finally:
        bench.close()
    engine = TransformersEngine(loaded(tmp_path / "built"), AutoTokenizer.from_pretrained(tmp_path / "built"))
    assert [completion.text for completion in engine.complete(prompts, 12)] == said


@pytest.mark.parametrize("model_type", ["gemma3_text", "gpt_neox", "qwen2_moe"])
def test_a_shell_in_half_precision_is_what_the_library_loads_in_it(tmp_path: Path, model_type: str) -> None:
    """Scales and frequencies keep the precision that the library gives them."""
    folder = saved(tmp_path / "m", model_type, {})
    filled = ModelShell(folder, CPU, torch.bfloat16)
    filled.load(load_file(folder / SINGLE).items())
    assert torch.equal(logits(filled.model), logits(MODELS.from_pretrained(folder, dtype=torch.bfloat16).eval()))


@ALL
def test_what_a_silent_configuration_means_is_what_the_library_makes_of_it(family: Family) -> None:
    silent = AutoConfig.for_model(family.model_type)
    assert {name: getattr(silent, name) for name in family.arithmetic} == dict(family.arithmetic)
    assert {switch.name: getattr(silent, switch.name) for switch in family.switches} == {
        switch.name: switch.default for switch in family.switches
    }
    assert silent.tie_word_embeddings == family.tied_by_default


@ALL
def test_every_name_has_its_place(family: Family) -> None:
    in_layers = [name for part in family.parts for name in part.names]
    assert all(family.place(name) == "before" for name in family.before)
    assert all(family.place(name) == "after" for name in family.after)
    assert all(family.place(name.format(17, 4)) == 17 for name in in_layers)
    assert all(family.in_other_layer(name.format(17, 4), 3) == name.format(3, 4) for name in in_layers)
    assert len({*family.before, *in_layers, *family.after}) == len((*family.before, *in_layers, *family.after))


@ALL
@pytest.mark.parametrize(
    "name",
    [
        "",
        "model.layers.x.mlp.up_proj.weight",
        "model.layers.01.input_layernorm.weight",
        "model.layers.0.adapter.weight",
        "model.layers.0.mlp.experts.gate_up_proj",
    ],
)
def test_other_names_have_no_place(family: Family, name: str) -> None:
    assert family.place(name) is None and not family.is_ignored(name)


@ALL
def test_output_projections_and_ties_name_tensors_of_the_family(family: Family) -> None:
    in_layers = {name for part in family.parts for name in part.names}
    assert {f"{name}.weight" for name in family.output_projections} <= in_layers
    assert family.tied[0] in family.after and family.tied[1] in family.before


@pytest.mark.parametrize(
    ("model_type", "prefix", "buffers"),
    [
        ("gpt2", "transformer.", ("h.1.attn.bias", "h.1.attn.masked_bias")),
        ("gpt_neox", "gpt_neox.", ("layers.2.attention.bias", "layers.0.attention.rotary_emb.inv_freq")),
        ("qwen3", "model.", ()),
    ],
)
def test_files_without_the_prefix_and_with_old_buffers_are_the_same_model(
    tmp_path: Path, model_type: str, prefix: str, buffers: tuple[str, ...]
) -> None:
    """As the file of GPT-2 itself is. Merged with one of today's, names are today's."""
    new = saved(tmp_path / "new", model_type, {"tie_word_embeddings": True})
    old = saved(tmp_path / "old", model_type, {"tie_word_embeddings": True})
    bare = {name.removeprefix(prefix): tensor for name, tensor in load_file(old / SINGLE).items()}
    save_file({**bare, **{name: torch.ones(1, 1, 4, 4, dtype=torch.uint8) for name in buffers}}, old / SINGLE)
    facts = {Parent(folder.name, str(folder), ""): parent_facts(folder) for folder in (old, new)}
    first, second = facts.values()
    assert list(first.tensors) == list(second.tensors)
    recipe = uniform_average(tuple(facts))
    assert all(
        job.name.startswith(prefix) and job.sources[0].name == job.name.removeprefix(prefix)
        for job in plan(recipe, facts)
    )
    assert torch.equal(logits(loaded(average(tmp_path, old, new))), logits(loaded(new)))


@pytest.mark.parametrize("model_type", ["gpt_neox", "gemma3_text", "mixtral", "qwen3_moe"])
def test_configurations_written_the_old_way_say_the_same(tmp_path: Path, model_type: str) -> None:
    """Keys as files from before transformers 5 have them."""
    folder = saved(tmp_path / "m", model_type, {})
    new = parent_facts(folder).config
    value = json.loads((folder / "config.json").read_text())
    positions = value.pop("rope_parameters")
    value |= {
        "gpt_neox": {"rotary_pct": 0.25, "rotary_emb_base": 10000},
        "gemma3_text": {"rope_theta": 1000000.0, "rope_local_base_freq": 10000.0, "rope_scaling": None},
    }.get(model_type, {"rope_theta": positions.get("rope_theta")})
    if "num_local_experts" in value and model_type == "qwen3_moe":
        value["num_experts"] = value.pop("num_local_experts")
    (folder / "config.json").write_text(json.dumps(value))
    assert parent_facts(folder).config == new


@pytest.mark.parametrize(
    ("model_type", "widths"),
    [
        ("cohere", {}),
        ("mamba", {"state_size": 4}),
        ("olmo3", {}),
        ("bloom", {"n_layer": 3, "n_head": 2}),
    ],
)
def test_a_family_that_nobody_listed_is_merged_and_scored_as_one_whole(
    tmp_path: Path, model_type: str, widths: Mapping[str, Any]
) -> None:
    folder = saved(tmp_path / "m", model_type, widths)
    facts, expected = parent_facts(folder), logits(loaded(folder))
    assert not facts.config.family.is_listed and (facts.n_layers, facts.vocab_size) == (3, N_TOKENS)
    filled = ModelShell(folder, CPU, torch.float32)
    filled.load(load_file(folder / SINGLE).items())
    assert torch.equal(logits(filled.model), expected)
    assert torch.equal(logits(loaded(average(tmp_path, folder, folder))), expected)

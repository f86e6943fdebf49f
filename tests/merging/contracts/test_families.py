"""Laws of model families, and that their names are those of the library's own classes."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from merging.families import Family, families
from tests.merging.models import WIDTHS

ALL = pytest.mark.parametrize("family", list(families), ids=families.names())


def names_in_the_library(family: Family, tied: bool) -> set[str]:
    config = AutoConfig.for_model(family.model_type, **WIDTHS, tie_word_embeddings=tied)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    return {name for name, _ in model.named_parameters()} - ({family.tied[0]} if tied else set())


@ALL
@pytest.mark.parametrize("tied", [False, True])
def test_required_names_are_exactly_the_library_s(family: Family, tied: bool) -> None:
    required = family.required(WIDTHS["num_hidden_layers"], tied)
    assert len(set(required)) == len(required)
    assert set(required) == names_in_the_library(family, tied)


@ALL
def test_every_name_has_its_place(family: Family) -> None:
    assert all(family.place(name) == "before" for name in family.before)
    assert all(family.place(name) == "after" for name in family.after)
    assert all(family.place(name.format(17)) == 17 for name in (*family.in_layer, *family.optional))


@ALL
@pytest.mark.parametrize(
    "name",
    [
        "",
        "model.layers.x.mlp.up_proj.weight",
        "model.layers.01.input_layernorm.weight",
        "model.layers.0.adapter.weight",
    ],
)
def test_other_names_have_no_place(family: Family, name: str) -> None:
    assert family.place(name) is None and not family.is_ignored(name)


@ALL
def test_output_projections_and_ties_name_tensors_of_the_family(family: Family) -> None:
    assert {f"{name}.weight" for name in family.output_projections} <= set(family.in_layer)
    assert family.tied[0] in family.after and family.tied[1] in family.before

"""The model shell: every tensor once, in place, and the same logits as the library's own loading."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from merging.assembly import NamedTensor
from merging.errors import ParentError, TensorError
from merging.shells import ModelShell, compute_dtype
from tests.merging.models import config, set_config, tensors, write_parent

CPU = torch.device("cpu")
TOKENS = torch.tensor([[1, 2, 3, 4, 5, 200, 7]])


def shell(folder: Path, dtype: torch.dtype = torch.float32) -> ModelShell:
    return ModelShell(folder, CPU, dtype)


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(TOKENS).logits
    return found


@pytest.mark.parametrize("model_type", ["llama", "mistral", "qwen2"])
@pytest.mark.parametrize("tied", [False, True])
def test_a_filled_shell_is_the_model_that_the_library_loads(tmp_path: Path, model_type: str, tied: bool) -> None:
    folder = write_parent(tmp_path / "m", config(model_type, tie_word_embeddings=tied))
    filled = shell(folder)
    filled.load(load_file(folder / "model.safetensors").items())
    assert torch.equal(logits(filled.model), logits(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)))
    assert not filled.model.training


def test_loading_again_writes_into_the_same_memory(tmp_path: Path) -> None:
    folder = write_parent(tmp_path / "m")
    filled, places = shell(folder), []
    for seed in (1, 2):
        filled.load(tensors(config(), seed=seed).items())
        places.append([parameter.data_ptr() for parameter in filled.model.parameters()])
        assert torch.equal(filled.model.get_parameter("lm_head.weight"), tensors(config(), seed=seed)["lm_head.weight"])
    assert places[0] == places[1]


def test_half_precision_tensors_become_float32_without_change(tmp_path: Path) -> None:
    folder = write_parent(tmp_path / "m", dtype=torch.bfloat16)
    filled, stored = shell(folder), load_file(folder / "model.safetensors")
    filled.load(stored.items())
    assert all(torch.equal(filled.model.get_parameter(name), tensor.float()) for name, tensor in stored.items())


def without(name: str) -> Iterable[NamedTensor]:
    return [(n, t) for n, t in tensors(config(), seed=0).items() if n != name]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (without("model.norm.weight"), "left without 1 of its tensors, such as model.norm.weight"),
        ([], "left without 30 of its tensors"),
        ([*without(""), ("model.norm.weight", torch.ones(16))], "model.norm.weight was written twice"),
        ([("lm.weight", torch.ones(1))], "lm.weight is not a tensor of this model"),
        ([("model.norm.weight", torch.ones(15))], r"model.norm.weight is \[15\]; the model has \[16\]"),
    ],
)
def test_a_shell_takes_every_tensor_exactly_once(tmp_path: Path, given: Iterable[NamedTensor], message: str) -> None:
    with pytest.raises(TensorError, match=message):
        shell(write_parent(tmp_path / "m")).load(given)


def test_a_tied_head_is_not_loaded_but_follows_its_embedding(tmp_path: Path) -> None:
    tied = config(tie_word_embeddings=True)
    filled = shell(write_parent(tmp_path / "m", tied))
    filled.load(tensors(tied, seed=3).items())
    assert torch.equal(filled.model.get_output_embeddings().weight, tensors(tied, seed=3)["model.embed_tokens.weight"])


def test_a_folder_with_code_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    folder = write_parent(tmp_path / "m", config(auto_map={"AutoModelForCausalLM": "evil.Model"}))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'canary')!r}, 'w')")
    with pytest.raises(ParentError, match="brings its own code"):
        shell(folder)
    assert not (tmp_path / "canary").exists()


def test_a_type_that_the_library_does_not_know_is_merged_but_not_scored(tmp_path: Path) -> None:
    folder = write_parent(tmp_path / "m", config() | {"model_type": "llama"})
    set_config(folder, model_type="home_made")
    with pytest.raises(
        ParentError, match=r"m is of the type home_made, which transformers 5\S* does not know .* not scored"
    ):
        shell(folder)


def test_tensors_that_the_library_s_model_does_not_have_are_named_before_memory_is_taken(tmp_path: Path) -> None:
    """Of a family that is not listed nothing was compared with the configuration before."""
    folder = write_parent(tmp_path / "m")
    set_config(folder, model_type="cohere", hidden_size=10**6)
    with pytest.raises(
        ParentError, match=r"m cannot be scored: .* is \[.*\] in its files and \[.*1000000\] in the model"
    ):
        shell(folder)


def test_models_compute_in_float32_on_a_cpu_and_as_stored_elsewhere() -> None:
    assert compute_dtype(CPU, torch.bfloat16) == torch.float32
    assert compute_dtype(torch.device("cuda"), torch.bfloat16) == torch.bfloat16

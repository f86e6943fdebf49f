"""What a candidate can be exported as. Knows no rows; `workers/exporting.py` makes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

KindName = Literal["folder", "gguf", "mergekit", "recipe", "bundle"]
KIND_NAMES: Final[tuple[KindName, ...]] = get_args(KindName)


@dataclass(frozen=True)
class Kind:
    """`summary` says what it is good for. Of a model there are tensors, which take room; of all others a few kilobytes."""

    name: KindName
    title: str
    summary: str
    is_model: bool


KINDS: Final[dict[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind(
            "folder",
            "Hugging Face folder",
            "Safetensors in shards of 5 GB, tokenizer, chat template, model card, recipe. Loads with transformers, vLLM and whatever else "
            "reads such folders, and can be published.",
            is_model=True,
        ),
        Kind(
            "gguf",
            "GGUF file",
            "One file for llama.cpp, Ollama and LM Studio, made by llama.cpp's own converter.",
            is_model=True,
        ),
        Kind(
            "mergekit",
            "mergekit YAML",
            "Builds the same model with mergekit, from the parents by their names.",
            is_model=False,
        ),
        Kind("recipe", "Recipe", "All that Progeny needs to build the same model to the byte.", is_model=False),
        Kind(
            "bundle",
            "Run bundle",
            "Everything to reproduce it: recipe, the run's configuration and seed, hashes of parents and questions, scores, versions.",
            is_model=False,
        ),
    )
}

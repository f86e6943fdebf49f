"""What makes merged tensors an ordinary Hugging Face folder: configuration, tokenizer and the recipe. No torch.

Everything but the tensors comes from the recipe's donor, as in the model that was scored, and from what the recipe says
of its companions. Parents are called by name: where they lie on this machine is nobody else's business.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from merging import plain
from merging.configs import read_json
from merging.errors import MergingError, RecipeError
from merging.fingerprints import file_hash
from merging.folders import SUMS
from merging.indexes import INDEX, ParentFacts, parent_facts
from merging.mergekit import to_yaml
from merging.plans import stacked_layers
from merging.recipes import Parent, Recipe
from merging.stacks import stacked_config
from merging.token_rows import ResultVocabulary, result_vocabulary
from merging.tokenizers import FILES, copy, write_tokenizer

GENERATION: Final = "generation_config.json"
COPIED: Final = (*FILES, GENERATION)
RECIPE: Final = "recipe.json"
MERGEKIT: Final = "mergekit_config.yml"


def companions_digest(donor: Path) -> str:
    """sha256 over all files that decide, beside the tensors, what a model does."""
    files = [donor / name for name in ("config.json", *COPIED)]
    return plain.digest([[path.name, file_hash(path)] for path in files if path.is_file()])


def write_companions(recipe: Recipe, folder: Path, extra_files: Mapping[str, str]) -> None:
    """Writes all files that go with the tensors; MergingError for an extra file whose name is taken or no plain name.

    The recipe is among them as mergekit's YAML too, if mergekit can be told of it.
    """
    facts = {model: parent_facts(model.folder) for model in recipe.models}
    vocabulary = result_vocabulary(recipe, facts)
    donor = Path(recipe.donor.folder)
    others = [Path(model.folder) for model in recipe.models if model != recipe.donor]
    words = None if vocabulary is None else vocabulary.vocabulary
    write_tokenizer(folder, donor, others, words, recipe.companions.chat_template)
    config = _config(recipe, facts, vocabulary)
    if (donor / GENERATION).is_file():
        copy(donor / GENERATION, folder)
    else:
        (folder / GENERATION).write_text(as_json(_generation(config)), "utf-8")
    texts = {
        "config.json": as_json(config),
        RECIPE: recipe_json(recipe),
        **as_mergekit(recipe),
    }
    for name in extra_files:
        taken = name in texts or name in (INDEX, MERGEKIT, SUMS) or name.endswith(".safetensors")
        if taken or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_. -]{0,99}", name) or (folder / name).exists():
            raise MergingError(f"{name!r} cannot be added to a model folder; expected a plain name that is not taken")
    for name, text in {**texts, **extra_files}.items():
        (folder / name).write_text(text, "utf-8")


def recipe_json(recipe: Recipe) -> str:
    """The text of `recipe.json`: all that builds the same model, and its digest."""
    return as_json(recipe.content() | {"digest": recipe.digest()})


def as_mergekit(recipe: Recipe) -> dict[str, str]:
    """The recipe for mergekit, by the name of its file; nothing where mergekit cannot be told of it."""
    try:
        return {MERGEKIT: to_yaml(recipe, call=lambda parent: parent.name)}
    except RecipeError:
        return {}


def _config(
    recipe: Recipe, facts: Mapping[Parent, ParentFacts], vocabulary: ResultVocabulary | None
) -> Mapping[str, object]:
    """The donor's configuration with the layers and tokens that the result has, and the dtype that was written, under both
    names that loaders of the last years read.
    """
    configs = {model: read_json(Path(model.folder) / "config.json") for model in recipe.models}
    config = {name: value for name, value in configs[recipe.donor].items() if name != "_name_or_path"}
    if recipe.is_stack:
        config = stacked_config(config, [(configs[model], layer) for model, layer in stacked_layers(recipe)])
    if vocabulary is not None:
        config |= {"vocab_size": vocabulary.rows.n_rows}
    return config | {"dtype": recipe.dtype, "torch_dtype": recipe.dtype}


def _generation(config: Mapping[str, object]) -> Mapping[str, object]:
    """What transformers itself reads of a configuration where a model has no such file, for programs that do not."""
    tokens = {name: config.get(name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    return {"_from_model_config": True, **{name: number for name, number in tokens.items() if number is not None}}


def as_json(value: object) -> str:
    """For a file that people read too."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"

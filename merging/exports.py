"""What makes merged tensors an ordinary Hugging Face folder: configuration, tokenizer and the recipe. No torch.

Everything but the tensors comes from the recipe's first parent, as in the model that was scored. Parents are called by
name: where they lie on this machine is nobody else's business.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from merging import plain
from merging.configs import read_json
from merging.errors import MergingError
from merging.fingerprints import file_hash
from merging.indexes import INDEX
from merging.mergekit import to_yaml
from merging.recipes import Recipe

COPIED: Final = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
)
RECIPE: Final = "recipe.json"
MERGEKIT: Final = "mergekit_config.yml"


def companions_digest(donor: Path) -> str:
    """sha256 over all files that decide, beside the tensors, what a model does."""
    files = [donor / name for name in ("config.json", *COPIED)]
    return plain.digest([[path.name, file_hash(path)] for path in files if path.is_file()])


def write_companions(recipe: Recipe, folder: Path, extra_files: Mapping[str, str]) -> None:
    """Writes all files that go with the tensors; MergingError for an extra file whose name is taken or no plain name."""
    donor = Path(recipe.parents[0].folder)
    for name in COPIED:
        if (donor / name).is_file():
            shutil.copyfile(donor / name, folder / name)
    texts = {
        "config.json": _json(_config(recipe, donor)),
        RECIPE: _json(recipe.content() | {"digest": recipe.digest()}),
        MERGEKIT: to_yaml(recipe, call=lambda parent: parent.name),
    }
    for name in extra_files:
        taken = name in texts or name == INDEX or name.endswith(".safetensors")
        if taken or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_. -]{0,99}", name) or (folder / name).exists():
            raise MergingError(f"{name!r} cannot be added to a model folder; expected a plain name that is not taken")
    for name, text in {**texts, **extra_files}.items():
        (folder / name).write_text(text, "utf-8")


def _config(recipe: Recipe, donor: Path) -> dict[str, object]:
    """The donor's configuration with the dtype that was written, under both names that loaders of the last years read."""
    config = {name: value for name, value in read_json(donor / "config.json").items() if name != "_name_or_path"}
    return config | {"dtype": recipe.dtype, "torch_dtype": recipe.dtype}


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"

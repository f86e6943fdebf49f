"""What is asked of a recipe before its model is written: shapes, tokens against rows of embeddings, the chat template. No torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Literal

from merging.chats import chats
from merging.errors import EvaluationError
from merging.fit import check_recipe_fit
from merging.indexes import ParentFacts, parent_facts
from merging.plans import plan
from merging.recipes import Parent, Recipe
from merging.shards import layout
from merging.token_rows import result_vocabulary
from merging.tokenizers import default_template, special_words
from merging.vocabularies import read_vocabulary
from merging.words import counted

Tone = Literal["good", "warn", "bad"]
GREETING = "What is 2 + 3?"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at; `found` is a sentence without its full stop."""

    name: str
    tone: Tone
    found: str

    def to_json(self) -> dict[str, str]:
        """Plain JSON types."""
        return asdict(self)


def check_before(recipe: Recipe) -> list[Check]:
    """What a reader of the model should know; MergingError where it could not be one."""
    check_recipe_fit(recipe)
    facts = {model: parent_facts(model.folder) for model in recipe.models}
    return [_dimensions(recipe, facts), _vocabulary(recipe, facts), *_template(recipe)]


def _dimensions(recipe: Recipe, facts: Mapping[Parent, ParentFacts]) -> Check:
    jobs = plan(recipe, facts)
    n = sum(prod(tensor.shape) for tensor in layout(jobs, facts, recipe.dtype))
    found = f"{counted(len(jobs), 'tensor')} of {n / 1e6:,.1f} million numbers, each in the shape that its parents have"
    return Check("Dimensions", "good", found)


def _vocabulary(recipe: Recipe, facts: Mapping[Parent, ParentFacts]) -> Check:
    donor = facts[recipe.donor]
    made = result_vocabulary(recipe, facts)
    n_rows = donor.vocab_size if made is None else made.rows.n_rows
    numbers = (read_vocabulary(donor.folder) if made is None else made.vocabulary).numbers
    return Check(
        "Vocabulary", "good", f"{counted(len(numbers), 'token')}, {n_rows} rows of embeddings: each has its row"
    )


def _template(recipe: Recipe) -> Iterator[Check]:
    folder = Path(recipe.donor.folder)
    template = recipe.companions.chat_template or default_template(folder)
    if not template:
        yield Check(
            "Chat template", "warn", f"{recipe.donor.name} has none: chat programs will choose one of their own"
        )
        return
    try:
        chats(template, json.dumps(special_words(folder)), (GREETING,))
    except EvaluationError as error:
        yield Check("Chat template", "bad", str(error))
    else:
        yield Check(
            "Chat template", "good", "It takes a user's turn; it is written where old and new programs look for it"
        )

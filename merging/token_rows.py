"""Which rows of which models an embedding of the result is made from, where vocabularies differ. No torch.

Rows are found by token, never by number. A token that a model lacks takes the base model's row there, or the mean of
the rows of those parents that have it; all who lack it take the same, and what a parent lacks the base model lacks with
it or has: either way the task vector of a row that was not there is zero.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from merging.errors import ParentError, RecipeError
from merging.indexes import ParentFacts
from merging.recipes import Parent, Recipe
from merging.vocabularies import Vocabulary, named_examples, read_vocabulary, union

Facts = Mapping[Parent, ParentFacts]


@dataclass(frozen=True)
class TokenRows:
    """How many rows an embedding has, and for each model, in which of its own rows it has what belongs there; -1: it lacks it."""

    n_rows: int
    own: Mapping[Parent, NDArray[np.int64]]


@dataclass(frozen=True)
class ResultVocabulary:
    """The result's tokens by number, and where each model has them."""

    vocabulary: Vocabulary
    rows: TokenRows

    def check(self, models: Collection[Parent], tensor: str) -> None:
        """ParentError when a token has a row in none of the models that a tensor is made from."""
        has_row = np.any([self.rows.own[model] >= 0 for model in models], axis=0)
        lost = [text for text, number in self.vocabulary.numbers.items() if not has_row[number]]
        if lost:
            names = " and ".join(model.name for model in models)
            raise ParentError(
                f"{tensor} is made from {names}, which lack {named_examples(lost)}: choose another tokenizer"
            )


def result_vocabulary(recipe: Recipe, facts: Facts) -> ResultVocabulary | None:
    """The vocabulary that the recipe's `tokenizer` asks for; None when every model has it already, row by row.

    Numbers are the donor's; tokens that only others have follow after its own. Rows of the donor that belong to no token
    stay, unless mergekit's own tensors are asked for, where they go. ParentError when a token is special in one model
    and an ordinary one in another.
    """
    if recipe.companions.tokenizer == "same":
        return None
    vocabularies = {model: read_vocabulary(facts[model].folder) for model in recipe.models}
    donor = recipe.donor
    _check_special(vocabularies, donor)
    found = vocabularies[donor]
    if recipe.companions.tokenizer == "union":
        found = union([found, *(words for model, words in vocabularies.items() if model != donor)])
    n_tokens = 1 + max(found.numbers.values(), default=-1)
    n_rows = n_tokens if recipe.as_mergekit else max(n_tokens, facts[donor].vocab_size)
    own = {model: _rows_of(found, vocabularies[model], n_rows) for model in recipe.models}
    unused = np.setdiff1d(np.arange(facts[donor].vocab_size), list(found.numbers.values()))
    unused = unused[unused < n_rows]
    own[donor][unused] = unused
    is_unchanged = all(facts[model].vocab_size == n_rows for model in recipe.models)
    if is_unchanged and all(np.array_equal(rows, np.arange(n_rows)) for rows in own.values()):
        return None
    if not all(facts[model].config.family.is_listed for model in recipe.models):
        raise RecipeError(
            f"the embeddings of {facts[donor].config.family.title} are not known; expected equal tokenizers"
        )
    return ResultVocabulary(found, TokenRows(n_rows, own))


def _rows_of(result: Vocabulary, own: Vocabulary, n_rows: int) -> NDArray[np.int64]:
    rows = np.full(n_rows, -1, np.int64)
    shared = [(number, own.numbers[text]) for text, number in result.numbers.items() if text in own.numbers]
    if shared:
        numbers, places = np.array(shared, np.int64).T
        rows[numbers] = places
    return rows


def _check_special(vocabularies: Mapping[Parent, Vocabulary], donor: Parent) -> None:
    here = vocabularies[donor]
    for model, there in vocabularies.items():
        clashing = [text for text in here.special ^ there.special if text in here.numbers and text in there.numbers]
        if clashing:
            raise ParentError(
                f"{named_examples(sorted(clashing))} are special in one and ordinary in the other of {donor.name} and "
                f"{model.name}: their rows mean different things"
            )

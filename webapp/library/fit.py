"""Whether models of the library fit each other: what `merging/fit.py` finds out, for rows instead of folders."""

from __future__ import annotations

from collections.abc import Sequence

from merging.fit import Fit, fit
from merging.methods.method import Method
from merging.recipes import Tokenizer
from webapp.library.models import Parent


def fit_of(
    parents: Sequence[Parent],
    base: Parent | None = None,
    method: Method | None = None,
    tokenizer: Tokenizer = "same",
    is_path: bool = False,
) -> Fit:
    """How the models fit, for a path through their layers if it is to be one, from what lies in their folders now. A base
    model that is a parent too counts once.
    """
    models = [row.model for row in parents]
    other = None if base is None or base in parents else base.model
    return fit(models, other, method, tokenizer, is_path=is_path)

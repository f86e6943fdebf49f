"""Whether models of the library fit each other: what `merging/fit.py` finds out, for rows instead of folders."""

from __future__ import annotations

from collections.abc import Sequence

from merging.fit import Fit, fit
from merging.methods.method import Method
from merging.recipes import Parent as Model
from merging.recipes import Tokenizer
from webapp.library.models import Parent


def fit_of(
    parents: Sequence[Parent],
    base: Parent | None = None,
    method: Method | None = None,
    tokenizer: Tokenizer = "same",
) -> Fit:
    """How the models fit, from what lies in their folders now. A base model that is a parent too counts once."""
    models = [_model(row) for row in parents]
    return fit(models, None if base is None or base in parents else _model(base), method, tokenizer)


def _model(row: Parent) -> Model:
    return Model(row.name, row.folder, row.fingerprint)

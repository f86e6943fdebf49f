"""Greedy completion with continuous batching: rows that are finished leave, waiting ones enter in their place.

Longest prompts first. What all prompts begin with is read once. The order of rows, and with it every bit of a result,
depends on the prompts alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Final

from transformers import PreTrainedModel

from merging.engines.transformers.attention import helps, one_query_attention
from merging.engines.transformers.batch import Batch, Part, Row, Rules
from merging.engines.transformers.growing import Growing
from merging.engines.transformers.lean import Lean, forward_of
from merging.engines.transformers.rows import After, Forward, Past, Tokens, read
from merging.engines.transformers.slots import Slots

MIN_SHARED: Final = 8
"""A shorter common beginning is not worth its own step."""


@dataclass(frozen=True)
class Sizes:
    """How much is computed at once: rows in a batch, and tokens of prompts in one pass."""

    rows: int
    tokens: int


def complete(
    model: PreTrainedModel,
    prompts: Sequence[Tokens],
    rules: Rules,
    sizes: Sizes,
    tell: Callable[[int], None],
    slots: Slots | None = None,
) -> list[Row]:
    """One row for each prompt, all done. `tell` is called with the number of those that are, at every step.

    With `slots`, rows are decoded there.
    """
    rows = [Row(prompt) for prompt in prompts]
    waiting = sorted(rows, key=lambda row: len(row.prompt), reverse=True)
    longest = max(map(len, prompts), default=0) + rules.max_new_tokens
    forward = forward_of(model, longest)
    prefix = shared_beginning(forward, prompts)
    by_products = helps(model)
    with one_query_attention(model) if by_products and not isinstance(forward, Lean) else nullcontext():
        batch: Batch = (
            slots.opened(len(rows), sizes.rows, longest) if slots else Growing(forward, sizes.rows, whole=by_products)
        )
        while waiting or batch.n_active:
            n = batch.n_free
            entering, waiting = waiting[:n], waiting[n:]
            batch.renew(_begin(forward, some, prefix, rules) for some in _portions(entering, prefix, sizes.tokens))
            n_before = len(rows) - len(waiting) - batch.n_active
            tell(n_before)
            n_entered = batch.n_active
            while batch.n_active and not batch.is_worth_renewing():
                batch.step(rules)
                tell(n_before + n_entered - batch.n_active)
    return rows


def shared_beginning(forward: Forward, rows: Sequence[Tokens]) -> Past | None:
    """What all rows begin with, read once; None when that is not worth it. The last token of a row is never shared."""
    if len(rows) < 2:
        return None
    first, last = (
        min(map(tuple, rows)),
        max(map(tuple, rows)),
    )  # in the order of tokens: what these two share, all share
    n = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    n = min(n, min(map(len, rows)) - 1)
    return read(forward, [first[:n]])[1] if n >= MIN_SHARED else None


def _begin(forward: Forward, rows: list[Row], prefix: Past | None, rules: Rules) -> Part:
    """Their prompts are read, and they have their first token."""
    after = After(prefix, [0] * len(rows)) if prefix else None
    logits, past = read(forward, [row.prompt for row in rows], after)
    rules.add(rows, logits[:, -1].argmax(dim=-1).tolist())
    return Part.of(rows, past)


def _portions(rows: list[Row], prefix: Past | None, n_tokens: int) -> Iterator[list[Row]]:
    """Rows in their order, the longest first, so that one pass computes at most `n_tokens`, or one row."""
    n_known = prefix.lengths[0] if prefix else 0
    while rows:
        n = max(1, n_tokens // (len(rows[0].prompt) - n_known))
        yield rows[:n]
        rows = rows[n:]

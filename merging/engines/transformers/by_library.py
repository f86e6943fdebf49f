"""Completions and log-likelihoods with nothing but the library's own `generate` and forward pass, for models with recurrent
states, shared or compressed caches. Only rows of equal length are computed together, so that nothing is padded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedModel, StoppingCriteria, StoppingCriteriaList

from merging.engines import Likelihood
from merging.engines.transformers.batch import Row, Rules
from merging.engines.transformers.completing import Sizes
from merging.engines.transformers.likelihoods import Pair, judged
from merging.engines.transformers.rows import Tokens


def complete(
    model: PreTrainedModel, prompts: Sequence[Tokens], rules: Rules, sizes: Sizes, tell: Callable[[int], None]
) -> list[Row]:
    """See `completing.complete`."""
    rows = [Row(prompt) for prompt in prompts]
    plain = GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=rules.max_new_tokens,
        do_sample=False,
        num_beams=1,
        repetition_penalty=1.0,
        eos_token_id=sorted(rules.end_tokens) or None,
        pad_token_id=min(rules.end_tokens, default=0),
    )
    for some in _of_equal_length(range(len(rows)), [len(row.prompt) for row in rows], sizes.rows):
        watch = _Watch([rows[i] for i in some], rules)
        model.generate(  # type: ignore[operator]
            torch.tensor([list(prompts[i]) for i in some], device=model.device),
            attention_mask=torch.ones(len(some), len(prompts[some[0]]), dtype=torch.long, device=model.device),
            generation_config=plain,
            stopping_criteria=StoppingCriteriaList([watch]),
        )
        tell(sum(row.done for row in rows))
    return rows


class _Watch(StoppingCriteria):
    """Keeps every row's tokens, by the rules, as they come."""

    def __init__(self, rows: Sequence[Row], rules: Rules) -> None:
        self._rows = rows
        self._rules = rules

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        self._rules.add(self._rows, input_ids[:, -1].tolist())
        return torch.tensor([row.done for row in self._rows], device=input_ids.device)


def likelihoods(
    model: PreTrainedModel, pairs: Sequence[Pair], sizes: Sizes, tell: Callable[[int], None]
) -> list[Likelihood]:
    """See `likelihoods.likelihoods`."""
    found: dict[int, Likelihood] = {}
    for some in _of_equal_length(range(len(pairs)), [len(pair.read) for pair in pairs], sizes.rows):
        n = max(len(pairs[i].continuation) for i in some)
        output = model(input_ids=torch.tensor([pairs[i].read for i in some], device=model.device), use_cache=False)
        found.update(zip(some, judged([pairs[i].continuation for i in some], output.logits[:, -n:]), strict=True))
        tell(len(found))
    return [found[i] for i in range(len(pairs))]


def _of_equal_length(places: Sequence[int], lengths: Sequence[int], n_rows: int) -> Iterator[list[int]]:
    for length in sorted(set(lengths), reverse=True):
        alike = [i for i in places if lengths[i] == length]
        yield from (alike[start : start + n_rows] for start in range(0, len(alike), n_rows))

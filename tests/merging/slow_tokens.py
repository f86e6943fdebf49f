"""A `TokenModel` of a few lines over a model of `transformers`: one row at a time, by the library's own `generate`.

What adaptors are judged with, without the engine's own float additions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from merging.engines import Completion, Decided, Likelihood, Progress


class SlowTokens:
    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.max_length = int(model.config.max_position_embeddings)
        bos = tokenizer.bos_token_id
        self.prefix_token = int(tokenizer.eos_token_id if bos is None else bos)

    def complete_tokens(
        self,
        rows: Sequence[Sequence[int]],
        max_new_tokens: int,
        stop: Sequence[str] = (),
        progress: Progress | None = None,
        decided: Decided | None = None,
    ) -> list[Completion]:
        found = []
        for i, row in enumerate(rows, start=1):
            output = self.model.generate(
                torch.tensor([row]), max_new_tokens=max_new_tokens, do_sample=False, pad_token_id=0
            )
            tokens = output[0, len(row) :]
            text = self.tokenizer.decode(tokens, skip_special_tokens=True)
            cut = min((at for one in stop if (at := text.find(one)) >= 0), default=None)
            found.append(Completion(text[:cut], len(tokens), cut is not None or len(tokens) < max_new_tokens))
            if progress:
                progress(i, len(rows))
        return found

    @torch.inference_mode()
    def likelihoods_of_tokens(
        self, rows: Sequence[tuple[Sequence[int], Sequence[int]]], progress: Progress | None = None
    ) -> list[Likelihood]:
        found = []
        for context, continuation in rows:
            inputs = torch.tensor([*context, *continuation])[-(self.max_length + 1) :][:-1]
            logits = self.model(inputs[None]).logits[0, -len(continuation) :].log_softmax(-1)
            wanted = torch.tensor(list(continuation))
            sums = logits.gather(1, wanted[:, None]).squeeze(1).sum()
            greedy = bool((logits.argmax(-1) == wanted).all())
            found.append(Likelihood(float(sums), len(continuation), greedy))
        return found

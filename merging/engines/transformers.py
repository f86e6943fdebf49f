"""The reference engine: greedy completion with any causal model of `transformers`, in batches, with a cache of keys and values.

Prompts are sorted by length and padded on the left. Rows that are finished leave the batch, and the cache is written in
place: for models of a few million parameters on one core the library's own `generate` spends most of its time on what
is avoided here. Knows no benchmark.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase
from transformers.cache_utils import DynamicLayer

from merging.engines import Completion, Progress
from merging.errors import EvaluationError
from merging.threads import threads_for

CPU_BATCH: Final = 128
MAX_BATCH: Final = 512
MEMORY_SHARE: Final = 0.5
"""Of the free memory of a GPU, for keys and values; activations need the rest."""
N_STEPS_BETWEEN_STOP_CHECKS: Final = 8
COMPACT_SHARE: Final = 0.125
"""Finished rows leave once they are this share of a batch: leaving copies the cache of those that stay."""


class TransformersEngine:
    """A `TextModel` over a causal language model. The model may be given other tensors between two calls."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, batch_size: int | None = None
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._batch_size = batch_size
        self._end_tokens = _end_tokens(model, tokenizer)
        self._n_parameters = model.num_parameters()

    def complete(
        self,
        prompts: Sequence[str],
        max_new_tokens: int,
        stop: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> list[Completion]:
        """See `TextModel`. Equal to the library's greedy search up to the order of float additions."""
        tokens = [self._tokenizer(prompt)["input_ids"] for prompt in prompts]
        self._check_positions(tokens, max_new_tokens)
        order = sorted(range(len(prompts)), key=lambda i: (len(tokens[i]), i))
        found: dict[int, Completion] = {}
        for start in range(0, len(order), size := self._rows_per_batch(tokens, max_new_tokens)):
            chosen = order[start : start + size]

            def tell(n_finished: int, n_before: int = start) -> None:
                if progress:
                    progress(n_before + n_finished, len(prompts))

            with threads_for(self._n_parameters):
                ends = self._decode([tokens[i] for i in chosen], max_new_tokens, stop, tell)
            found.update(zip(chosen, ends, strict=True))
            tell(len(chosen))
        return [found[i] for i in range(len(prompts))]

    @torch.inference_mode()
    def _decode(
        self, rows: list[list[int]], max_new_tokens: int, stop: Sequence[str], tell: Callable[[int], None]
    ) -> list[Completion]:
        batch = _Batch.of(rows, max_new_tokens, self._model)
        for step in range(max_new_tokens):
            batch.append(self._next_tokens(batch))
            batch.finish(torch.isin(batch.last, self._end_tokens))
            if stop and step % N_STEPS_BETWEEN_STOP_CHECKS == N_STEPS_BETWEEN_STOP_CHECKS - 1:
                batch.finish(torch.tensor([_first_stop(text, stop) is not None for text in self._texts(batch)]))
            tell(len(rows) - batch.n_active)
            if batch.n_active == 0:
                break
            batch.compact()
        return [self._completion(row, max_new_tokens, stop) for row in batch.completed()]

    def _next_tokens(self, batch: _Batch) -> torch.Tensor:
        inputs, mask, positions = batch.inputs()
        output = self._model(
            input_ids=inputs, attention_mask=mask, position_ids=positions, past_key_values=batch.cache, logits_to_keep=1
        )
        tokens: torch.Tensor = output.logits[:, -1].argmax(dim=-1)  # [rows]
        return tokens

    def _texts(self, batch: _Batch) -> list[str]:
        return self._tokenizer.batch_decode(batch.generated(), skip_special_tokens=True)

    def _completion(self, row: list[int], max_new_tokens: int, stop: Sequence[str]) -> Completion:
        ends = set(self._end_tokens.tolist())
        n = next((i for i, token in enumerate(row) if token in ends), len(row))
        text = str(self._tokenizer.decode(row[:n], skip_special_tokens=True))
        cut = _first_stop(text, stop)
        return Completion(text[:cut], n_tokens=n, finished=n < len(row) or cut is not None)

    def _rows_per_batch(self, tokens: Sequence[Sequence[int]], max_new_tokens: int) -> int:
        if self._batch_size:
            return self._batch_size
        device = self._model.device
        if device.type != "cuda":
            return CPU_BATCH
        free, _ = torch.cuda.mem_get_info(device)
        longest = max((len(row) for row in tokens), default=1) + max_new_tokens
        return max(1, min(MAX_BATCH, int(free * MEMORY_SHARE) // (longest * _cache_bytes_per_token(self._model))))

    def _check_positions(self, tokens: Sequence[Sequence[int]], max_new_tokens: int) -> None:
        limit = getattr(self._model.config, "max_position_embeddings", None)
        for i, row in enumerate(tokens):
            if not row:
                raise EvaluationError(f"prompt {i} has no tokens; expected at least one")
            if limit is not None and len(row) + max_new_tokens > limit:
                raise EvaluationError(
                    f"prompt {i} has {len(row)} tokens and may be continued by {max_new_tokens}: "
                    f"the model has {limit} positions. Shorten the question or allow fewer new tokens"
                )


class _InPlaceLayer(DynamicLayer):  # type: ignore[no-untyped-call]  # the library's base class is not annotated
    """Keys and values of one layer in buffers that are allocated once: growing by concatenation copies them each step."""

    keys: torch.Tensor  # [rows, heads, length, head size]
    values: torch.Tensor

    def __init__(self, length: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._length = length
        self._n = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys = key_states.new_empty(*key_states.shape[:2], self._length, key_states.shape[3])
        self.values = value_states.new_empty(*value_states.shape[:2], self._length, value_states.shape[3])
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, self._n = self._n, self._n + key_states.shape[-2]
        self.keys[:, :, start : self._n] = key_states
        self.values[:, :, start : self._n] = value_states
        return self.keys[:, :, : self._n], self.values[:, :, : self._n]

    def get_seq_length(self) -> int:
        return self._n


@dataclass
class _Batch:
    """Rows that are decoded together.

    `rows` maps the rows still in the batch to places in `tokens`, which keeps all of them.

    tokens [all rows, longest prompt + max_new_tokens]; mask [rows, the same]: False where a row is padded on its left.
    """

    tokens: torch.Tensor
    mask: torch.Tensor
    cache: DynamicCache
    n_prompt: int
    rows: torch.Tensor
    active: torch.Tensor
    length: int
    ended: list[int]

    @classmethod
    def of(cls, prompts: list[list[int]], max_new_tokens: int, model: PreTrainedModel) -> _Batch:
        n_prompt, device = max(map(len, prompts)), model.device
        padded = [[0] * (n_prompt - len(row)) + row + [0] * max_new_tokens for row in prompts]
        tokens = torch.tensor(padded, device=device)
        lengths = torch.tensor([len(row) for row in prompts], device=device)
        mask = torch.arange(tokens.shape[1], device=device) >= n_prompt - lengths[:, None]
        rows = torch.arange(len(prompts), device=device)
        cache = _cache(model, tokens.shape[1])
        return cls(
            tokens, mask, cache, n_prompt, rows, torch.ones_like(rows, dtype=torch.bool), n_prompt, [-1] * len(prompts)
        )

    @property
    def n_active(self) -> int:
        return int(self.active.sum())

    @property
    def last(self) -> torch.Tensor:
        return self.tokens[self.rows, self.length - 1]  # [rows]

    def inputs(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Tokens not yet in the cache, the mask over everything, and positions: the whole prompt first, then one token at a time."""
        seen = self.cache.get_seq_length()
        mask = self.mask[:, : self.length]
        positions = (mask.long().cumsum(dim=-1) - 1).clamp(min=0)[:, seen:]
        return self.tokens[self.rows, seen : self.length], mask, positions

    def append(self, tokens: torch.Tensor) -> None:
        self.tokens[self.rows, self.length] = tokens
        self.length += 1

    def finish(self, which: torch.Tensor) -> None:
        """Rows that are done: their completion ends here, whatever is appended before they leave the batch."""
        newly = self.active & which.to(self.active.device)
        for row in self.rows[newly].tolist():
            self.ended[row] = self.length
        self.active &= ~newly

    def compact(self) -> None:
        """Let finished rows leave when that is worth the copy."""
        n_finished = len(self.active) - self.n_active
        if n_finished < COMPACT_SHARE * len(self.active):
            return
        self.cache.batch_select_indices(self.active)
        self.mask, self.rows = self.mask[self.active], self.rows[self.active]
        self.active = self.active[self.active]

    def generated(self) -> torch.Tensor:
        return self.tokens[self.rows, self.n_prompt : self.length]

    def completed(self) -> list[list[int]]:
        """What each row generated, in the order of the prompts."""
        stops = [end if end >= 0 else self.length for end in self.ended]
        return [row[self.n_prompt : stop] for row, stop in zip(self.tokens.tolist(), stops, strict=True)]


def _cache(model: PreTrainedModel, length: int) -> DynamicCache:
    """The library's cache for this model, its plain layers written in place; layers with a sliding window stay the library's own."""
    cache = DynamicCache(config=model.config)
    cache.layers = [_InPlaceLayer(length) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def _cache_bytes_per_token(model: PreTrainedModel) -> int:
    config = model.config
    n_heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * n_heads * head_size * model.dtype.itemsize)


def _end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> torch.Tensor:
    named = (getattr(model.generation_config, "eos_token_id", None), model.config.eos_token_id, tokenizer.eos_token_id)
    tokens = {
        token for value in named for token in (value if isinstance(value, list) else [value]) if token is not None
    }
    return torch.tensor(sorted(tokens), dtype=torch.long, device=model.device)


def _first_stop(text: str, stop: Sequence[str]) -> int | None:
    return min((at for string in stop if (at := text.find(string)) >= 0), default=None)

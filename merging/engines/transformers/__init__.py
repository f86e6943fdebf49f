"""The reference engine: completions and log-likelihoods of any causal model of `transformers`. Knows no benchmark.

texts        text to tokens and back
chats        questions in a model's chat template, rendered by a program of its own
rows         what a model keeps of rows it has read, and how it reads on
attention    one query a row, on a CPU
lean         the forward pass of Llama-like models on a CPU
completing   greedy completion with continuous batching
batch        what a batch is, and when a row is done
growing      a batch in buffers just as large as it needs
slots        a batch of fixed shapes, whose steps can be recorded
graphs       recorded steps on a GPU
likelihoods  of continuations
by_library   the same with the library's own `generate`, for models whose memory cannot be moved from row to row
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from merging.engines import Completion, Decided, Likelihood, Progress
from merging.engines.transformers import by_library
from merging.engines.transformers.batch import Row, Rules
from merging.engines.transformers.completing import Sizes, complete
from merging.engines.transformers.graphs import Recorder, graphs_on
from merging.engines.transformers.likelihoods import Pair, likelihoods
from merging.engines.transformers.rows import Tokens, can_move_rows
from merging.engines.transformers.slot_attention import can_use_slots
from merging.engines.transformers.slots import Slots, columns_for
from merging.engines.transformers.texts import AskedInText, Texts, end_tokens, first_stop, max_length, positions
from merging.errors import EvaluationError
from merging.threads import TINY, threads_for

TINY_BATCH: Final = 256
CPU_BATCH: Final = 64
MAX_BATCH: Final = 512
"""Rows at once: for models of less than `TINY` parameters on a CPU, for others there, and on a GPU."""
CPU_TOKENS: Final = 2048
GPU_TOKENS: Final = 16384
"""Tokens of prompts in one pass."""
MEMORY_SHARE: Final = 0.25
"""Of all memory, for keys and values. Not of what is free: how rows are batched, and with it every bit, would depend on the moment."""
READ_SHARE: Final = 0.25
"""Of that, at most, for prompts that were just read and do not stand in their slots yet."""


class TransformersEngine(AskedInText):
    """A `TokenModel` over a causal language model. The model may be given other tensors between two calls.

    `batch_size` is how many rows are computed at once, by default as many as a share of the memory takes.
    `batch_share`, (0, 1], makes less of that, and of the tokens of prompts in one pass: where it did not fit.
    `recorder` says what records the steps of completions on a device, if anything: graphs on a GPU, for models whose steps
    are always the same (`can_use_slots`). The model's tensors are then written to in place.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        batch_size: int | None = None,
        batch_share: float = 1.0,
        recorder: Recorder = graphs_on,
    ) -> None:
        self._model = model
        self._texts = Texts(tokenizer)
        self._batch_size, self._batch_share = batch_size, batch_share
        self._end_tokens = end_tokens(model, tokenizer)
        self._n_parameters = model.num_parameters()
        record = recorder(model.device)
        self._slots = Slots(model, record) if record and can_use_slots(model) else None
        movable = (partial(complete, slots=self._slots), likelihoods)
        self._kinds = movable if can_move_rows(model) else (by_library.complete, by_library.likelihoods)

    def layers_changed(self, n_parameters: int) -> None:
        """The model has other layers of the same kinds now, with so many parameters; those of repeated layers count again."""
        self._n_parameters = n_parameters
        if self._slots:
            self._slots.forget()

    @property
    def max_length(self) -> int:
        """See `TokenModel`."""
        return max_length(self._model, self.tokenizer)

    @torch.inference_mode()
    def complete_tokens(
        self,
        rows: Sequence[Tokens],
        max_new_tokens: int,
        stop: Sequence[str] = (),
        progress: Progress | None = None,
        decided: Decided | None = None,
    ) -> list[Completion]:
        """See `TokenModel`."""
        self._check_prompts(rows, max_new_tokens)

        def is_over(generated: list[int]) -> bool:
            text = self._texts.text(generated)
            return first_stop(text, stop) is not None or (decided is not None and decided(text))

        rules = Rules(max_new_tokens, self._end_tokens, is_over if stop or decided else None)
        sizes = self._sizes(max(map(len, rows), default=1) + max_new_tokens)
        with threads_for(self._n_parameters):
            done = self._kinds[0](self._model, rows, rules, sizes, _teller(progress, len(rows)))
        return [self._completion(row, stop) for row in done]

    @torch.inference_mode()
    def likelihoods_of_tokens(
        self, rows: Sequence[tuple[Tokens, Tokens]], progress: Progress | None = None
    ) -> list[Likelihood]:
        """See `TokenModel`."""
        pairs = [self._pair(i, *row) for i, row in enumerate(rows)]
        sizes = self._sizes(max((len(pair.read) for pair in pairs), default=1))
        with threads_for(self._n_parameters):
            return self._kinds[1](self._model, pairs, sizes, _teller(progress, len(pairs)))

    def _completion(self, row: Row, stop: Sequence[str]) -> Completion:
        text = self._texts.text(row.generated)
        cut = first_stop(text, stop)
        return Completion(text[:cut], n_tokens=len(row.generated), finished=row.finished or cut is not None)

    def _pair(self, i: int, context: Tokens, continuation: Tokens) -> Pair:
        limit = self.max_length
        if not context or not continuation:
            empty = "continuation" if context else "context"
            raise EvaluationError(f"the {empty} of pair {i} has no tokens; expected at least one")
        if len(continuation) > limit:
            raise EvaluationError(
                f"the continuation of pair {i} has {len(continuation)} tokens: the model has {limit} positions"
            )
        return Pair(list(context)[-(limit + 1 - len(continuation)) :], continuation)

    def _check_prompts(self, rows: Sequence[Tokens], max_new_tokens: int) -> None:
        limit = positions(self._model)
        for i, row in enumerate(rows):
            if not row:
                raise EvaluationError(f"prompt {i} has no tokens; expected at least one")
            if limit is not None and len(row) + max_new_tokens > limit:
                raise EvaluationError(
                    f"prompt {i} has {len(row)} tokens and may be continued by {max_new_tokens}: "
                    f"the model has {limit} positions. Shorten the question or allow fewer new tokens"
                )

    def _sizes(self, longest: int) -> Sizes:
        """How many rows of `longest` tokens fit, if nobody said; with slots, beside the prompts that are on their way into them."""
        device = self._model.device
        on_gpu = device.type == "cuda"
        memory = torch.cuda.get_device_properties(device).total_memory if on_gpu else _main_memory()
        n_fitting = int(memory * MEMORY_SHARE) // _cache_bytes_per_token(self._model)
        n_tokens, width = GPU_TOKENS if on_gpu else CPU_TOKENS, longest
        if self._slots:
            n_tokens, width = min(n_tokens, int(n_fitting * READ_SHARE)), columns_for(longest)
            n_fitting -= n_tokens
        most = MAX_BATCH if on_gpu else TINY_BATCH if self._n_parameters < TINY else CPU_BATCH
        n_rows = self._batch_size or min(most, n_fitting // width)
        return Sizes(*(max(1, int(n * self._batch_share)) for n in (n_rows, n_tokens)))


def _teller(progress: Progress | None, total: int) -> Callable[[int], None]:
    return lambda done: progress(done, total) if progress else None


def _main_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _cache_bytes_per_token(model: PreTrainedModel) -> int:
    """Keys and values of all layers; of a model without attention, as if it had one head."""
    config = model.config.get_text_config(decoder=True)
    n_query_heads = getattr(config, "num_attention_heads", None) or 1
    n_heads = getattr(config, "num_key_value_heads", None) or n_query_heads
    head_size = getattr(config, "head_dim", None) or config.hidden_size // n_query_heads
    return int(2 * config.num_hidden_layers * n_heads * head_size * model.dtype.itemsize)

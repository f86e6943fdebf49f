"""Engines: what a loaded model can be asked.

One file an engine; this one says what they all promise and imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

Progress = Callable[[int, int], None]
"""Called with (done, total) prompts at every step, from the thread that computes; an exception that it raises ends the call."""


@dataclass(frozen=True)
class Completion:
    """Generated text, without the stop string or end token.

    `finished` is False when it was cut at the limit of tokens.
    """

    text: str
    n_tokens: int
    finished: bool


class TextModel(Protocol):
    """A model with its tokenizer, ready to answer.

    Greedy and deterministic: the same prompts in the same order give the same completions, bit for bit, on the same
    machine. Completions come in the order of the prompts. One thread at a time; the tensors must not change during a
    call.
    """

    def complete(
        self,
        prompts: Sequence[str],
        max_new_tokens: int,
        stop: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> list[Completion]:
        """Continue each prompt until the end token, a stop string, or `max_new_tokens`.

        An EvaluationError names a prompt that does not fit into the model's positions.
        """
        ...

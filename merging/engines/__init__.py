"""Engines: what a loaded model can be asked.

One file an engine; this one says what they all promise and imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

EngineName = Literal["transformers", "vllm"]

Progress = Callable[[int, int], None]
"""Called with (done, total) prompts at every step, from the thread that computes; an exception that it raises ends the call."""

Decided = Callable[[str], bool]
"""Given the text of a completion so far, says whether what follows can no longer change its answer. Asked every few tokens."""

N_TOKENS_BETWEEN_CHECKS = 8
"""How often stop strings and `Decided` are looked at, in tokens of one completion. The same in every engine, so that texts are."""


@dataclass(frozen=True)
class Completion:
    """Generated text, without the stop string or end token.

    `n_tokens` were generated for it. `finished` is False when it was cut at the limit of tokens.
    """

    text: str
    n_tokens: int
    finished: bool


@dataclass(frozen=True)
class Likelihood:
    """How likely a model finds a continuation of `n_tokens` after its context.

    `log_probability` is the sum over its tokens, in nats. `greedy`: every token was the likeliest one, so that greedy
    completion would have produced the continuation.
    """

    log_probability: float
    n_tokens: int
    greedy: bool


class TextModel(Protocol):
    """A model with its tokenizer, ready to answer.

    Greedy and deterministic: the same prompts in the same order give the same completions, bit for bit, on the same
    machine. Answers come in the order of the questions. One thread at a time; the tensors must not change during a
    call.
    """

    def complete(
        self,
        prompts: Sequence[str],
        max_new_tokens: int,
        stop: Sequence[str] = (),
        progress: Progress | None = None,
        decided: Decided | None = None,
    ) -> list[Completion]:
        """Continue each prompt until the end token, a stop string, `max_new_tokens`, or until its answer is `decided`.

        A completion that was decided early counts as finished; its text is what was generated until then. An
        EvaluationError names a prompt that has no tokens or does not fit into the model's positions.
        """
        ...

    def likelihoods(self, pairs: Sequence[tuple[str, str]], progress: Progress | None = None) -> list[Likelihood]:
        """How likely each (context, continuation) is, tokenised and cut as lm-eval's `hf` model does it.

        White space at the end of a context counts to the continuation. An empty context is the model's first token
        (BOS, else EOS). Contexts too long for the model's positions lose their beginning. An EvaluationError names a
        pair whose continuation has no tokens, or more than the positions.
        """
        ...

    def as_chats(self, questions: Sequence[str]) -> list[str]:
        """Each question as a user's turn in the model's chat template, up to where the answer starts.

        EvaluationError when the tokenizer has no template, or its template cannot say this with a little time and memory.
        """
        ...


class TokenModel(TextModel, Protocol):
    """A `TextModel` that can also be asked in tokens: for those who tokenise themselves, such as lm-eval's harness."""

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase: ...

    @property
    def max_length(self) -> int:
        """How many tokens fit, prompt and completion together; as lm-eval's `hf` model finds it, 2048 when nothing says."""
        ...

    @property
    def prefix_token(self) -> int:
        """What stands in for an empty context: BOS, else EOS."""
        ...

    def complete_tokens(
        self,
        rows: Sequence[Sequence[int]],
        max_new_tokens: int,
        stop: Sequence[str] = (),
        progress: Progress | None = None,
        decided: Decided | None = None,
    ) -> list[Completion]:
        """As `complete`, of prompts that are tokens, special ones included."""
        ...

    def likelihoods_of_tokens(
        self, rows: Sequence[tuple[Sequence[int], Sequence[int]]], progress: Progress | None = None
    ) -> list[Likelihood]:
        """As `likelihoods`, of (context, continuation) in tokens; an empty context is refused, a long one cut on its left."""
        ...

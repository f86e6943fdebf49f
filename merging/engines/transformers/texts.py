"""From text to tokens and back, as lm-eval's `hf` model does it; what was tokenised before is remembered."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Final

from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.tokenization_utils_base import VERY_LARGE_INTEGER

from merging.chats import chats
from merging.configs import POSITION_NAMES
from merging.engines import Completion, Decided, Likelihood, Progress
from merging.engines.transformers.rows import Tokens
from merging.errors import EvaluationError

MAX_REMEMBERED: Final = 2**20
"""Tokens; some 40 MB. A run asks every candidate the same questions."""
DEFAULT_MAX_LENGTH: Final = 2048


class Texts:
    """A model's tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self._known: dict[str, tuple[int, ...]] = {}
        self._n_remembered = 0

    @property
    def prefix_token(self) -> int:
        """BOS, else EOS."""
        for token in (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id):
            if isinstance(token, int):
                return token
        raise EvaluationError(
            "the tokenizer has neither a BOS nor an EOS token; expected one to stand before an empty context"
        )

    def tokens(self, text: str) -> Tokens:
        """With the special tokens that the tokenizer adds, unless the text begins with BOS itself."""
        return self.tokens_of([text])[0]

    def tokens_of(self, texts: Sequence[str]) -> list[Tokens]:
        """See `tokens`. New texts are tokenised together: 200 short ones one by one took 25 ms, together 3 ms."""
        found = {text: self._known[text] for text in texts if text in self._known}
        bos = self.tokenizer.bos_token
        for has_bos in (False, True):
            new = [
                t
                for t in dict.fromkeys(texts)
                if t not in found and has_bos == (isinstance(bos, str) and t.startswith(bos))
            ]
            if new:
                rows = self.tokenizer(new, **({"add_special_tokens": False} if has_bos else {}))["input_ids"]
                found.update(zip(new, map(tuple, rows), strict=True))
        self._remember(found)
        return [found[text] for text in texts]

    def _remember(self, found: Mapping[str, tuple[int, ...]]) -> None:
        for text, tokens in found.items():
            if text in self._known:
                continue
            if self._n_remembered + len(tokens) > MAX_REMEMBERED:
                self._known.clear()
                self._n_remembered = 0
            self._known[text] = tokens
            self._n_remembered += len(tokens)

    def pair(self, context: str, continuation: str) -> tuple[Tokens, Tokens]:
        """Tokens of both texts together, parted where those of the context alone end; trailing space goes to the continuation."""
        if not context:
            found = self.tokenizer.encode(continuation, add_special_tokens=False)
            return (found[:1], found[1:]) if found[:1] == [self.prefix_token] else ([self.prefix_token], found)
        bare = context.rstrip()
        n = len(self.tokens(bare))
        whole = self.tokens(context + continuation)
        return whole[:n], whole[n:]

    def as_chats(self, questions: Sequence[str]) -> list[str]:
        """See `TextModel`."""
        if not self.tokenizer.chat_template:
            raise EvaluationError("the model's tokenizer has no chat template; ask the benchmark without it")
        try:
            template = self.tokenizer.get_chat_template()
        except ValueError as error:
            raise EvaluationError(f"the tokenizer has several chat templates and no default: {error}") from error
        return list(chats(template, json.dumps(self.tokenizer.special_tokens_map, default=str), tuple(questions)))

    def text(self, tokens: Sequence[int]) -> str:
        """Without special tokens."""
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True))


class AskedInText(ABC):
    """The half of a `TokenModel` that takes text: it makes tokens of it and asks in tokens, whatever the engine."""

    _texts: Texts

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """See `TokenModel`."""
        return self._texts.tokenizer

    @property
    def prefix_token(self) -> int:
        """See `TokenModel`."""
        return self._texts.prefix_token

    def as_chats(self, questions: Sequence[str]) -> list[str]:
        """See `TextModel`."""
        return self._texts.as_chats(questions)

    def complete(
        self,
        prompts: Sequence[str],
        max_new_tokens: int,
        stop: Sequence[str] = (),
        progress: Progress | None = None,
        decided: Decided | None = None,
    ) -> list[Completion]:
        """See `TextModel`. Engines equal each other, and the library's greedy search, up to the order of float additions."""
        return self.complete_tokens(self._texts.tokens_of(prompts), max_new_tokens, stop, progress, decided)

    def likelihoods(self, pairs: Sequence[tuple[str, str]], progress: Progress | None = None) -> list[Likelihood]:
        """See `TextModel`."""
        return self.likelihoods_of_tokens([self._texts.pair(*pair) for pair in pairs], progress)

    @abstractmethod
    def complete_tokens(
        self,
        rows: Sequence[Tokens],
        max_new_tokens: int,
        stop: Sequence[str] = (),
        progress: Progress | None = None,
        decided: Decided | None = None,
    ) -> list[Completion]:
        """See `TokenModel`."""

    @abstractmethod
    def likelihoods_of_tokens(
        self, rows: Sequence[tuple[Tokens, Tokens]], progress: Progress | None = None
    ) -> list[Likelihood]:
        """See `TokenModel`."""


def max_length(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """How many tokens fit into the model."""
    known = positions(model)
    if known is None and tokenizer.model_max_length < VERY_LARGE_INTEGER:
        known = int(tokenizer.model_max_length)
    return DEFAULT_MAX_LENGTH if known is None else known


def positions(model: PreTrainedModel) -> int | None:
    """As the configuration says it; None when it does not."""
    config = getattr(model.config, "text_config", None) or model.config
    return next((int(n) for name in POSITION_NAMES if (n := getattr(config, name, None)) is not None), None)


def end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Any of them ends a completion."""
    named = (getattr(model.generation_config, "eos_token_id", None), model.config.eos_token_id, tokenizer.eos_token_id)
    values = [value if isinstance(value, list) else [value] for value in named]
    return frozenset(token for tokens in values for token in tokens if token is not None)


def first_stop(text: str, stop: Sequence[str]) -> int | None:
    """Where the first of the stop strings begins."""
    return min((at for string in stop if (at := text.find(string)) >= 0), default=None)

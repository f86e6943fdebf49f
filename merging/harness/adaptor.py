"""Our engines as a language model of the harness, token for token as its own `hf` model asks them.

The reference is `HFLM` of lm-eval 0.4.13 with a batch size of 1: in larger batches it takes the first context's word for
whether all contexts of a batch begin with BOS.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import handle_stop_sequences, has_bos_prefix, normalize_gen_kwargs, postprocess_generated_text
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from merging.engines import Completion, Likelihood, Progress, TokenModel
from merging.errors import EvaluationError

MAX_NEW_TOKENS: Final = 256
"""Of a completion whose task does not say, as in `HFLM`."""
HARMLESS: Final = frozenset({"temperature", "top_p", "top_k", "min_p"})
"""Settings of sampling, which do nothing where none happens."""


class EngineLM(TemplateLM):  # type: ignore[misc]  # the harness has no types
    """A `TokenModel` for the harness. Greedy: a request to sample is refused."""

    def __init__(self, model: TokenModel, progress: Progress | None = None) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = model.tokenizer
        self._progress = progress

    @property
    def eot_token_id(self) -> int:
        return int(self.tokenizer.eos_token_id)

    @property
    def prefix_token_id(self) -> int:
        return self.model.prefix_token

    @property
    def max_length(self) -> int:
        return self.model.max_length

    @property
    def tokenizer_name(self) -> str:
        return str(self.tokenizer.name_or_path).replace("/", "__")

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: object) -> list[int]:
        """As `HFLM`: with the tokenizer's own special tokens, but no second BOS before a text that begins with one."""
        if add_special_tokens is None and has_bos_prefix(string, self.tokenizer.decode(self.prefix_token_id)):
            add_special_tokens = False
        special = {} if add_special_tokens is None else {"add_special_tokens": add_special_tokens}
        tokens: list[int] = self.tokenizer.encode(string, **special)
        return tokens

    def weigh(self, requests: Sequence[Instance]) -> list[Likelihood]:
        """How likely each (context, continuation) is."""
        rows = [self._pair(*request.args) for request in requests]
        return self.model.likelihoods_of_tokens(rows, self._progress)

    def loglikelihood(self, requests: Sequence[Instance], disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        return [(found.log_probability, found.greedy) for found in self.weigh(requests)]

    def weigh_whole(self, requests: Sequence[Instance]) -> list[Likelihood]:
        """How likely each text is, in windows of all positions, each token predicted once."""
        windows = [self._windows(request.args[0]) for request in requests]
        found = iter(self.model.likelihoods_of_tokens([row for rows in windows for row in rows], self._progress))
        parts = [[next(found) for _ in rows] for rows in windows]
        return [
            Likelihood(
                sum(part.log_probability for part in of_one),
                sum(part.n_tokens for part in of_one),
                all(part.greedy for part in of_one),
            )
            for of_one in parts
        ]

    def loglikelihood_rolling(self, requests: Sequence[Instance], disable_tqdm: bool = True) -> list[float]:
        return [found.log_probability for found in self.weigh_whole(requests)]

    def complete(self, requests: Sequence[Instance]) -> list[Completion]:
        """Complete each context as its own settings say; those with the same settings together."""
        groups: dict[str, list[int]] = {}
        for i, request in enumerate(requests):
            groups.setdefault(json.dumps(request.args[1], sort_keys=True), []).append(i)
        found: dict[int, Completion] = {}
        for places in groups.values():
            settings = requests[places[0]].args[1]
            completions = self._complete([requests[i].args[0] for i in places], settings, len(found), len(requests))
            found.update(zip(places, completions, strict=True))
        return [found[i] for i in range(len(requests))]

    def generate_until(self, requests: Sequence[Instance], disable_tqdm: bool = True) -> list[str]:
        return [found.text for found in self.complete(requests)]

    def _loglikelihood_tokens(self, requests: Sequence[Any], **kwargs: object) -> list[tuple[float, bool]]:
        rows = [(context, continuation) for _, context, continuation in requests]
        found = self.model.likelihoods_of_tokens(rows, self._progress)
        return [(one.log_probability, one.greedy) for one in found]

    def _pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """As `TemplateLM.loglikelihood`: without a context, the first token stands in for it."""
        if context:
            pair: tuple[list[int], list[int]] = self._encode_pair(context, continuation)
            return pair
        tokens = self.tok_encode(continuation, add_special_tokens=False)
        prefix = self.prefix_token_id
        return (tokens[:1], tokens[1:]) if tokens[:1] == [prefix] else ([prefix], tokens)

    def _windows(self, text: str) -> list[tuple[list[int], list[int]]]:
        tokens = self.tok_encode(text)
        windows = get_rolling_token_windows(
            token_list=tokens, prefix_token=self.prefix_token_id, max_seq_len=self.max_length, context_len=1
        )
        return [make_disjoint_window(window) for window in windows]

    def _complete(self, contexts: list[str], settings: dict[str, Any], n_before: int, total: int) -> list[Completion]:
        wanted = dict(normalize_gen_kwargs(settings, MAX_NEW_TOKENS))
        max_new_tokens = int(wanted.pop("max_gen_toks"))
        eos = self.tokenizer.decode(self.eot_token_id, skip_special_tokens=False)
        stop = [one for one in handle_stop_sequences(wanted.pop("until"), eos) if one]
        _refuse_sampling(wanted)
        n_kept = self.max_length - max_new_tokens
        if n_kept < 1:
            raise EvaluationError(
                f"the task allows {max_new_tokens} new tokens and the model has {self.max_length} positions; expected "
                "room for a prompt"
            )
        rows = [self._context(context)[-n_kept:] for context in contexts]
        progress = self._progress
        told = None if progress is None else lambda done, _: progress(n_before + done, total)
        found = self.model.complete_tokens(rows, max_new_tokens, stop, told)
        return [
            Completion(postprocess_generated_text(one.text, stop, None), one.n_tokens, one.finished) for one in found
        ]

    def _context(self, context: str) -> list[int]:
        """A context to complete: here `HFLM` looks for the BOS token's own text."""
        has_bos = has_bos_prefix(context, getattr(self.tokenizer, "bos_token", None))
        tokens: list[int] = self.tokenizer(context, **({"add_special_tokens": False} if has_bos else {}))["input_ids"]
        return tokens


def _refuse_sampling(settings: dict[str, Any]) -> None:
    if settings.pop("do_sample", False):
        raise EvaluationError("the task samples its completions; expected one that completes greedily")
    if unknown := sorted(set(settings) - HARMLESS):
        raise EvaluationError(
            f"the task sets {', '.join(unknown)}, which engines here cannot; expected until and max_gen_toks"
        )

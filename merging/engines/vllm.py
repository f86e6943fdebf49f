"""vLLM as the second engine: it keeps running while the tensors of one candidate after another are pushed into it.

Imports torch. vLLM itself is an optional installation for machines with a GPU, see `docs/vllm.md`; it is imported when it is
asked to start, and runs in this process: tensors are handed over as they are, and nothing is pickled on the way.

vLLM leaves five things to whoever changes its tensors, and they are done here:

- Keys and values of prompts it has seen outlive the tensors that made them. They are forgotten before every call.
- A tensor is kept by reference until its layer is complete. Whoever pushes must not write to it again.
- A tensor that never comes is one line in its log. Names and shapes are checked here.
- An error among the tensors would leave layers taken apart. It waits until vLLM has put them together again.
- An interrupted call leaves its requests running. They are ended.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, Final, TypeVar

import torch
from transformers import AutoConfig, GenerationConfig, PreTrainedTokenizerBase

from merging.assembly import NamedTensor
from merging.elements import as_tensor
from merging.engines import N_TOKENS_BETWEEN_CHECKS, Completion, Decided, Likelihood, Progress
from merging.engines.transformers.texts import AskedInText, Texts, first_stop
from merging.errors import EvaluationError, TensorError
from merging.indexes import parent_facts

MEMORY_SHARE: Final = 0.5
"""Of the memory that is free when it starts, for its model, keys and values; parents and merging need the rest."""
ENVIRONMENT: Final = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_NO_USAGE_STATS": "1"}
"""In this process; and nothing is reported to its makers."""
MAX_ROWS: Final = 256
"""What it computes at once on most GPUs, more on the largest; only where that did not fit does it get a number, a share of these."""
N_BATCHES_UNDER_WAY: Final = 4
"""More than it ever schedules ahead: so many steps end what an interrupted call has left on the GPU."""

_Answer = TypeVar("_Answer")


def check_usable(device: torch.device) -> None:
    """EvaluationError, with what to do, unless vLLM is installed and the device is the first GPU that is visible."""
    instead = "or leave PROGENY_ENGINE unset for the engine that is always there"
    if importlib.util.find_spec("vllm") is None:
        raise EvaluationError(f"the engine vllm is not installed here. Install it as docs/vllm.md says, {instead}")
    if device.type != "cuda":
        raise EvaluationError(f"the engine vllm needs a GPU, and this device is {device}. Use one, {instead}")
    if device.index not in (None, 0):
        raise EvaluationError(
            f"the engine vllm takes the first GPU that is visible, and this device is {device}. "
            f"Start with CUDA_VISIBLE_DEVICES={device.index} and the device cuda:0, {instead}"
        )


class VllmEngine(AskedInText):
    """A `TokenModel` of the model that a folder's configuration describes, whose tensors come by `load`.

    The first `load` starts vLLM, which takes from half a minute to several; the others push into the running engine.
    `batch_share` is that of `TransformersEngine`.
    """

    targets: Final[Mapping[str, torch.Tensor]] = {}
    """No memory to merge into: vLLM keeps several tensors of a checkpoint in one of its own."""

    def __init__(
        self, folder: Path, dtype: torch.dtype, tokenizer: PreTrainedTokenizerBase, batch_share: float = 1.0
    ) -> None:
        self._folder, self._dtype, self._texts, self._batch_share = folder, dtype, Texts(tokenizer), batch_share
        self._shapes = {name: tuple(entry.shape) for name, entry in parent_facts(folder).tensors.items()}
        self._end_tokens = _end_tokens(folder, tokenizer)
        self._llm: Any = None

    def load(self, tensors: Iterable[NamedTensor]) -> None:
        """Replaces the model's tensors. TensorError unless every one comes exactly once, in its own shape.

        What the iterable raises is raised here. After an error the model is partly filled and must be loaded again.
        """
        if self._llm is None:
            self._llm = _started(self._folder, self._dtype, self._batch_share)
        delivery = _Delivery(tensors, self._shapes)
        try:
            self._llm.collective_rpc("reload_weights", kwargs={"weights_iterator": iter(delivery)})
        except BaseException:
            self.close()  # its layers may be in any state
            raise
        delivery.finish()

    def close(self) -> None:
        """Gives the GPU's memory back; the next `load` starts vLLM again."""
        llm, self._llm = self._llm, None
        if llm is not None:
            llm.llm_engine.engine_core.shutdown()
            del llm
            importlib.import_module("vllm.distributed.parallel_state").cleanup_dist_env_and_memory()

    @property
    def n_parameters(self) -> int:
        """Tied ones once."""
        return sum(prod(shape) for shape in self._shapes.values())

    @property
    def n_positions(self) -> int:
        """What the model has, or less where so much does not fit into the GPU's memory."""
        return int(self._running().model_config.max_model_len)

    @property
    def max_length(self) -> int:
        """Two less than the positions: a log-likelihood is asked with one token more, and vLLM always generates one."""
        return self.n_positions - 2

    def complete_tokens(
        self,
        rows: Sequence[Sequence[int]],
        max_new_tokens: int,
        stop: Sequence[str] = (),
        progress: Progress | None = None,
        decided: Decided | None = None,
    ) -> list[Completion]:
        """See `TokenModel`."""
        self._check_positions(rows, max_new_tokens)

        def is_decided(output: Any) -> bool:
            tokens = output.outputs[0].token_ids
            at_check = len(tokens) > 0 and len(tokens) % N_TOKENS_BETWEEN_CHECKS == 0
            return at_check and decided is not None and decided(self._texts.text(tokens))

        def completion(i: int, output: Any) -> Completion:
            return self._completion(i, output, stop)

        params = self._params(max_new_tokens, decided is not None, stop=list(stop), detokenize=bool(stop))
        return self._answers(rows, params, completion, progress, is_decided if decided else None)

    def likelihoods_of_tokens(
        self, rows: Sequence[tuple[Sequence[int], Sequence[int]]], progress: Progress | None = None
    ) -> list[Likelihood]:
        """See `TokenModel`. Contexts are computed once for each of their continuations: vLLM keeps no logits of a prompt."""
        for i, (context, continuation) in enumerate(rows):
            if not context:
                raise EvaluationError(f"pair {i} has a context without tokens; expected at least one")
            if not 0 < len(continuation) <= self.max_length:
                raise EvaluationError(
                    f"pair {i} has a continuation of {len(continuation)} tokens; expected 1 to {self.max_length}"
                )
        asked = [[*context, *continuation][-(self.max_length + 1) :] for context, continuation in rows]

        def likelihood(i: int, output: Any) -> Likelihood:
            n = len(rows[i][1])
            of_tokens = [at[token] for token, at in zip(asked[i][-n:], list(output.prompt_logprobs)[-n:], strict=True)]
            return Likelihood(sum(at.logprob for at in of_tokens), n, all(at.rank == 1 for at in of_tokens))

        params = self._params(1, False, prompt_logprobs=0, detokenize=False)  # 0: of the prompt's own tokens
        return self._answers(asked, params, likelihood, progress, None)

    def _answers(
        self,
        rows: Sequence[Sequence[int]],
        params: Any,
        answer: Callable[[int, Any], _Answer],
        progress: Progress | None,
        is_decided: Callable[[Any], bool] | None,
    ) -> list[_Answer]:
        """The answer to each row, in order; what is decided is not generated any further."""
        self._forget()
        engine, found = self._running().llm_engine, dict[int, _Answer]()
        waiting = {str(i): i for i in range(len(rows))}
        try:
            for name, i in waiting.items():
                engine.add_request(name, {"prompt_token_ids": list(rows[i])}, params)
            while engine.has_unfinished_requests():
                for output in engine.step():
                    if not output.finished:
                        if is_decided is None or not is_decided(output):
                            continue
                        engine.abort_request([output.request_id])
                    i = waiting.pop(output.request_id)
                    found[i] = answer(i, output)
                if progress:
                    progress(len(found), len(rows))
        finally:
            if waiting:
                engine.abort_request(list(waiting))
        if waiting:
            raise RuntimeError(f"vLLM has left {len(waiting)} of {len(rows)} prompts without an answer")
        return [found[i] for i in range(len(rows))]

    def _forget(self) -> None:
        """Keys and values of earlier calls, which may be another candidate's.

        Also of the same one: what is found in memory is added up in another order, and texts would not repeat to the bit.
        """
        llm = self._running()
        for _ in range(N_BATCHES_UNDER_WAY):
            if llm.reset_prefix_cache():
                return
            llm.llm_engine.step()
        self.close()
        raise RuntimeError("vLLM does not forget the keys and values of earlier prompts; it was ended")

    def _completion(self, i: int, output: Any, stop: Sequence[str]) -> Completion:
        generated = output.outputs[0]
        reason = generated.finish_reason if output.finished else "stop"  # otherwise it was decided
        if reason not in ("stop", "length"):
            raise RuntimeError(f"vLLM ended prompt {i} with {reason!r}; expected 'stop' or 'length'")
        tokens = list(generated.token_ids)
        if tokens and tokens[-1] in self._end_tokens:
            tokens.pop()
        text = self._texts.text(tokens)
        cut = first_stop(text, stop)
        return Completion(text[:cut], len(tokens), finished=reason == "stop" or cut is not None)

    def _params(self, max_new_tokens: int, as_it_grows: bool, **others: Any) -> Any:
        """Greedy; outputs come at every token, or only when they are finished."""
        vllm = importlib.import_module("vllm.sampling_params")
        kind = vllm.RequestOutputKind.CUMULATIVE if as_it_grows else vllm.RequestOutputKind.FINAL_ONLY
        return vllm.SamplingParams(
            temperature=0.0, max_tokens=max_new_tokens, stop_token_ids=self._end_tokens, output_kind=kind, **others
        )

    def _check_positions(self, rows: Sequence[Sequence[int]], max_new_tokens: int) -> None:
        for i, row in enumerate(rows):
            if not row:
                raise EvaluationError(f"prompt {i} has no tokens; expected at least one")
            if len(row) + max_new_tokens > self.n_positions:
                raise EvaluationError(
                    f"prompt {i} has {len(row)} tokens and may be continued by {max_new_tokens}: "
                    f"the model has {self.n_positions} positions here. Shorten the question or allow fewer new tokens"
                )

    def _running(self) -> Any:
        if self._llm is None:
            raise EvaluationError(f"the engine of {self._folder.name} was asked before its tensors were loaded")
        return self._llm


class _Delivery:
    """Tensors on their way into vLLM, once. An error among them ends the delivery and is raised by `finish`."""

    def __init__(self, tensors: Iterable[NamedTensor], shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._tensors, self._shapes = tensors, shapes
        self._delivered: set[str] = set()
        self._error: Exception | None = None

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
        try:
            for name, tensor in self._tensors:
                self._check(name, tuple(tensor.shape))
                yield name, as_tensor(tensor)
        except Exception as error:  # whatever it is, `finish` raises it once vLLM has put its layers together
            self._error = error

    def finish(self) -> None:
        if self._error is not None:
            raise self._error
        if missing := sorted(set(self._shapes) - self._delivered):
            raise TensorError(f"the model was left without {len(missing)} of its tensors, such as {missing[0]}")

    def _check(self, name: str, shape: tuple[int, ...]) -> None:
        if name not in self._shapes:
            raise TensorError(f"{name} is not a tensor of this model")
        if name in self._delivered:
            raise TensorError(f"{name} was written twice")
        if shape != self._shapes[name]:
            raise TensorError(f"{name} is {list(shape)}; the model has {list(self._shapes[name])}")
        self._delivered.add(name)


def _started(folder: Path, dtype: torch.dtype, batch_share: float) -> Any:
    """A running vLLM without numbers: of the folder only the configuration and the tokenizer are read, and no code."""
    os.environ.update(ENVIRONMENT)
    fewer = {"max_num_seqs": max(1, int(MAX_ROWS * batch_share))} if batch_share < 1 else {}
    return importlib.import_module("vllm").LLM(
        model=str(folder),
        dtype=str(dtype).removeprefix("torch."),
        load_format="dummy",
        trust_remote_code=False,
        generation_config="vllm",
        max_model_len=-1,  # the model's, or what fits into the memory
        gpu_memory_utilization=share_of_memory(),
        enable_prefix_caching=True,
        **fewer,
    )


def share_of_memory() -> float:
    """Of all memory of the GPU, what vLLM may take."""
    free, total = torch.cuda.mem_get_info()
    return MEMORY_SHARE * free / total


def _end_tokens(folder: Path, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """All that any file of the folder names, as the reference engine does it; vLLM alone would leave some out."""
    named = [AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False).eos_token_id]
    if (folder / "generation_config.json").is_file():
        named.append(GenerationConfig.from_pretrained(folder, local_files_only=True).eos_token_id)
    named.append(tokenizer.eos_token_id)
    tokens = {token for value in named for token in (value if isinstance(value, list) else [value])}
    return sorted(tokens - {None})

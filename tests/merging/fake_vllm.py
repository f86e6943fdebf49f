"""A stand-in for the package vllm that keeps to what a version publishes, see `vllm_interface.py`.

Every call must fit the published signature, and objects have the published attributes and no others. It computes with a
real model, one token a step, and has the traps of the original: it remembers what it has seen until it is told to forget,
keeps pushed tensors by reference until all have come, and is broken when an error passes through a push.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from transformers import AutoTokenizer

from merging.shells import ModelShell
from tests.merging.vllm_interface import interface, signature

MODULES = ("vllm", "vllm.sampling_params", "vllm.distributed", "vllm.distributed.parallel_state")


class FakeVllm:
    """The package. `log` has the names of what was called, in order; `started` the arguments that vLLM was started with.

    `forgets`: whether it ever does as it is told. `breaks`: the next push fails on its side.
    """

    def __init__(self, version: str) -> None:
        self.published = interface(version)
        self.log: list[str] = []
        self.started: list[dict[str, Any]] = []
        self.forgets, self.breaks = True, False

    def modules(self) -> dict[str, ModuleType]:
        """For `sys.modules`."""
        found = {name: ModuleType(name) for name in MODULES}
        found["vllm"].LLM = self._llm  # type: ignore[attr-defined]
        found["vllm.sampling_params"].SamplingParams = self._params  # type: ignore[attr-defined]
        kinds = {kind: kind for kind in self.published["words"]["output kinds"]}
        found["vllm.sampling_params"].RequestOutputKind = SimpleNamespace(**kinds)  # type: ignore[attr-defined]
        found["vllm.distributed.parallel_state"].cleanup_dist_env_and_memory = self._cleanup  # type: ignore[attr-defined]
        return found

    def bind(self, name: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """What a published function gets; TypeError, as it would raise one, when a call does not fit."""
        bound = signature(self.published, name).bind(*args, **kwargs)
        bound.apply_defaults()
        return dict(bound.arguments)

    def made(self, name: str, **values: Any) -> SimpleNamespace:
        """An object with the published attributes."""
        return SimpleNamespace(**self.bind(name, **values))

    def _params(self, *args: Any, **kwargs: Any) -> SimpleNamespace:
        params = SimpleNamespace(**self.bind("SamplingParams", *args, **kwargs))
        assert not (params.stop and not params.detokenize), "stop strings need text"
        return params

    def _llm(self, *args: Any, **kwargs: Any) -> FakeLLM:
        given = self.bind("LLM", *args, **kwargs)
        self.bind("EngineArgs", model=given["model"], **given["kwargs"])
        assert given["kwargs"]["load_format"] in self.published["words"]["load formats"]
        self.log.append("start")
        self.started.append({**given, **given["kwargs"]})
        return FakeLLM(self, Path(given["model"]))

    def _cleanup(self, *args: Any, **kwargs: Any) -> None:
        self.bind("cleanup_dist_env_and_memory", *args, **kwargs)
        self.log.append("cleanup")


class FakeLLM:
    """vllm.LLM and what is behind it, for one GPU and in one process."""

    def __init__(self, vllm: FakeVllm, folder: Path) -> None:
        assert {"llm_engine", "model_config"} <= set(vllm.published["attributes"]["LLM"])
        self._vllm, self._shell = vllm, ModelShell(folder, torch.device("cpu"), torch.float32)
        self._whole = True
        limit = self._shell.model.config.max_position_embeddings
        self.model_config = SimpleNamespace(max_model_len=limit)
        self.llm_engine = FakeEngine(vllm, self._shell, AutoTokenizer.from_pretrained(folder), limit)

    def collective_rpc(self, *args: Any, **kwargs: Any) -> list[None]:
        asked = self._vllm.bind("LLM.collective_rpc", *args, **kwargs)
        assert asked["method"] == "reload_weights"
        of_worker = self._vllm.bind("Worker.reload_weights", *(asked["args"] or ()), **(asked["kwargs"] or {}))
        self._reload(**self._vllm.bind("GPUModelRunner.reload_weights", *of_worker["args"], **of_worker["kwargs"]))
        return [None]

    def reset_prefix_cache(self, *args: Any, **kwargs: Any) -> bool:
        self._vllm.bind("LLM.reset_prefix_cache", *args, **kwargs)
        self._vllm.log.append("reset_prefix_cache")
        return self.llm_engine.forget() and self._vllm.forgets

    def _reload(self, weights_iterator: Iterable[tuple[str, torch.Tensor]], **others: Any) -> None:
        assert self._whole, "an error has passed through the push before: layers are taken apart"
        self._vllm.log.append("reload_weights")
        self._whole = False
        came = list(weights_iterator)
        if self._vllm.breaks:
            raise RuntimeError("broken on the side of vLLM")
        for name, tensor in came:
            self._shell.targets[name].copy_(tensor)
        self._whole = True


class FakeEngine:
    """vllm.LLMEngine. Blocks of an aborted request are free after one step more."""

    def __init__(self, vllm: FakeVllm, shell: ModelShell, tokenizer: Any, limit: int) -> None:
        assert "engine_core" in vllm.published["attributes"]["LLMEngine"]
        self._vllm, self._model, self._tokenizer, self._limit = vllm, shell.model, tokenizer, limit
        self._requests: dict[str, SimpleNamespace] = {}
        self._remembered: dict[tuple[int, ...], torch.Tensor] = {}
        self._n_held = 0
        self.engine_core = SimpleNamespace(shutdown=self._shutdown)

    def add_request(self, *args: Any, **kwargs: Any) -> str:
        given = self._vllm.bind("LLMEngine.add_request", *args, **kwargs)
        prompt = self._vllm.bind("TokensPrompt", **given["prompt"])["prompt_token_ids"]
        assert isinstance(given["request_id"], str) and 0 < len(prompt) < self._limit
        assert given["request_id"] not in self._requests
        self._vllm.log.append("add_request")
        self._requests[given["request_id"]] = SimpleNamespace(prompt=prompt, params=given["params"], generated=[])
        return f"{given['request_id']}-5af81c02"  # its own name; outputs have the caller's

    def has_unfinished_requests(self, *args: Any, **kwargs: Any) -> bool:
        self._vllm.bind("LLMEngine.has_unfinished_requests", *args, **kwargs)
        return bool(self._requests)

    def abort_request(self, *args: Any, **kwargs: Any) -> None:
        for name in self._vllm.bind("LLMEngine.abort_request", *args, **kwargs)["request_ids"]:
            self._vllm.log.append("abort_request")
            if self._requests.pop(name, None):
                self._n_held = 1

    def step(self, *args: Any, **kwargs: Any) -> list[SimpleNamespace]:
        """The last request first, because outputs come in any order."""
        self._vllm.bind("LLMEngine.step", *args, **kwargs)
        self._n_held = 0
        outputs = [self._next(name, request) for name, request in reversed(self._requests.items())]
        for output in outputs:
            if output.finished:
                del self._requests[output.request_id]
        final_only = {name for name, r in self._requests.items() if r.params.output_kind == "FINAL_ONLY"}
        return [output for output in outputs if output.request_id not in final_only]

    def forget(self) -> bool:
        if self._requests or self._n_held:
            return False
        self._remembered.clear()
        return True

    def _next(self, name: str, request: SimpleNamespace) -> SimpleNamespace:
        params, row = request.params, [*request.prompt, *request.generated]
        assert params.temperature == 0.0
        logits = self._logits(row)
        request.generated.append(int(logits[-1].argmax()))
        reason = self._reason(request)
        of_prompt = None if params.prompt_logprobs is None else self._of_prompt(request.prompt, logits)
        text = self._tokenizer.decode(request.generated) if params.detokenize else ""
        completion = self._vllm.made(
            "CompletionOutput",
            index=0,
            text=text,
            token_ids=tuple(request.generated),
            cumulative_logprob=None,
            logprobs=None,
            finish_reason=reason,
        )
        output = self._vllm.made(
            "RequestOutput",
            request_id=name,
            prompt=None,
            prompt_token_ids=request.prompt,
            prompt_logprobs=of_prompt,
            outputs=[completion],
            finished=reason is not None,
        )
        return output

    def _reason(self, request: SimpleNamespace) -> str | None:
        text = self._tokenizer.decode(request.generated, skip_special_tokens=True)
        if request.generated[-1] in request.params.stop_token_ids:
            return "stop"
        if any(string in text for string in request.params.stop or ()):
            return "stop"
        return "length" if len(request.generated) == request.params.max_tokens else None

    def _logits(self, row: Sequence[int]) -> torch.Tensor:  # [tokens, vocabulary]
        if tuple(row) not in self._remembered:
            with torch.inference_mode():
                self._remembered[tuple(row)] = self._model(torch.tensor([row])).logits[0]
        return self._remembered[tuple(row)]

    def _of_prompt(self, prompt: Sequence[int], logits: torch.Tensor) -> list[dict[int, SimpleNamespace] | None]:
        likely = torch.log_softmax(logits.float(), dim=-1)
        found: list[dict[int, SimpleNamespace] | None] = [None]
        for before, token in enumerate(prompt[1:]):
            value = likely[before, token]
            rank = int((likely[before] > value).sum()) + 1
            found.append({token: self._vllm.made("Logprob", logprob=float(value), rank=rank)})
        return found

    def _shutdown(self, *args: Any, **kwargs: Any) -> None:
        self._vllm.bind("InprocClient.shutdown", *args, **kwargs)
        self._vllm.log.append("shutdown")

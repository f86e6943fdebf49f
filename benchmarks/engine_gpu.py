"""Completions a second on a GPU: this engine with graphs and without, the library's `generate`, and vLLM where it is installed.

    python -m benchmarks.engine_gpu [--layers-of 7b] [--prompts N] [--new-tokens N] [--turns N] [--dtype DTYPE] [--device cuda:0]

A model shaped like Llama with random tensors, prompts of 8 to 192 random tokens, and one token in 100 that ends a completion, so
that lengths are mixed. "First" is a pass from nothing: kernels are chosen and graphs recorded. "Anew" is a pass after the model got
other layers, as every path has them: graphs are recorded again. All others reuse them, as for candidates whose tensors are written
in place; the fastest of the turns is told. `generate` is called with prompts padded on the left and sorted by length, in every batch
size of a few; the fastest is told. Texts are compared with those of this engine without graphs: in 16 bits two likeliest tokens are
often equal, and then the order of additions decides.

Needs torch, transformers and safetensors, and nothing of the web application. With `--layers-of tiny --device cpu` the program
itself can be tried without a card; steps are then called instead of replayed.
"""

from __future__ import annotations

import random
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import torch
import transformers
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from benchmarks.synthetic import described, word_tokenizer
from merging.engines import Completion
from merging.engines.transformers import TransformersEngine
from merging.engines.transformers.graphs import Recorder, graphs_on, no_graphs

SHAPES: Final[dict[str, dict[str, int]]] = {
    "tiny": {
        "hidden_size": 64,
        "intermediate_size": 176,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
    "1.1b": {
        "hidden_size": 2048,
        "intermediate_size": 5632,
        "num_hidden_layers": 22,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
    },
    "7b": {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    },
}
VOCABULARY: Final = 32_000
ENDS: Final = list(range(2, VOCABULARY, 100))
BATCHES: Final = (32, 128, 512)

Rows = list[list[int]]


@dataclass(frozen=True)
class Task:
    """Prompts for the model in a folder; `model` is that model on its device."""

    folder: Path
    model: Any
    tokenizer: PreTrainedTokenizerFast
    rows: Rows
    max_new_tokens: int
    turns: int

    def seconds(self, work: Callable[[], object]) -> float:
        """Until the device has done it."""
        self._wait()
        started = time.perf_counter()
        work()
        self._wait()
        return time.perf_counter() - started

    def _wait(self) -> None:
        if self.model.device.type == "cuda":
            torch.cuda.synchronize(self.model.device)


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    given = _parser().parse_args(arguments)
    with TemporaryDirectory() as folder:
        task = _made(Path(folder), given)
        n = task.model.num_parameters() / 1e9
        print(f"{described(task.model.device)}; torch {torch.__version__}, transformers {transformers.__version__}\n")
        print(
            f"Llama {given.layers_of}, {n:.2f} B, {given.dtype}; {len(task.rows)} prompts, {given.new_tokens} new tokens at most\n"
        )
        print(
            "| way | first s | anew s | completions/s | tokens/s | texts as without graphs |\n|---|---:|---:|---:|---:|---:|"
        )
        plain = _measure_ours(task, "this engine, kernel by kernel", no_graphs, [])
        _measure_ours(task, "this engine, with graphs", _graphs_or_calls, plain)
        _measure_generate(task, plain)
        if find_spec("vllm") and task.model.device.type == "cuda":
            _measure_vllm(task, plain)


def _made(folder: Path, given: Any) -> Task:
    torch.manual_seed(0)
    config = LlamaConfig(
        **SHAPES[given.layers_of],
        vocab_size=VOCABULARY,
        max_position_embeddings=2048,
        initializer_range=0.05,
        bos_token_id=1,
        eos_token_id=2,
    )
    with torch.device(given.device):
        model: Any = LlamaForCausalLM(config)
    model = model.to(getattr(torch, given.dtype)).eval()
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = ENDS, 0
    tokenizer = word_tokenizer(VOCABULARY, padding_side="left")
    model.save_pretrained(folder, max_shard_size="1TB")
    tokenizer.save_pretrained(folder)
    draw = random.Random(0)
    rows = [[draw.randrange(4, VOCABULARY) for _ in range(draw.randint(8, 192))] for _ in range(given.prompts)]
    return Task(folder, model, tokenizer, rows, given.new_tokens, given.turns)


def _graphs_or_calls(device: torch.device) -> Any:
    return graphs_on(device) or (lambda step: step)


def _measure_ours(task: Task, name: str, recorder: Recorder, expected: list[Completion]) -> list[Completion]:
    engine = TransformersEngine(task.model, task.tokenizer, recorder=recorder)
    found: list[Completion] = []

    def ask() -> None:
        found[:] = engine.complete_tokens(task.rows, task.max_new_tokens)

    first = task.seconds(ask)
    seconds = min(task.seconds(ask) for _ in range(task.turns))
    engine.layers_changed(task.model.num_parameters())
    anew = task.seconds(ask)
    _print_row(task, name, (first, anew, seconds), [c.n_tokens for c in found], _same(found, expected or found))
    return found


def _measure_generate(task: Task, expected: list[Completion]) -> None:
    timed = []
    for size in BATCHES:
        found = _generate(task, size)
        timed.append(
            (min(task.seconds(lambda size=size: _generate(task, size)) for _ in range(task.turns)), size, found)
        )  # type: ignore[misc]
    seconds, size, found = min(timed, key=lambda one: one[0])
    texts = [str(task.tokenizer.decode(row, skip_special_tokens=True)) for row in found]
    same = sum(text == one.text for text, one in zip(texts, expected, strict=True))
    _print_row(task, f"generate, {size} at once", (None, None, seconds), [len(row) for row in found], same)


@torch.inference_mode()
def _generate(task: Task, size: int) -> Rows:
    order = sorted(range(len(task.rows)), key=lambda i: len(task.rows[i]))
    found: dict[int, list[int]] = {}
    for start in range(0, len(order), size):
        some = order[start : start + size]
        inputs = task.tokenizer.pad({"input_ids": [task.rows[i] for i in some]}, return_tensors="pt").to(
            task.model.device
        )
        output = task.model.generate(
            input_ids=inputs.input_ids,
            attention_mask=inputs.attention_mask,
            max_new_tokens=task.max_new_tokens,
            do_sample=False,
        )
        found.update(zip(some, map(_cut, output[:, inputs.input_ids.shape[1] :].tolist()), strict=True))
    return [found[i] for i in range(len(order))]


def _cut(row: list[int]) -> list[int]:
    ends = set(ENDS)
    return row[: next((i for i, token in enumerate(row) if token in ends), len(row))]


def _measure_vllm(task: Task, expected: list[Completion]) -> None:
    """In the same process, with half of the memory that is free."""
    from merging.engines.vllm import VllmEngine

    engine = VllmEngine(task.folder, task.model.dtype, task.tokenizer)
    found: list[Completion] = []

    def ask() -> None:
        found[:] = engine.complete_tokens(task.rows, task.max_new_tokens)

    def start() -> None:
        engine.load(load_file(task.folder / "model.safetensors").items())
        ask()

    first = task.seconds(start)
    seconds = min(task.seconds(ask) for _ in range(task.turns))
    _print_row(task, "vLLM", (first, None, seconds), [c.n_tokens for c in found], _same(found, expected))
    engine.close()


def _same(found: list[Completion], expected: list[Completion]) -> int:
    return sum(a.text == b.text for a, b in zip(found, expected, strict=True))


def _print_row(
    task: Task, name: str, times: tuple[float | None, float | None, float], n_tokens: list[int], same: int
) -> None:
    first, anew, seconds = times
    told = " | ".join("" if one is None else f"{one:.2f}" for one in (first, anew))
    n = len(task.rows)
    print(f"| {name} | {told} | {n / seconds:.1f} | {sum(n_tokens) / seconds:.0f} | {same} of {n} |", flush=True)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        description="Completions a second of this engine with graphs and without, of `generate`, and of vLLM."
    )
    parser.add_argument("--layers-of", choices=list(SHAPES), default="1.1b")
    parser.add_argument("--prompts", type=int, default=512)
    parser.add_argument("--new-tokens", type=int, default=128)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--dtype", choices=("bfloat16", "float16", "float32"), default="bfloat16")
    parser.add_argument("--device", default="cuda")
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])

"""Seconds of a whole merge from a terminal, this program's and mergekit's beside each other.

    .venv/bin/python -m benchmarks.merge_speed FOLDER [--mergekit PYTHON] [--sizes 125m 1.1b] [--methods NAME ...]

FOLDER takes synthetic parents in bfloat16 (a base and three variants of it, base + N(0, 1e-3), shaped like Llama), which
are used again when they are there. PYTHON is the interpreter of an environment with mergekit; without it only this program
is measured. Both merge the same file with the same cores, in turns, and the fastest turn counts (what takes more than a
minute has one): other work on the machine only adds, and so does the first use of a program that has to be compiled yet.
Prints a Markdown table: wall seconds from start to exit, the peak of memory of its own (RssAnon, sampled), their seconds
over ours, and the share of the limit: the time that the bytes would need, read from the page cache and written to the disk
as fast as this machine does it in the same run.
"""

from __future__ import annotations

import json
import mmap
import os
import platform
import shutil
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
import yaml
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from merging.shards import TensorShape
from merging.tensors import TensorWriter

ROOT: Final = Path(__file__).resolve().parents[1]
VOCABULARY: Final = 32000
SIZES: Final = {
    "125m": {"hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 12, "num_key_value_heads": 12},
    "1.1b": {"hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22, "num_attention_heads": 32, "num_key_value_heads": 4},
}  # fmt: skip
WEIGHTS: Final = (0.3, 0.3, 0.4)
DENSE: Final = ("ties", "dare_linear", "dare_ties", "breadcrumbs", "breadcrumbs_ties", "della", "della_linear")
NEEDS_BASE: Final = ("task_arithmetic", "model_stock", "sce", *DENSE)
LONG: Final = 60.0
"""Seconds after which a program is not run again: what else the machine does is then a small share."""
DEFAULT: Final = ("passthrough", "linear", "slerp", "task_arithmetic", "ties", "dare_ties", "breadcrumbs", "della")


@dataclass(frozen=True)
class Run:
    """One command from start to exit; `anonymous` is bytes."""

    seconds: float
    anonymous: int


@dataclass(frozen=True)
class Limits:
    """Bytes in a second: read from mapped files in the page cache, and written to the disk."""

    read: float
    write: float


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    given = _parser().parse_args(arguments)
    print(this_machine(given.mergekit), flush=True)
    if given.mergekit is None:
        print("\nmergekit is not measured: no --mergekit PYTHON was given.")
    for size in given.sizes:
        parents = make_parents(given.folder / size, size)
        limits = measure_limits(given.folder, parents[0] / "model.safetensors")
        print(
            f"\n{size}, fastest of {given.repeats}; pages read at {limits.read / 1e9:.1f} GB/s, written at {limits.write / 1e9:.2f} GB/s\n"
        )
        print("| method | ours s | theirs s | theirs / ours | of the limit | our memory MB | their memory MB |")
        print("|---|---:|---:|---:|---:|---:|---:|")
        for method in given.methods:
            print(_row(method, parents, given.folder, limits, given.mergekit, given.repeats), flush=True)


def make_parents(folder: Path, size: str) -> list[Path]:
    """Base and three variants, made unless they are there."""
    folders = [folder / name for name in ("base", "ft1", "ft2", "ft3")]
    shapes = dict(_shapes(size))
    for number, one in enumerate(folders):
        if (one / "tokenizer_config.json").exists():
            continue
        shutil.rmtree(one, ignore_errors=True)
        one.mkdir(parents=True)
        same, own = torch.Generator().manual_seed(0), torch.Generator().manual_seed(number)
        tensors = {}
        for name, shape in shapes.items():
            tensor = torch.randn(shape, generator=same).mul_(0.02).bfloat16()
            if number:
                tensor = (torch.randn(shape, generator=own).mul_(1e-3) + tensor).bfloat16()
            tensors[name] = tensor
        save_file(tensors, one / "model.safetensors", metadata={"format": "pt"})
        _write_rest(one, size)
    return folders


def measure_limits(folder: Path, file: Path) -> Limits:
    """The best of three: every page of a cached file looked at once, and 1 GB written past the cache."""
    reads = []
    for _ in range(3):
        with file.open("rb") as opened:
            pages = np.frombuffer(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ), np.uint64)
        started = time.perf_counter()
        pages.sum()
        reads.append(pages.nbytes / (time.perf_counter() - started))
    return Limits(max(reads), max(_written(folder / "limit") for _ in range(3)))


def _written(folder: Path) -> float:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    block = torch.ones(64 * 1024 * 1024, dtype=torch.bfloat16)
    planned = [TensorShape(f"t{i}", "bfloat16", tuple(block.shape)) for i in range(8)]
    started = time.perf_counter()
    with TensorWriter(folder, planned) as writer:
        for tensor in planned:
            writer.add(tensor.name, block)
        writer.finish()
    seconds = time.perf_counter() - started
    shutil.rmtree(folder)
    return sum(tensor.n_bytes for tensor in planned) / seconds


def _row(method: str, parents: Sequence[Path], folder: Path, limits: Limits, mergekit: str | None, repeats: int) -> str:
    content = _config(method, parents)
    file = folder / f"{method}.yml"
    file.write_text(yaml.safe_dump(content))
    commands = {"ours": [sys.executable, str(ROOT / "manage.py"), "merge", str(file)]}
    if mergekit is not None:
        commands["theirs"] = [str(Path(mergekit).with_name("mergekit-yaml")), str(file)]
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    for _ in range(repeats):
        for name, command in commands.items():
            if not runs[name] or _fastest(runs[name]).seconds < LONG:
                runs[name].append(_run([*command, str(folder / "out")], folder / "out"))
    ours, theirs = _fastest(runs["ours"]), _fastest(runs["theirs"]) if mergekit is not None else None
    n_bytes = (parents[0] / "model.safetensors").stat().st_size
    limit = n_bytes * len(_models(method, parents)) / limits.read + n_bytes / limits.write
    return (
        f"| {method} | {ours.seconds:.2f} | {f'{theirs.seconds:.1f}' if theirs else '-'} "
        f"| {f'{theirs.seconds / ours.seconds:.1f}' if theirs else '-'} | {limit / ours.seconds:.0%} "
        f"| {ours.anonymous / 1e6:.0f} | {f'{theirs.anonymous / 1e6:.0f}' if theirs else '-'} |"
    )


def _run(command: Sequence[str], out: Path) -> Run:
    """One merge into a new folder, which is removed. RuntimeError with what the command said when it fails."""
    shutil.rmtree(out, ignore_errors=True)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    peak, said = 0, out.with_name("said.txt")
    with said.open("w") as output:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT, env=environment)
        while process.poll() is None:
            peak = max(peak, _anonymous(process.pid))
            time.sleep(0.01)
        seconds = time.perf_counter() - started
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{said.read_text()[-2000:]}")
    shutil.rmtree(out)
    return Run(seconds, peak)


def _anonymous(process: int) -> int:
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:  # it has just ended
        return 0
    return sum(1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon"))


def _fastest(runs: Sequence[Run]) -> Run:
    return Run(min(run.seconds for run in runs), max(run.anonymous for run in runs))


def _models(method: str, parents: Sequence[Path]) -> list[Path]:
    """What a method reads: all, the variants, two of them, or one."""
    base, *variants = parents
    if method == "passthrough":
        return variants[:1]
    if method == "slerp":
        return [base, variants[0]]
    return [base, *variants] if method in NEEDS_BASE else variants


def _config(method: str, parents: Sequence[Path]) -> dict[str, object]:
    """A file that both programs read."""
    models = _models(method, parents)
    content: dict[str, object] = {"merge_method": method, "dtype": "bfloat16"}
    if method in NEEDS_BASE or method == "slerp":
        content["base_model"] = str(models[0])
    if method == "slerp":
        return content | {"models": [{"model": str(one)} for one in models], "parameters": {"t": 0.4}}
    if method == "passthrough":
        return content | {"models": [{"model": str(models[0])}]}
    density = {"density": 0.5} if method in DENSE else {}
    return content | {
        "models": [
            {"model": str(one), "parameters": {"weight": weight, **density}}
            for one, weight in zip(parents[1:], WEIGHTS, strict=True)
        ]
    }


def _shapes(size: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    c = SIZES[size]
    width, inner = c["hidden_size"], c["intermediate_size"]
    small = width * c["num_key_value_heads"] // c["num_attention_heads"]
    yield "model.embed_tokens.weight", (VOCABULARY, width)
    for layer in range(c["num_hidden_layers"]):
        for name, shape in (
            ("self_attn.q_proj", (width, width)),
            ("self_attn.k_proj", (small, width)),
            ("self_attn.v_proj", (small, width)),
            ("self_attn.o_proj", (width, width)),
            ("mlp.gate_proj", (inner, width)),
            ("mlp.up_proj", (inner, width)),
            ("mlp.down_proj", (width, inner)),
            ("input_layernorm", (width,)),
            ("post_attention_layernorm", (width,)),
        ):
            yield f"model.layers.{layer}.{name}.weight", shape
    yield "model.norm.weight", (width,)
    yield "lm_head.weight", (VOCABULARY, width)


def _write_rest(folder: Path, size: str) -> None:
    """Configuration and a tokenizer of made-up words; its settings last, as the sign that all is there."""
    rest = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "vocab_size": VOCABULARY,
        "hidden_act": "silu",
    }
    more = {"rms_norm_eps": 1e-6, "tie_word_embeddings": False, "max_position_embeddings": 2048, "dtype": "bfloat16"}
    (folder / "config.json").write_text(
        json.dumps({**rest, **SIZES[size], **more, "bos_token_id": 1, "eos_token_id": 2})
    )
    words = WordLevel({f"t{i}": i for i in range(VOCABULARY)}, unk_token="t0")
    Tokenizer(words).save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "t0"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def this_machine(mergekit: str | None) -> str:
    info = Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    versions = [f"Python {platform.python_version()}", f"torch {torch.__version__}", f"kernel {platform.release()}"]
    if mergekit is not None:
        asked = "from importlib.metadata import version as v; print('mergekit', v('mergekit'), 'on torch', v('torch'))"
        versions.append(subprocess.check_output([mergekit, "-c", asked], text=True).strip())
    return f"{names[0] if names else platform.machine()}, {len(os.sched_getaffinity(0))} cores; {', '.join(versions)}"


def _parser() -> ArgumentParser:
    parser = ArgumentParser(description="Seconds of a whole merge, this program's and mergekit's.")
    parser.add_argument("folder", type=Path, help="for parents and results; 1.1b needs 11 GB")
    parser.add_argument("--mergekit", help="the Python of an environment with mergekit")
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--methods", nargs="+", default=list(DEFAULT))
    parser.add_argument("--repeats", type=int, default=3)
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])

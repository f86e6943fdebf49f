"""Milliseconds to merge a candidate straight into a loaded model on a GPU, and what its memory could do at best.

    python -m benchmarks.in_place_gpu [--layers-of 7b] [--layers N] [--methods NAME ...] [--candidates N] [--device cuda:0]

Base, three parents and the target lie on the GPU in bfloat16, shaped like Llama, with random numbers made there: a base of
N(0, 0.02) and variants of it, base + N(0, 1e-3). 7b needs 68 GB; `--layers` takes the first N layers. Every candidate has
weights and densities of its own. The first one also compiles, and counts magnitudes where the method has thresholds; it is
told apart. Time ends when the GPU is done and the check for numbers that are not finite has been looked at. Bytes are those
of all models that the method reads, once, and of the target, written once; they are held against those of a copy within the
GPU's memory, in the same run. A sample of tensors of the last candidate is compared with the plain arithmetic on the CPU,
to the bit. With `--layers-of tiny --device cpu` the program itself can be tried without a card.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import torch
from torch import Tensor

from benchmarks.synthetic import described
from merging.assembly import Place, assemble
from merging.draws import Draws
from merging.kernels.spectra import Spectra
from merging.methods import methods
from merging.plans import TensorJob, TensorOf
from merging.recipes import WHOLE_MODEL, Parent, Recipe

METHODS: Final = ("linear", "task_arithmetic", "ties", "dare_linear", "dare_ties", "breadcrumbs")
MODELS: Final = tuple(Parent(name, f"/{name}", name) for name in ("base", "one", "two", "three"))
SAMPLE: Final = 6


@dataclass(frozen=True)
class Shape:
    """Of a model like Llama."""

    n_layers: int
    width: int
    inner: int
    small: int
    vocabulary: int

    def tensors(self, n_layers: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Every tensor of the first layers, by name."""
        width, inner, small = self.width, self.inner, self.small
        yield "embed_tokens", (self.vocabulary, width)
        for layer in range(n_layers):
            for name, shape in (
                ("q_proj", (width, width)),
                ("k_proj", (small, width)),
                ("v_proj", (small, width)),
                ("o_proj", (width, width)),
                ("gate_proj", (inner, width)),
                ("up_proj", (inner, width)),
                ("down_proj", (width, inner)),
                ("input_layernorm", (width,)),
                ("post_attention_layernorm", (width,)),
            ):
                yield f"layers.{layer}.{name}", shape
        yield "norm", (width,)
        yield "lm_head", (self.vocabulary, width)


SHAPES: Final = {
    "tiny": Shape(2, 64, 176, 32, 512),
    "1.1b": Shape(22, 2048, 5632, 256, 32000),
    "7b": Shape(32, 4096, 11008, 4096, 32000),
}


@dataclass(frozen=True)
class Bench:
    """A `TensorSource` of parents on a device, the memory of a model beside them, and what is known of the parents."""

    device: torch.device
    models: Mapping[Parent, Mapping[str, Tensor]]
    targets: Mapping[str, Tensor]
    spectra: Spectra = field(default_factory=Spectra)

    def tensor(self, parent: Parent, name: str) -> Tensor:
        return self.models[parent][name]

    def seconds_of(self, recipe: Recipe) -> float:
        jobs, place = self._jobs(recipe), Place(self.targets, self.spectra)
        self.wait()
        started = time.perf_counter()
        n_in_place = sum(merged is self.targets[name] for name, merged in assemble(recipe, jobs, self, place))
        self.wait()
        seconds = time.perf_counter() - started
        if n_in_place < len(jobs):
            raise RuntimeError(f"{len(jobs) - n_in_place} tensors of {recipe.method} were not merged in place")
        return seconds

    def n_bytes(self, recipe: Recipe) -> int:
        """Read and written by a candidate."""
        return (len(recipe.models) + 1) * sum(target.nbytes for target in self.targets.values())

    def check(self, recipe: Recipe) -> None:
        """RuntimeError when a tensor of a sample is not that of the plain arithmetic on a CPU."""
        merge = methods.get(recipe.method).merge
        for name in random.Random(0).sample(sorted(self.targets), SAMPLE):
            base = None if recipe.base is None else self.tensor(recipe.base, name).cpu().float()
            parents = [self.tensor(parent, name).cpu().float() for parent in recipe.parents]
            expected = merge(base, parents, recipe.values[0], recipe.settings, Draws(recipe.seed, name)).bfloat16()
            if not torch.equal(self.targets[name].cpu().view(torch.int16), expected.view(torch.int16)):
                raise RuntimeError(f"{name} of {recipe.method} differs from the plain arithmetic")

    def _jobs(self, recipe: Recipe) -> list[TensorJob]:
        return [
            TensorJob(
                name,
                0,
                tuple(TensorOf(parent, name) for parent in recipe.parents),
                None if recipe.base is None else TensorOf(recipe.base, name),
            )
            for name in self.targets
        ]

    def wait(self) -> None:
        """Until the device has done all it was told."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    given = _parser().parse_args(arguments)
    device, shape = torch.device(given.device), SHAPES[given.layers_of]
    bench = _made(shape, shape.n_layers if given.layers is None else given.layers, device)
    copy = max(_copy_bandwidth(bench) for _ in range(5))
    n_elements = sum(target.numel() for target in bench.targets.values())
    print(f"{described(device)}; torch {torch.__version__}{_triton()}")
    print(
        f"\nLlama {given.layers_of}: {len(bench.targets)} tensors, {n_elements / 1e9:.2f} B elements; a copy moves {copy / 1e9:.0f} GB/s\n"
    )
    print("| method | first s | candidate ms, fastest | median | GB | GB/s | of the copy |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for method in given.methods:
        recipes = [_recipe(method, seed) for seed in range(given.candidates + 1)]
        first, *others = [bench.seconds_of(recipe) for recipe in recipes]
        bench.check(recipes[-1])
        moved = bench.n_bytes(recipes[0])
        rate = moved / min(others)
        print(
            f"| {method} | {first:.2f} | {1e3 * min(others):.1f} | {1e3 * statistics.median(others):.1f} "
            f"| {moved / 1e9:.1f} | {rate / 1e9:.0f} | {rate / copy:.0%} |",
            flush=True,
        )


def _made(shape: Shape, n_layers: int, device: torch.device) -> Bench:
    drawn = torch.Generator(device).manual_seed(0)
    models: dict[Parent, dict[str, Tensor]] = {model: {} for model in MODELS}
    targets = {}
    for name, of_shape in shape.tensors(n_layers):
        base = torch.randn(of_shape, generator=drawn, device=device).mul_(0.02).bfloat16()
        models[MODELS[0]][name] = base
        for model in MODELS[1:]:
            change = torch.randn(of_shape, generator=drawn, device=device).mul_(1e-3)
            models[model][name] = change.add_(base).bfloat16()
        targets[name] = torch.zeros_like(base)
    return Bench(device, models, targets)


def _recipe(method: str, seed: int) -> Recipe:
    base, *parents = MODELS
    drawn, chosen = random.Random(seed), methods.get(method)
    values = tuple({p.name: drawn.uniform(0.2, 0.8) for p in chosen.per_parent()} for _ in parents)
    settings, below = chosen.default_settings(), base if chosen.needs_base else None
    return Recipe(method, below, tuple(parents), (WHOLE_MODEL,), (values,), settings, seed, "bfloat16")


def _copy_bandwidth(bench: Bench) -> float:
    """Bytes in a second, read and written, of a copy of 1 GB."""
    here = torch.zeros(250_000_000, device=bench.device)
    there = torch.zeros_like(here)
    bench.wait()
    started = time.perf_counter()
    there.copy_(here)
    bench.wait()
    return 2 * here.nbytes / (time.perf_counter() - started)


def _triton() -> str:
    try:
        return f", triton {version('triton')}"
    except PackageNotFoundError:
        return ", no triton: plain torch"


def _parser() -> ArgumentParser:
    parser = ArgumentParser(description="Milliseconds of a candidate that is merged in place on a GPU.")
    parser.add_argument("--layers-of", choices=list(SHAPES), default="7b")
    parser.add_argument("--layers", type=int, help="only the first so many")
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--candidates", type=int, default=10)
    parser.add_argument("--device", default="cuda")
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])

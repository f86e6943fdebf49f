"""Seconds to merge a candidate of 1.1 B parameters straight into a loaded model, and what memory could do at best.

    .venv/bin/python -m benchmarks.in_place FOLDER [--methods NAME ...] [--candidates N]

FOLDER has or takes the synthetic parents of `benchmarks.merge_speed`: three variants and their base, in bfloat16. Targets
have the dtype that models compute in: float32 on a CPU. Every candidate has weights and densities of its own; the first
one also counts the task vectors' magnitudes, and is told apart. Bytes are those of all four models, read once, and of the
target, written once; of DELLA also the ranks that a run keeps, 2 bytes for each element and parent. The bandwidth they are
held against is that of a copy within memory by as many threads, in the same run. A sample of tensors of the last candidate
is compared with the plain arithmetic, to the bit.
"""

from __future__ import annotations

import random
import sys
import time
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from benchmarks.merge_speed import make_parents, this_machine
from merging.assembly import Place, assemble
from merging.draws import Draws
from merging.elements import as_tensor
from merging.fingerprints import fingerprint
from merging.methods import methods
from merging.plans import TensorJob, plan
from merging.recipes import WHOLE_MODEL, Parent, Recipe
from merging.shells import compute_dtype
from merging.shelves import ParentShelf

SIZE: Final = "1.1b"
METHODS: Final = ("task_arithmetic", "ties", "dare_ties", "breadcrumbs", "della")
ROOM: Final = 16 * 10**9
SAMPLE: Final = 12
CPU: Final = torch.device("cpu")


@dataclass(frozen=True)
class Bench:
    """The parents, open; the memory of a model; and what a candidate reads and writes."""

    shelf: ParentShelf
    models: Sequence[Parent]
    jobs: Sequence[TensorJob]
    targets: Mapping[str, Tensor]
    n_bytes: int

    def merge(self, recipe: Recipe) -> float:
        """Seconds of a candidate."""
        started = time.perf_counter()
        place = Place(self.targets, self.shelf.spectra)
        n_in_place = sum(
            merged is self.targets[name] for name, merged in assemble(recipe, self.jobs, self.shelf, place)
        )
        seconds = time.perf_counter() - started
        if n_in_place < len(self.jobs):
            raise RuntimeError(f"{len(self.jobs) - n_in_place} tensors of {recipe.method} were not merged in place")
        return seconds

    def n_rank_bytes(self, method: str) -> int:
        """What a candidate reads beside tensors."""
        n_ranked = len(self.models) - 1 if method.startswith("della") else 0
        return 2 * n_ranked * sum(target.numel() for target in self.targets.values())

    def check(self, recipe: Recipe) -> None:
        """RuntimeError when a tensor of a sample is not that of the plain arithmetic."""
        for job in random.Random(0).sample(self.jobs, SAMPLE):
            if job.base is None:
                raise RuntimeError(f"{job.name} has no base")
            base = as_tensor(self.shelf.tensor(job.base.parent, job.base.name)).float()
            parents = [as_tensor(self.shelf.tensor(of.parent, of.name)).float() for of in job.sources]
            merge, draws = methods.get(recipe.method).merge, Draws(recipe.seed, job.name)
            expected = merge(base, parents, recipe.values[0], recipe.settings, draws).bfloat16()
            if not torch.equal(self.targets[job.name], expected.to(self.targets[job.name].dtype)):
                raise RuntimeError(f"{job.name} of {recipe.method} differs from the plain arithmetic")


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    given = _parser().parse_args(arguments)
    print(this_machine(None))
    bench = _open(make_parents(given.folder / SIZE, SIZE))
    copy = max(_copy_bandwidth() for _ in range(5))
    n_threads = torch.get_num_threads()
    print(
        f"\n{n_threads} threads, which copy {copy / 1e9:.1f} GB/s; a candidate moves {bench.n_bytes / 1e9:.1f} GB and its ranks\n"
    )
    print("| method | first s | candidate s | GB/s | of the copy |")
    print("|---|---:|---:|---:|---:|")
    for method in given.methods:
        recipes = [_recipe(method, bench.models, seed) for seed in range(given.candidates + 1)]
        first, *others = [bench.merge(recipe) for recipe in recipes]
        bench.check(recipes[-1])
        rate = (bench.n_bytes + bench.n_rank_bytes(method)) / min(others)
        print(f"| {method} | {first:.2f} | {min(others):.2f} | {rate / 1e9:.1f} | {rate / copy:.0%} |", flush=True)


def _open(folders: Sequence[Path]) -> Bench:
    models = [Parent(folder.name, str(folder.absolute()), fingerprint(folder)) for folder in folders]
    shelf, recipe = ParentShelf(CPU, ROOM), _recipe("task_arithmetic", models, 0)
    jobs, dtype = plan(recipe, shelf.open(recipe)), compute_dtype(CPU, torch.bfloat16)
    stored = {job.name: as_tensor(shelf.tensor(models[0], job.name)) for job in jobs}
    targets = {name: torch.zeros_like(tensor, dtype=dtype) for name, tensor in stored.items()}
    n_read = len(models) * sum(tensor.nbytes for tensor in stored.values())
    return Bench(shelf, models, jobs, targets, n_read + sum(target.nbytes for target in targets.values()))


def _recipe(method: str, models: Sequence[Parent], seed: int) -> Recipe:
    base, *parents = models
    drawn, chosen = random.Random(seed), methods.get(method)
    values = tuple({p.name: drawn.uniform(0.2, 0.8) for p in chosen.per_parent()} for _ in parents)
    settings = chosen.default_settings()
    return Recipe(method, base, tuple(parents), (WHOLE_MODEL,), (values,), settings, seed, "bfloat16")


def _copy_bandwidth() -> float:
    """Bytes in a second, read and written, of a copy of 1 GB."""
    here = torch.zeros(250_000_000)
    there = torch.zeros_like(here)
    started = time.perf_counter()
    there.copy_(here)
    return 2 * here.nbytes / (time.perf_counter() - started)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(description="Seconds of a candidate that is merged in place.")
    parser.add_argument("folder", type=Path, help="for parents; needs 9 GB there, and 16 GB of memory")
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--candidates", type=int, default=3)
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])

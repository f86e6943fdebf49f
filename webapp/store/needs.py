"""What files a run or a trial needs: models by their fingerprints, frozen questions by their digests. Knows no rows and opens nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from merging.benchmarks import BenchmarkSpec
from merging.recipes import Parent, Recipe
from webapp.runs.config import RunConfig

Kind = Literal["parents", "benchmarks"]


@dataclass(frozen=True)
class Need:
    """A model's folder, or a benchmark's folder or file: where the server has it, and what tells its content from every other."""

    kind: Kind
    digest: str
    name: str
    path: str


def of_run(config: RunConfig) -> tuple[Need, ...]:
    """All that any of its candidates is made from and asked."""
    models = (*config.parents, *([config.base] if config.base else []))
    return (*of_models(models), *of_benchmarks(objective.spec for objective in config.objectives))


def of_trial(recipe: Recipe, benchmarks: Sequence[BenchmarkSpec]) -> tuple[Need, ...]:
    """The same of a recipe that somebody tries."""
    return (*of_models(recipe.models), *of_benchmarks(benchmarks))


def of_models(models: Iterable[Parent]) -> tuple[Need, ...]:
    """One for each folder, in their order."""
    return tuple(dict.fromkeys(Need("parents", one.fingerprint, one.name, one.folder) for one in models))


def of_benchmarks(specs: Iterable[BenchmarkSpec]) -> tuple[Need, ...]:
    """One for each that is not built in."""
    places = [(spec, place_of(spec)) for spec in specs]
    return tuple(dict.fromkeys(Need("benchmarks", spec.digest, spec.name, place) for spec, place in places if place))


def place_of(spec: BenchmarkSpec) -> str:
    """Its folder or file; "" when it is built in."""
    if folder := spec.sealed or spec.harness:
        return folder.path
    return spec.file.path if spec.file else ""


def moved(spec: BenchmarkSpec, path: str) -> BenchmarkSpec:
    """The same benchmark with its folder or file in another place."""
    if spec.sealed:
        return replace(spec, sealed=replace(spec.sealed, path=path))
    if spec.harness:
        return replace(spec, harness=replace(spec.harness, path=path))
    return replace(spec, file=replace(spec.file, path=path)) if spec.file else spec

"""Runs that are filled in already. One table: the page, the command line and the documented measurements read the same numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from merging.errors import UnknownNameError
from webapp.runs.config import RunConfig

DEMO_BASE: Final = "demo/base"
DEMO_PARENTS: Final = ("demo/japanese", "demo/addition")
DEMO_BENCHMARK: Final = "japanese-sums"


@dataclass(frozen=True)
class Preset:
    """Everything that a person would otherwise choose; parents and benchmark by their names in the library.

    Counts of questions None: all of the split.
    """

    name: str
    title: str
    summary: str
    about: str
    base: str | None = DEMO_BASE
    parents: tuple[str, ...] = DEMO_PARENTS
    benchmark: str | None = DEMO_BENCHMARK
    method: str = "task_arithmetic"
    groups: str = "block"
    filters: str = ""
    search: str = "cma_es"
    population_size: int | None = None
    budget: int = 120
    n_search: int | None = 100
    n_validation: int | None = 100
    n_final: int | None = None
    seed: int = 1


QUICK: Final = Preset(
    name="quick",
    title="Quick demo",
    summary="Two tiny models, one that answers in Japanese and one that can add. Their children learn to do both.",
    about="about 2 minutes on two processor cores",
)
STANDARD: Final = Preset(
    name="standard",
    title="Standard demo",
    summary="The same models, twice the candidates and more questions each: a better winner and narrower intervals.",
    about="about 4 minutes on two processor cores",
    budget=240,
    n_search=150,
    n_validation=150,
)
OWN: Final = Preset(
    name="own",
    title="Start my own",
    summary="Any models on this server that share a shape, any benchmark, every setting.",
    about="",
    base=None,
    parents=(),
    benchmark=None,
    method="dare_ties",
    groups="model",
    budget=200,
    n_search=None,
    n_validation=None,
)
PRESETS: Final = {preset.name: preset for preset in (QUICK, STANDARD, OWN)}


def about(config: RunConfig) -> str:
    """How long a preset's run took where it was measured; empty for any other run."""
    for known in (QUICK, STANDARD):
        asked = (known.parents, known.benchmark, known.method, known.groups, known.budget, known.n_search)
        names = tuple(parent.name for parent in config.parents)
        if asked == (names, config.benchmark.name, config.method, config.groups, config.budget, config.n_search):
            return known.about
    return ""


def preset(name: str) -> Preset:
    """The preset of that name; UnknownNameError lists the known ones and the nearest."""
    if name not in PRESETS:
        raise UnknownNameError("preset", name, PRESETS)
    return PRESETS[name]

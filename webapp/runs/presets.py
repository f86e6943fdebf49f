"""Runs that are filled in already. One table: the page, the command line and the documented measurements read the same numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from merging.errors import UnknownNameError
from merging.fidelity import DEFAULT as FULL
from webapp.runs.config import N_FINALISTS, RunConfig

DEMO_BASE: Final = "demo/base"
DEMO_PARENTS: Final = ("demo/japanese", "demo/addition")
DEMO_BENCHMARK: Final = "japanese-sums"


@dataclass(frozen=True)
class Measure:
    """A benchmark by its name in the library, how much it counts, and how many questions of each split; None: all of them."""

    benchmark: str
    weight: float = 1.0
    n_search: int | None = None
    n_validation: int | None = None
    n_final: int | None = None


@dataclass(frozen=True)
class Preset:
    """Everything that a person would otherwise choose; parents and benchmarks by their names in the library."""

    name: str
    title: str
    summary: str
    about: str
    base: str | None = DEMO_BASE
    parents: tuple[str, ...] = DEMO_PARENTS
    measures: tuple[Measure, ...] = (Measure(DEMO_BENCHMARK, n_search=100, n_validation=100),)
    method: str = "task_arithmetic"
    groups: str = "block"
    filters: str = ""
    search: str = "cma_es"
    population_size: int | None = None
    budget: int = 120
    seed: int = 1
    n_finalists: int = N_FINALISTS
    fidelity: str = FULL
    fidelity_settings: tuple[tuple[str, float], ...] = ()


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
    measures=(Measure(DEMO_BENCHMARK, n_search=150, n_validation=150),),
)
OWN: Final = Preset(
    name="own",
    title="Start my own",
    summary="Any models on this server that share a shape, any benchmark, every setting.",
    about="",
    base=None,
    parents=(),
    measures=(),
    method="dare_ties",
    groups="model",
    budget=200,
)
PRESETS: Final = {preset.name: preset for preset in (QUICK, STANDARD, OWN)}


def about(config: RunConfig) -> str:
    """How long a preset's run took where it was measured; empty for any other run."""
    names = tuple(parent.name for parent in config.parents)
    measured = [(asked.spec.name, asked.n_search) for asked in config.objectives]
    for known in (QUICK, STANDARD):
        of_known = [(measure.benchmark, measure.n_search) for measure in known.measures]
        wanted = (known.parents, of_known, known.method, known.groups, known.budget)
        if wanted == (names, measured, config.method, config.groups, config.budget):
            return known.about
    return ""


def preset(name: str) -> Preset:
    """The preset of that name; UnknownNameError lists the known ones and the nearest."""
    if name not in PRESETS:
        raise UnknownNameError("preset", name, PRESETS)
    return PRESETS[name]

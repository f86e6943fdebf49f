"""Runs that are filled in already. One table: the page, the command line and the documented measurements read the same numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from merging.errors import UnknownNameError
from merging.fidelity import DEFAULT as FULL
from merging.recipes import Tokenizer
from webapp.runs.config import N_FINALISTS, RunConfig

DEMO_BASE: Final = "demo/base"
DEMO_PARENTS: Final = ("demo/japanese", "demo/addition")
DEMO_BENCHMARK: Final = "japanese-sums"
Spaces = Literal["numbers", "path", "both"]
"""What evolves: what a method is told, the path through the layers, or first the one and then, with its winner as model A, the other."""
SPACES: Final[tuple[Spaces, ...]] = get_args(Spaces)


@dataclass(frozen=True)
class Measure:
    """A benchmark by its name in the library, how much it counts, and how many questions of each split; None: all of them."""

    benchmark: str
    weight: float = 1.0
    n_search: int | None = None
    n_validation: int | None = None
    n_final: int | None = None


@dataclass(frozen=True)
class PathPreset:
    """What belongs to the path of layers: models A and B by their names, B or both of them to be chosen where they are None."""

    model_a: str | None = None
    model_b: str | None = None
    repeats: int = 1
    scales: str = "slot"
    max_hops: int | None = None
    p_others: float = 0.05
    search: str = "cat_cma"
    population_size: int | None = None
    budget: int = 400


@dataclass(frozen=True)
class Preset:
    """Everything that a person would otherwise choose; parents and benchmarks by their names in the library. Of a run over paths alone,
    what belongs to numbers is for whoever changes his mind.

    `summary` and `needs` are for a person: what comes of it, and what must be there; `about` is how long it takes where that was measured.
    """

    name: str
    title: str
    summary: str
    needs: str
    about: str = ""
    base: str | None = DEMO_BASE
    parents: tuple[str, ...] = DEMO_PARENTS
    measures: tuple[Measure, ...] = (Measure(DEMO_BENCHMARK, n_search=100, n_validation=100),)
    method: str = "task_arithmetic"
    settings: tuple[tuple[str, float | bool], ...] = ()
    groups: str = "block"
    filters: str = ""
    search: str = "cma_es"
    population_size: int | None = None
    budget: int = 120
    seed: int = 1
    n_finalists: int = N_FINALISTS
    fidelity: str = FULL
    fidelity_settings: tuple[tuple[str, float], ...] = ()
    tokenizer: Tokenizer = "same"
    steady: bool = False
    space: Spaces = "numbers"
    path: PathPreset = PathPreset()


QUICK: Final = Preset(
    name="quick",
    title="Quick look",
    summary="Two tiny models, one that answers in Japanese and one that can add. Their children learn to do both.",
    needs="nothing but the demo pack that comes with Progeny",
    about="about 2 minutes on two processor cores",
)
BALANCED: Final = Preset(
    name="balanced",
    title="Balanced two-skill mix",
    summary="Two fine-tunes of one model, each good at something of its own. Their child is to do both, and both count alike.",
    needs="two fine-tunes, the base model they come from, and a benchmark for each skill",
    base=None,
    parents=(),
    measures=(),
    groups="4",
    budget=160,
)
STANDARD: Final = Preset(
    name="standard",
    title="Language + skill",
    summary="A Japanese speaker is to learn adding: twice the candidates of the quick look and more questions each, so a better winner and "
    "narrower intervals.",
    needs="the demo pack; put your own language model and expert in its models' places",
    about="about 4 minutes on two processor cores",
    budget=240,
    measures=(Measure(DEMO_BENCHMARK, n_search=150, n_validation=150),),
)
PATH: Final = Preset(
    name="path",
    title="Layer path",
    summary="No tensor changes: the layers of an adder and a Japanese speaker, in an order that tells right workings from wrong.",
    needs="the demo pack; of your own, two models whose layers have one shape",
    about="about 4 minutes on two processor cores",
    measures=(Measure("japanese-choices", n_search=50, n_validation=100),),
    space="path",
    path=PathPreset(
        "demo/addition", "demo/japanese", repeats=2, max_hops=12, p_others=0.5, population_size=16, budget=160
    ),
)
BOTH: Final = Preset(
    name="both",
    title="Both",
    summary="The quick look first. Then a second run by itself: a path through the layers of its winner and of a parent.",
    needs="the demo pack, and room on disk for the winner of the first run",
    about="about 4 minutes on two processor cores",
    space="both",
    path=PathPreset(None, "demo/japanese", repeats=2, max_hops=12, population_size=16, budget=160),
)
PAPER_PATH: Final = Preset(
    name="paper-path",
    title="The paper's layer path",
    summary="Your models, the paper's numbers: 100 generations of 128 paths through a list that comes 3 times, 200 questions each.",
    needs="two large models, and machines for 2.6 million completions",
    base=None,
    parents=(),
    measures=(),
    method="dare_ties",
    groups="model",
    budget=1000,
    fidelity="batch",
    fidelity_settings=(("samples", 200.0),),
    space="path",
    path=PathPreset(repeats=3, scales="network", p_others=0.5, search="cma_es", population_size=128, budget=12_800),
)
OWN: Final = Preset(
    name="own",
    title="Expert",
    summary="Start with nothing chosen: any models on this server, any benchmark, every setting.",
    needs="models of one shape, and a benchmark",
    base=None,
    parents=(),
    measures=(),
    method="dare_ties",
    groups="model",
    budget=200,
)
PRESETS: Final = {preset.name: preset for preset in (QUICK, BALANCED, STANDARD, PATH, BOTH, PAPER_PATH, OWN)}


def about(config: RunConfig) -> str:
    """How long a preset's run took where it was measured; empty for any other run."""
    names = tuple(parent.name for parent in config.parents)
    measured = [(asked.spec.name, asked.n_search) for asked in config.objectives]
    for known in (QUICK, STANDARD, PATH):
        of_known = [(measure.benchmark, measure.n_search) for measure in known.measures]
        models = (known.path.model_a, known.path.model_b) if known.space == "path" else known.parents
        if (names, measured) == (models, of_known) and _essence(config) == _essence_of(known):
            return known.about
    return ""


def _essence(config: RunConfig) -> tuple[object, ...]:
    """What decides how long a run takes, besides models and questions."""
    path = config.path
    return (path.repeats, path.max_hops, config.budget) if path else (config.method, config.groups, config.budget)


def _essence_of(known: Preset) -> tuple[object, ...]:
    path = known.path
    if known.space == "path":
        return path.repeats, path.max_hops, path.budget
    return known.method, known.groups, known.budget


def preset(name: str) -> Preset:
    """The preset of that name; UnknownNameError lists the known ones and the nearest."""
    if name not in PRESETS:
        raise UnknownNameError("preset", name, PRESETS)
    return PRESETS[name]

"""What a run is: the frozen configuration that web and workers share.

Checked once, here, by the code that the engine uses; stored as JSON in `Run.config` and never changed. Knows no rows and no requests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from operator import attrgetter
from typing import Any, Final, Self

from merging import plain
from merging.fidelity import DEFAULT as FULL
from merging.fidelity import Part, Pool
from merging.genomes import GRADIENT, GenomeSpace, parameter_space
from merging.indexes import parent_facts
from merging.objectives import Objective
from merging.path_genomes import PathSpace, path_space
from merging.plans import check_granularity
from merging.recipes import Dtype, Parent, Tokenizer
from merging.words import joined

N_FINALISTS: Final = 3


@dataclass(frozen=True)
class Override:
    """Who allowed a run to search on a public test set, and when (ISO 8601, UTC)."""

    by: str
    at: str

    @property
    def day(self) -> str:
        """`2026-11-28`."""
        return self.at[:10]


@dataclass(frozen=True)
class PathSettings:
    """What a run that evolves the path of layers may do: the list of layers comes `repeats` times, a path has at most `max_hops` of
    them, `scales` says how the numbers between them are found, and `p_others` how likely layers outside A's own path are on at the start
    (`merging.path_genomes`).
    """

    repeats: int
    scales: str
    max_hops: int
    p_others: float = 0.5


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides which candidates a run proposes and how they are scored.

    `objectives`: at least one, no benchmark twice; counts of samples are per evaluation and at most what the split holds. The best
    `n_finalists` take the final exam. `override` is set when an objective's search split comes from a public test set. `fidelity` says
    how much of the search split a candidate is asked. `groups` and `filters` are those of `merging.genomes.layer_groups`, `tokenizer` that
    of `merging.recipes.Companions`. `settings` are the method's own, one value per recipe. `population_size` None is the search's default
    for the number of genes. `steady`: a generation is opened before the last candidates of the one before are scored (`merging.steady`).

    With a `path` the layers evolve that every token follows, and no tensor changes: parents are A, whose ends every path has, and B, or A
    alone; the method is passthrough, and there are neither base model nor groups.
    """

    parents: tuple[Parent, ...]
    base: Parent | None
    objectives: tuple[Objective, ...]
    method: str
    groups: str
    settings: tuple[tuple[str, float | bool], ...]
    search: str
    population_size: int | None
    budget: int
    seed: int
    dtype: Dtype
    filters: tuple[str, ...] = ()
    n_finalists: int = N_FINALISTS
    override: Override | None = None
    fidelity: str = FULL
    fidelity_settings: tuple[tuple[str, float], ...] = ()
    path: PathSettings | None = None
    tokenizer: Tokenizer = "same"
    steady: bool = False

    @property
    def weights(self) -> tuple[float, ...]:
        """How much each objective counts."""
        return tuple(objective.weight for objective in self.objectives)

    @property
    def benchmark_names(self) -> str:
        """`japanese-sums`, or `japanese-sums and gsm8k`."""
        return joined([objective.spec.name for objective in self.objectives])

    @property
    def pool(self) -> Pool:
        """All search samples that a candidate is asked in full."""
        return Pool(tuple(Part(objective.n_search, objective.weight) for objective in self.objectives))

    @property
    def groups_in_words(self) -> str:
        """How the layers are divided."""
        words = {"model": "one group of layers", "block": "every layer its own group"}
        if self.is_gradient:
            return f"a gradient over depth with {self.groups.removeprefix(GRADIENT)} knots{self.apart}"
        return words.get(self.groups, f"{self.groups} layer groups") + self.apart

    @property
    def is_gradient(self) -> bool:
        return self.groups.startswith(GRADIENT)

    @property
    def apart(self) -> str:
        """How each range of layers is divided once more, as the end of a sentence; empty without filters."""
        return f", {' and '.join(self.filters)} apart from the rest" if self.filters else ""

    def space(self, folder_of: Callable[[Parent], str] = attrgetter("folder")) -> GenomeSpace | PathSpace:
        """The space that the search explores; reads parents' configs for their layers and embeddings, where `folder_of` says that they are.

        GenomeError for a path that makes no space, RecipeError when layers are to be told apart and nobody knows them.
        """
        if self.path is None:
            return self._parameter_space(folder_of)
        return self.path_space(self.path, [parent_facts(folder_of(parent)).n_layers for parent in self.parents])

    def path_space(self, path: PathSettings, n_layers: Sequence[int]) -> PathSpace:
        """The space of its `path`, for those who know how many layers the parents have; see `space`."""
        return path_space(
            parents=self.parents,
            n_layers=n_layers,
            repeats=path.repeats,
            scales=path.scales,
            max_hops=path.max_hops,
            p_others=path.p_others,
            dtype=self.dtype,
            seed=self.seed,
        )

    def _parameter_space(self, folder_of: Callable[[Parent], str]) -> GenomeSpace:
        facts = parent_facts(folder_of(self.parents[0]))
        space = parameter_space(
            method=self.method,
            parents=self.parents,
            base=self.base,
            n_layers=facts.n_layers,
            groups=self.groups,
            settings=self.settings,
            seed=self.seed,
            dtype=self.dtype,
            tied_embeddings=facts.config.tied_embeddings,
            filters=self.filters,
            tokenizer=self.tokenizer,
        )
        check_granularity(space.origin.groups, {self.parents[0]: facts})
        return space

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types, the opposite of `from_json`. Without a path there is no word of it, nor of a tokenizer that is everybody's, nor
        of whole generations, as before there was a choice.
        """
        found = asdict(self) | {"objectives": [objective.to_json() for objective in self.objectives]}
        unsaid = {
            name
            for name, usual in (("path", None), ("tokenizer", "same"), ("steady", False))
            if getattr(self, name) == usual
        }
        return {name: value for name, value in found.items() if name not in unsaid}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The configuration that `to_json` wrote, also long ago: with one benchmark, without filters or path. It was checked then."""
        found = _with_objectives(value)
        return cls(
            **found
            | {
                "parents": tuple(Parent(**parent) for parent in found["parents"]),
                "base": Parent(**found["base"]) if found["base"] else None,
                "objectives": tuple(map(Objective.from_json, found["objectives"])),
                "settings": tuple((name, setting) for name, setting in found["settings"]),
                "filters": tuple(found.get("filters", ())),
                "fidelity_settings": tuple((name, setting) for name, setting in found.get("fidelity_settings", ())),
                "override": Override(**found["override"]) if found.get("override") else None,
                "path": PathSettings(**found["path"]) if found.get("path") else None,
            }
        )

    def digest(self) -> str:
        """sha256 of the canonical JSON."""
        return plain.digest(self.to_json())


def _with_objectives(value: dict[str, Any]) -> dict[str, Any]:
    """The same, with the one benchmark of a run from before as its only objective."""
    if "objectives" in value:
        return value
    names = ("benchmark", "n_search", "n_validation", "n_final")
    only = {name: value[name] for name in names} | {"weight": 1.0}
    return {name: found for name, found in value.items() if name not in names} | {"objectives": [only]}

"""What a run is: the frozen configuration that web and workers share.

Checked once, here, by the code that the engine uses; stored as JSON in `Run.config` and never changed. Knows no rows and no requests.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self

from merging import plain
from merging.benchmarks import BenchmarkSpec
from merging.genomes import GRADIENT, GenomeSpace, parameter_space
from merging.indexes import parent_facts
from merging.plans import check_granularity
from merging.recipes import Dtype, Parent


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides which candidates a run proposes and how they are scored.

    Counts of samples are per evaluation and at most what the split holds. `groups` and `filters` are those of
    `merging.genomes.layer_groups`. `settings` are the method's own, one value per recipe. `population_size` None is the search's default
    for the number of genes.
    """

    parents: tuple[Parent, ...]
    base: Parent | None
    benchmark: BenchmarkSpec
    method: str
    groups: str
    settings: tuple[tuple[str, float | bool], ...]
    search: str
    population_size: int | None
    budget: int
    seed: int
    n_search: int
    n_validation: int
    n_final: int
    dtype: Dtype
    filters: tuple[str, ...] = ()

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

    def space(self) -> GenomeSpace:
        """The space that the search explores; reads the first parent's config for its layers and embeddings.

        RecipeError when its layers are to be told apart and nobody knows them.
        """
        facts = parent_facts(self.parents[0].folder)
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
        )
        check_granularity(space.origin.groups, {self.parents[0]: facts})
        return space

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types, the opposite of `from_json`."""
        return asdict(self) | {"benchmark": self.benchmark.to_json()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The configuration that `to_json` wrote, or did before there were filters. It was checked when it was written."""
        return cls(
            **value
            | {
                "parents": tuple(Parent(**parent) for parent in value["parents"]),
                "base": Parent(**value["base"]) if value["base"] else None,
                "benchmark": BenchmarkSpec.from_json(value["benchmark"]),
                "settings": tuple((name, setting) for name, setting in value["settings"]),
                "filters": tuple(value.get("filters", ())),
            }
        )

    def digest(self) -> str:
        """sha256 of the canonical JSON."""
        return plain.digest(self.to_json())

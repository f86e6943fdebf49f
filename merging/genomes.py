"""Between what a search proposes and what is built: genes in [0, 1] to the values of a recipe, and back.

Genes come from what the method declares, so a new method or parameter needs no edit here. Nothing is clipped or folded:
two genomes are two recipes, or the search could not know what it is told about.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

from merging.errors import GenomeError
from merging.methods import methods
from merging.recipes import WHOLE_MODEL, Dtype, LayerGroup, Parent, ParentValues, Recipe, check_settings, layers_name

Genome = tuple[float, ...]
"""Genes in [0, 1], as many as the space has."""


@dataclass(frozen=True)
class Gene:
    """One number to find: `parameter` of `parent` in `group`, from `low` (gene 0) to `high` (gene 1)."""

    group: str
    parent: str
    parameter: str
    low: float
    high: float

    @property
    def name(self) -> str:
        return f"{self.group} / {self.parent} / {self.parameter}"

    def value(self, gene: float) -> float:
        """The parameter's value. Exact at both ends."""
        return self.high if gene == 1 else self.low + gene * (self.high - self.low)

    def gene(self, value: float) -> float:
        """The opposite of `value`, to within rounding; a value outside the range is a GenomeError."""
        if not self.low <= value <= self.high:
            raise GenomeError(
                f"{self.name} is {value:g}; expected {self.low:g} to {self.high:g}, where a search can reach"
            )
        return min(1.0, (value - self.low) / (self.high - self.low))


@dataclass(frozen=True)
class GenomeSpace:
    """All recipes that differ from `origin` only in their values. Genes are ordered by group, parent and parameter."""

    origin: Recipe
    """The recipe at the centre, every gene 0.5: the paper's starting mean."""

    @cached_property
    def genes(self) -> tuple[Gene, ...]:
        parameters = methods.get(self.origin.method).per_parent()
        return tuple(
            Gene(group.name, parent.name, parameter.name, parameter.low, parameter.high)
            for group in self.origin.groups
            for parent in self.origin.parents
            for parameter in parameters
        )

    @property
    def n_genes(self) -> int:
        return len(self.genes)

    @property
    def centre(self) -> Genome:
        return (0.5,) * self.n_genes

    def decode(self, genome: Genome) -> Recipe:
        """The recipe of a genome; GenomeError for another length or a gene outside [0, 1]."""
        self._check(genome)
        numbers = iter([gene.value(x) for gene, x in zip(self.genes, genome, strict=True)])
        values = tuple(
            tuple({name: next(numbers) for name in self._parameters} for _ in self.origin.parents)
            for _ in self.origin.groups
        )
        return replace(self.origin, values=values)

    def encode(self, recipe: Recipe) -> Genome:
        """The genome of a recipe of this space, to within rounding; GenomeError for a recipe of another one."""
        if recipe.to_json() | {"values": None} != self.origin.to_json() | {"values": None}:
            raise GenomeError(f"this recipe belongs to another space: {recipe.sentence()}")
        numbers = [values[name] for row in recipe.values for values in row for name in self._parameters]
        return tuple(gene.gene(value) for gene, value in zip(self.genes, numbers, strict=True))

    @property
    def _parameters(self) -> tuple[str, ...]:
        return tuple(parameter.name for parameter in methods.get(self.origin.method).per_parent())

    def _check(self, genome: Genome) -> None:
        if len(genome) != self.n_genes:
            raise GenomeError(f"the genome has {len(genome)} genes; expected {self.n_genes}")
        for gene, x in zip(self.genes, genome, strict=True):
            if not 0 <= x <= 1:
                raise GenomeError(f"gene {gene.name} is {x!r}; expected a number from 0 to 1")


def parameter_space(
    *,
    method: str,
    parents: Sequence[Parent],
    base: Parent | None,
    n_layers: int,
    groups: str,
    settings: Mapping[str, float | bool] | Iterable[tuple[str, float | bool]],
    seed: int,
    dtype: Dtype,
    tied_embeddings: bool = False,
) -> GenomeSpace:
    """The parameter space of Akiba et al., section 3.1: every per-parent parameter of the method, for every layer group and parent.

    `groups` is a granularity of `layer_groups`. Settings that are not given take the method's defaults. Seed and dtype
    are the same for all recipes of the space: DARE drops the same elements in every candidate, and what differs is what
    the genes changed.
    """
    chosen = methods.get(method)
    if not chosen.per_parent():
        raise GenomeError(f"{chosen.title} has nothing to search: choose a method with a weight per parent")
    filled = chosen.default_settings() | dict(settings)
    check_settings(chosen, filled)
    layers = layer_groups(groups, n_layers, tied_embeddings)
    middle: ParentValues = {p.name: Gene("", "", p.name, p.low, p.high).value(0.5) for p in chosen.per_parent()}
    rows = ((middle,) * len(parents),) * len(layers)
    return GenomeSpace(Recipe(method, base, tuple(parents), layers, rows, filled, seed, dtype))


def layer_groups(granularity: str, n_layers: int, tied_embeddings: bool = False) -> tuple[LayerGroup, ...]:
    """Groups for a model of `n_layers`: `"model"` one for all, the paper's choice; `"block"` one a layer; `"2"` to `"n"`.

    Finer than `"model"`, embeddings are groups of their own. With tied embeddings nothing but the final norm comes
    after the layers: it joins the last of them instead of costing genes of its own.
    """
    if granularity == "model":
        return (WHOLE_MODEL,)
    n_groups = _n_groups(granularity, n_layers)
    bounds = [round(i * n_layers / n_groups) for i in range(n_groups + 1)]
    blocks = [LayerGroup(layers_name(a, b), a, b, before=False, after=False) for a, b in pairwise(bounds)]
    before = LayerGroup("embeddings", 0, 0, before=True, after=False)
    if tied_embeddings:
        return (before, *blocks[:-1], replace(blocks[-1], after=True))
    return (before, *blocks, LayerGroup("head", n_layers, n_layers, before=False, after=True))


def _n_groups(granularity: str, n_layers: int) -> int:
    if granularity == "block":
        return n_layers
    if granularity.isascii() and granularity.isdigit() and 2 <= int(granularity) <= n_layers:
        return int(granularity)
    raise GenomeError(
        f"layer groups are {granularity!r}; expected model, block, or a number from 2 to the {n_layers} layers"
    )

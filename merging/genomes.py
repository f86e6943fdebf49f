"""Between what a search proposes and what is built: genes in [0, 1] to the values of a recipe, and back.

Genes come from what the method declares, so a new method or parameter needs no edit here. Nothing is clipped or folded:
two genomes are two recipes, or the search could not know what it is told about.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice, pairwise
from typing import Final

from merging.errors import GenomeError
from merging.indexes import ParentFacts
from merging.methods import methods
from merging.methods.method import Method
from merging.plans import plan
from merging.recipes import (
    WHOLE_MODEL,
    Companions,
    Dtype,
    LayerGroup,
    Parent,
    Recipe,
    Tokenizer,
    check_settings,
    layer_ranges,
    layers_name,
)
from merging.spaces import Axes, Genome, check_genome

GRADIENT: Final = "gradient "
Numbers = tuple[float, ...]
"""The values of one layer group, in the order of its genes."""


@dataclass(frozen=True)
class Gene:
    """One number to find: `parameter` of `parent` in `group`, from `low` (gene 0) to `high` (gene 1).

    `parent` None: the group's parents share it.
    """

    group: str
    parent: str | None
    parameter: str
    low: float
    high: float

    @property
    def name(self) -> str:
        return " / ".join(part for part in (self.group, self.parent, self.parameter) if part is not None)

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
    """A `Space`: all recipes that differ from `origin` only in their values.

    Genes are ordered by group; in a group come first the numbers that its parents share, then each parent's own.
    """

    origin: Recipe
    """The recipe at the centre, every gene 0.5: the paper's starting mean."""
    knots: tuple[int, ...]
    """The ranges of layers that have genes, by number. Values of a range between two of them lie on the line between theirs."""

    @staticmethod
    def around(origin: Recipe, groups: str) -> GenomeSpace:
        """The space of this recipe's layer groups, which `layer_groups` made for the granularity `groups`."""
        return GenomeSpace(origin, _knots(groups, len(layer_ranges(origin.groups))))

    @cached_property
    def genes(self) -> tuple[Gene, ...]:
        method = methods.get(self.origin.method)
        owners = [(None, method.per_group()), *((parent.name, method.per_parent()) for parent in self.origin.parents)]
        return tuple(
            Gene(self.origin.groups[number].name, owner, parameter.name, parameter.low, parameter.high)
            for number in self._with_genes
            for owner, parameters in owners
            for parameter in parameters
        )

    @property
    def n_genes(self) -> int:
        return len(self.genes)

    @property
    def axes(self) -> Axes:
        return Axes.plain(self.n_genes)

    @property
    def centre(self) -> Genome:
        return (0.5,) * self.n_genes

    def decode(self, genome: Genome) -> Recipe:
        """The recipe of a genome; GenomeError for another length or a gene outside [0, 1]."""
        check_genome(genome, self.genes)
        numbers = iter([gene.value(x) for gene, x in zip(self.genes, genome, strict=True)])
        n_in_group = self.n_genes // len(self._with_genes)
        return self._with_numbers({number: tuple(islice(numbers, n_in_group)) for number in self._with_genes})

    def encode(self, recipe: Recipe) -> Genome:
        """The genome of a recipe of this space, to within rounding; GenomeError for a recipe of another one."""
        numbers = {number: self._numbers(recipe, number) for number in self._with_genes} if self._has(recipe) else {}
        if not numbers or recipe != self._with_numbers(numbers):
            raise GenomeError(f"this recipe belongs to another space: {recipe.sentence()}")
        found = (value for number in self._with_genes for value in numbers[number])
        return tuple(gene.gene(value) for gene, value in zip(self.genes, found, strict=True))

    @cached_property
    def _between(self) -> tuple[tuple[int, int, float], ...]:
        """For every group the two groups with genes that it lies between, and its share of the way from one to the other."""
        ranges = layer_ranges(self.origin.groups)
        found = []
        for i, numbers in enumerate(ranges):
            right = bisect_left(self.knots, i)
            low, high = self.knots[max(0, right - (self.knots[right] != i))], self.knots[right]
            share = 0.0 if low == high else (i - low) / (high - low)
            found += [(ranges[low][slot], ranges[high][slot], share) for slot in range(len(numbers))]
        return tuple(found)

    @cached_property
    def _with_genes(self) -> tuple[int, ...]:
        return tuple(number for number, (low, high, _) in enumerate(self._between) if low == high)

    def _with_numbers(self, numbers: Mapping[int, Numbers]) -> Recipe:
        """The recipe whose groups with genes have these numbers."""
        method, n_parents = methods.get(self.origin.method), len(self.origin.parents)
        rows, shared = [], []
        for low, high, share in self._between:
            ends = zip(numbers[low], numbers[high], strict=True)
            found = iter([a + share * (b - a) for a, b in ends])
            shared.append({parameter.name: next(found) for parameter in method.per_group()})
            rows.append(tuple({p.name: next(found) for p in method.per_parent()} for _ in range(n_parents)))
        return replace(self.origin, values=tuple(rows), shared=tuple(shared) if method.per_group() else ())

    def _numbers(self, recipe: Recipe, number: int) -> Numbers:
        method = methods.get(self.origin.method)
        shared = [recipe.shared[number][parameter.name] for parameter in method.per_group()]
        own = [values[parameter.name] for values in recipe.values[number] for parameter in method.per_parent()]
        return (*shared, *own)

    def _has(self, recipe: Recipe) -> bool:
        """Whether the recipe differs from the origin only in its values."""
        blank: dict[str, object] = {"values": None, "shared": None}
        return recipe.to_json() | blank == self.origin.to_json() | blank


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
    filters: Sequence[str] = (),
    tokenizer: Tokenizer = "same",
) -> GenomeSpace:
    """The parameter space of Akiba et al., section 3.1: what the method can be told for each layer group and parent.

    `groups` and `filters` are those of `layer_groups`. Settings that are not given take the method's defaults. Tokenizer, seed and
    dtype are the same for all recipes of the space: DARE drops the same elements in every candidate, and what differs
    is what the genes changed.
    """
    chosen = methods.get(method)
    if why := nothing_to_search(chosen):
        raise GenomeError(f"{chosen.title} has nothing to search: {why}")
    filled = chosen.default_settings() | dict(settings)
    check_settings(chosen, filled)
    layers = layer_groups(groups, n_layers, tied_embeddings, filters)
    own, shared = (
        {p.name: Gene("", "", p.name, p.low, p.high).value(0.5) for p in parameters}
        for parameters in (chosen.per_parent(), chosen.per_group())
    )
    origin = Recipe(
        method=method,
        base=base,
        parents=tuple(parents),
        groups=layers,
        values=((own,) * len(parents),) * len(layers),
        settings=filled,
        seed=seed,
        dtype=dtype,
        shared=(shared,) * len(layers) if shared else (),
        companions=Companions(tokenizer),
    )
    return GenomeSpace.around(origin, groups)


def nothing_to_search(method: Method) -> str:
    """Why a search can find nothing with this method; empty when it can."""
    if not method.per_parent() and not method.per_group():
        return "it has no number for a parent or a layer group"
    if method.max_parents == 1 and method.base == "none":
        return "it takes one model alone"
    return ""


def layer_groups(
    granularity: str, n_layers: int, tied_embeddings: bool = False, filters: Sequence[str] = ()
) -> tuple[LayerGroup, ...]:
    """Groups for a model of `n_layers`: `"model"` one for all, the paper's choice; `"block"` one a layer; `"2"` to `"n"`;
    `"gradient 2"` to `"gradient n"` one a layer, of which so many have genes.

    `filters` are parts of tensors' names: each makes a group of its own of the tensors of a range of layers, and what is
    left is another.

    In steps, embeddings are groups of their own. With tied embeddings nothing but the final norm comes after the
    layers: it joins the last of them instead of costing genes of its own. In a gradient what comes before and after the
    layers is at its ends, and joins the first and the last layer.
    """
    ranges = _layer_ranges(granularity, n_layers, tied_embeddings)
    return tuple(part for group in ranges for part in _divided(group, filters))


def layer_parts(facts: ParentFacts) -> tuple[str, ...]:
    """What a layer is made of, by name: `self_attn` and `mlp` in most families; norms are no parts. Filters for `layer_groups`."""
    family = facts.config.family
    inside = [name.partition(".0.")[2].split(".") for name in facts.tensors if family.place(name) == 0]
    return tuple(dict.fromkeys(words[0] for words in inside if len(words) > 2))


def check_effect(space: GenomeSpace, facts: ParentFacts) -> None:
    """GenomeError when a layer group has no tensor of the models, whose `facts` these are: its genes would change nothing."""
    origin = space.origin
    models = (*origin.parents, *((origin.base,) if origin.base else ()))
    used = {job.group for job in plan(origin, dict.fromkeys(models, facts))}
    if idle := [group for number, group in enumerate(origin.groups) if number not in used]:
        parts = ", ".join(layer_parts(facts)) or "nothing in layers"
        raise GenomeError(
            f"the filters leave no tensor for {idle[0].name}; expected parts of tensors' names such as {parts}"
        )


def _layer_ranges(granularity: str, n_layers: int, tied_embeddings: bool) -> tuple[LayerGroup, ...]:
    if granularity == "model":
        return (WHOLE_MODEL,)
    n_steps, is_gradient = _n_steps(granularity, n_layers), granularity.startswith(GRADIENT)
    n_ranges = n_layers if is_gradient else n_steps
    bounds = [round(i * n_layers / n_ranges) for i in range(n_ranges + 1)]
    blocks = [LayerGroup(layers_name(a, b), a, b, before=False, after=False) for a, b in pairwise(bounds)]
    if is_gradient or tied_embeddings:
        blocks[-1] = replace(blocks[-1], after=True)
    else:
        blocks.append(LayerGroup("head", n_layers, n_layers, before=False, after=True))
    if is_gradient:
        return (replace(blocks[0], before=True), *blocks[1:])
    return (LayerGroup("embeddings", 0, 0, before=True, after=False), *blocks)


def _divided(group: LayerGroup, filters: Sequence[str]) -> Iterable[LayerGroup]:
    """A group for each filter and one for the rest. Embeddings are tensors of their own already."""
    if not filters or group.start == group.stop:
        return (group,)
    parts = [replace(group, name=f"{group.name} {part}", filter=part) for part in filters]
    return (*parts, replace(group, name=f"{group.name} rest"))


def _knots(granularity: str, n_ranges: int) -> tuple[int, ...]:
    """The ranges that have genes: all, or as many as a gradient has, from the first to the last at distances as even as can be."""
    n_knots = _n_steps(granularity, n_ranges) if granularity.startswith(GRADIENT) else n_ranges
    return tuple(round(i * (n_ranges - 1) / max(1, n_knots - 1)) for i in range(n_knots))


def _n_steps(granularity: str, n_layers: int) -> int:
    digits = granularity.removeprefix(GRADIENT)
    if granularity == "block":
        return n_layers
    if digits.isascii() and digits.isdigit() and 2 <= int(digits) <= n_layers:
        return int(digits)
    raise GenomeError(
        f"layer groups are {granularity!r}; expected model, block, a number from 2 to the {n_layers} layers, "
        "or gradient and such a number"
    )

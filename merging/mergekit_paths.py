"""A path's scales as mergekit can be told of them: as factors of tensors, by parts of their names. No torch.

mergekit knows no scale of the residual stream. What absorbs it (`absorption.py`) are factors of some tensors of each
layer, and those its `passthrough` has, with filters. The tensors are then the same to the bit; that they were a path
is no longer told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from merging.absorption import Absorption
from merging.errors import ParentError, RecipeError
from merging.families import Place
from merging.hops import Hop
from merging.indexes import ParentFacts
from merging.recipes import LayerGroup, Parent, Recipe, Source, layers_name

FactsOf = Callable[[Parent], ParentFacts]
Factors = Mapping[str, float]
"""What the tensors are multiplied by whose names contain a part. In others nothing changes."""


def with_scaled_tensors(recipe: Recipe, facts_of: FactsOf) -> Recipe:
    """A recipe without scales whose tensors are those of this one with its scales absorbed.

    RecipeError when factors of tensors cannot say it, or a parent's folder, which tells the names, cannot be read.
    """
    path = recipe.path
    if path is None:
        return recipe
    facts = {parent: _read(parent, facts_of) for parent in recipe.parents}
    donor = facts[recipe.donor]
    family = donor.config.family
    if family.norms_add_one:
        raise RecipeError(
            f"mergekit cannot be told of the scales: norms of {family.title} multiply by one plus their tensor, and it can "
            "only multiply tensors"
        )
    absorption = Absorption(recipe, family, donor.tied_embeddings)
    layers = [
        _Layer(hop, _factors(absorption, number, facts[recipe.parents[hop.parent]], hop.layer))
        for number, hop in enumerate(path.hops)
    ]
    rows = [_end(absorption, 0, "before"), *_rows(layers), _end(absorption, path.n_hops, "after")]
    return replace(
        recipe,
        groups=tuple(group for group, _ in rows),
        values=tuple(({"scale": factor},) for _, factor in rows),
        scales=(),
    )


def _read(parent: Parent, facts_of: FactsOf) -> ParentFacts:
    """Says nothing of where the folder is: a refusal may stand on a model card."""
    try:
        return facts_of(parent)
    except ParentError as error:
        raise RecipeError(
            f"mergekit is told of scales by the names of tensors, and the folder of {parent.name} cannot be read"
        ) from error


@dataclass(frozen=True)
class _Layer:
    """A hop with the factors of its layer's tensors."""

    hop: Hop
    factors: Factors

    def continues(self, other: _Layer) -> bool:
        """Whether both can be in one group, this one after the other."""
        here, there = self.hop, other.hop
        return (here.parent, here.layer, self.factors) == (there.parent, there.layer + 1, other.factors)


def _factors(absorption: Absorption, number: int, facts: ParentFacts, layer: int) -> Factors:
    """By parts of names, each with its factor, for layer `number` of the result, which is `layer` of this parent."""
    family = absorption.family
    parts = {
        **{
            stem.rpartition("{}.")[2]: _factor(absorption, f"{stem}.weight", number)
            for stem in family.output_projections
        },
        **{
            f"{stem.rpartition('{}.')[2]}.weight": _factor(absorption, f"{stem}.weight", number)
            for stem in family.stream_readers
        },
    }
    needed = {
        part: factor
        for part, factor in parts.items()
        if factor != 1 and not any(other != part and other in part and parts[other] == factor for other in parts)
    }
    for name in (name for name in facts.tensors if family.place(name) == layer):
        if next((needed[part] for part in needed if part in name), 1.0) != _factor(absorption, name, number):
            raise RecipeError(f"mergekit cannot be told of the scales: no part of {name} tells it from other tensors")
    return needed


def _factor(absorption: Absorption, name: str, place: Place) -> float:
    scaling = absorption.of(name, place)
    return 1.0 if scaling is None else scaling.factor


def _end(absorption: Absorption, at: int, place: Literal["before", "after"]) -> tuple[LayerGroup, float]:
    """A group without layers, and the factor that all tensors there have."""
    is_first = place == "before"
    name, tensors = ("embeddings", absorption.family.before) if is_first else ("head", absorption.family.after)
    group = LayerGroup(name, at, at, before=is_first, after=not is_first, sources=(Source(0, 0),))
    return group, _factor(absorption, tensors[0], place)


def _rows(layers: Sequence[_Layer]) -> Iterator[tuple[LayerGroup, float]]:
    """The layers' groups and the factor of each, neighbours that agree together."""
    start = 0
    for stop in range(1, len(layers) + 1):
        if stop < len(layers) and layers[stop].continues(layers[stop - 1]):
            continue
        first, name = layers[start], layers_name(start, stop)
        sources = (Source(first.hop.parent, first.hop.layer),)
        for part, factor in (*first.factors.items(), ("", 1.0)):
            label = f"{name} {part or 'rest'}" if first.factors else name
            yield LayerGroup(label, start, stop, before=False, after=False, filter=part, sources=sources), factor
        start = stop

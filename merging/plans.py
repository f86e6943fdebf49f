"""From a recipe to a plan: which tensors the result has, and from which tensors of which models each is made. No torch.

Knows families and what models' headers tell; reads no tensor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from merging.errors import RecipeError
from merging.families import Place
from merging.indexes import ParentFacts
from merging.recipes import Parent, Recipe, Source, layer_ranges


@dataclass(frozen=True)
class TensorOf:
    """A tensor of a model, by the name it has there."""

    parent: Parent
    name: str


@dataclass(frozen=True)
class TensorJob:
    """A tensor of the result, the layer group (by number) whose values it takes, and what it is made from.

    `sources` are the parents' tensors in the order of the group's values; `base` is None when the recipe has none.
    """

    name: str
    group: int
    sources: tuple[TensorOf, ...]
    base: TensorOf | None


def plan(recipe: Recipe, facts: Mapping[Parent, ParentFacts]) -> tuple[TensorJob, ...]:
    """What to merge, in order of data flow. `facts` are of all models of the recipe, and have been checked to fit.

    What lies before the layers comes from the models of the first range of layers, what comes after them from those of
    the last. RecipeError when the recipe's groups do not fit the number of layers that a model has.
    """
    planner = _Planner(recipe, facts)
    planner.check_depths()
    return tuple(job for place, numbers in planner.places() for job in planner.jobs_at(place, numbers))


@dataclass(frozen=True)
class _Planner:
    recipe: Recipe
    facts: Mapping[Parent, ParentFacts]

    def check_depths(self) -> None:
        """RecipeError unless every model has the layers that are taken from it."""
        for number, group in enumerate(self.recipe.groups):
            for source in self.recipe.sources_in(number):
                model = self._model(source)
                found = self.facts[model].n_layers
                if not group.sources and found != self._n_layers:
                    raise RecipeError(f"the recipe has groups for {self._n_layers} layers; {model.name} has {found}")
                stop = source.start + (group.stop or self._n_layers) - group.start
                if stop > found:
                    raise RecipeError(
                        f"layer group {group.name} takes layers {source.start} to {stop - 1} of {model.name}, "
                        f"which has {found}"
                    )

    def places(self) -> Iterator[tuple[Place, Sequence[int]]]:
        """Every place of the result with the numbers of the groups that cover it, in order of data flow."""
        ranges = layer_ranges(self.recipe.groups)
        yield "before", ranges[0]
        for numbers in ranges:
            group = self.recipe.groups[numbers[0]]
            stop = self._n_layers if group.stop is None else group.stop
            yield from ((layer, numbers) for layer in range(group.start, stop))
        yield "after", ranges[-1]

    def jobs_at(self, place: Place, numbers: Sequence[int]) -> Iterator[TensorJob]:
        """The tensors at one place. The models fit each other, so the first of them has the names of all."""
        sources, start = self.recipe.sources_in(numbers[0]), self.recipe.groups[numbers[0]].start
        names = self._names[self._model(sources[0])].get(_place_in(sources[0], place, start), ())
        for name in names:
            parents = [source for source in sources if source.parent is not None]
            bases = [source for source in sources if source.parent is None]
            made = self._renumbered(name, place)
            yield TensorJob(
                name=made,
                group=next(number for number in numbers if self.recipe.groups[number].filter in made),
                sources=tuple(self._tensor_of(source, name, place, start) for source in parents),
                base=self._tensor_of(bases[0], name, place, start) if bases else None,
            )

    @cached_property
    def _n_layers(self) -> int:
        return self.recipe.n_layers or self.facts[self.recipe.parents[0]].n_layers

    @cached_property
    def _names(self) -> Mapping[Parent, Mapping[Place, Sequence[str]]]:
        return {parent: _by_place(facts) for parent, facts in self.facts.items()}

    def _model(self, source: Source) -> Parent:
        model = self.recipe.base if source.parent is None else self.recipe.parents[source.parent]
        if model is None:
            raise RecipeError("a layer group takes layers of the base model, and the recipe has none")
        return model

    def _tensor_of(self, source: Source, name: str, place: Place, start: int) -> TensorOf:
        return TensorOf(self._model(source), self._renumbered(name, _place_in(source, place, start)))

    def _renumbered(self, name: str, place: Place) -> str:
        family = self.facts[self.recipe.donor].config.family
        return family.in_other_layer(name, place) if isinstance(place, int) else name


def _by_place(facts: ParentFacts) -> Mapping[Place, Sequence[str]]:
    """A model's tensors by where they sit. What belongs nowhere is merged first."""
    found: dict[Place, list[str]] = {}
    for name in facts.tensors:
        place = facts.config.family.place(name)
        found.setdefault("before" if place is None else place, []).append(name)
    return found


def _place_in(source: Source, place: Place, start: int) -> Place:
    """Where in a source's model that sits which is at `place` in the result. `start` is the first layer of the group."""
    return source.start + place - start if isinstance(place, int) else place

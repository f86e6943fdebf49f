"""From a recipe to a plan: which tensors the result has, and from which tensors of which models each is made. No torch.

Knows families and what models' headers tell; reads no tensor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

from merging.absorption import Absorption, Scaling
from merging.errors import ParentError, RecipeError
from merging.families import Place
from merging.indexes import ParentFacts
from merging.recipes import LayerGroup, Parent, Recipe, Source, layer_ranges
from merging.token_rows import ResultVocabulary, TokenRows, result_vocabulary

SCALED_BY_NUMBER: Final = "scale_attn_by_inverse_layer_idx"
"""GPT-2's: with it a layer with another number is another layer."""


@dataclass(frozen=True)
class TensorOf:
    """A tensor of a model, by the name it has in its file."""

    parent: Parent
    name: str


@dataclass(frozen=True)
class TensorJob:
    """A tensor of the result, the layer group (by number) whose values it takes, and what it is made from.

    `sources` are the parents' tensors in the order of the group's values; `base` is None when the recipe has none.
    `tokens` says which of their rows belong together where vocabularies differ; for None all tensors have one shape.
    `scaling` is what the scales of a path make of each before it is merged.
    """

    name: str
    group: int
    sources: tuple[TensorOf, ...]
    base: TensorOf | None
    tokens: TokenRows | None = field(default=None, compare=False)
    scaling: Scaling | None = None


def plan(recipe: Recipe, facts: Mapping[Parent, ParentFacts]) -> tuple[TensorJob, ...]:
    """What to merge, in order of data flow. `facts` are of all models of the recipe, and have been checked to fit.

    What lies before the layers comes from the models of the first range of layers, what comes after them from those of
    the last. RecipeError when the recipe's groups do not fit the number of layers that a model has, ParentError when
    vocabularies cannot be brought together as the recipe wants.
    """
    planner = _Planner(recipe, facts)
    planner.check_depths()
    jobs = tuple(job for place, numbers in planner.places() for job in planner.jobs_at(place, numbers))
    _check_embeddings(jobs)
    _check_shapes(jobs, facts)
    if recipe.is_stack:
        _check_stack(recipe, jobs, facts)
    return jobs


def stacked_layers(recipe: Recipe) -> Iterator[tuple[Parent, int]]:
    """For each layer of a stack, the first model that it is made from and the layer's number there."""
    for numbers in layer_ranges(recipe.groups):
        group, source = recipe.groups[numbers[0]], recipe.sources_in(numbers[0])[0]
        model = recipe.base if source.parent is None else recipe.parents[source.parent]
        if model is not None:
            yield from ((model, source.start + i) for i in range((group.stop or 0) - group.start))


def check_granularity(groups: Sequence[LayerGroup], facts: Mapping[Parent, ParentFacts]) -> None:
    """RecipeError for groups finer than the whole model where it is not known which tensors belong to which layer."""
    for model, found in facts.items():
        if not found.config.family.is_listed and any(group.stop is not None for group in groups):
            raise RecipeError(
                f"{model.name} is of {found.config.family.title}, of which no list says which tensors belong to which "
                "layer: expected one group over the whole model; groups by tensors' names are possible"
            )


@dataclass(frozen=True)
class _Planner:
    recipe: Recipe
    facts: Mapping[Parent, ParentFacts]

    def check_depths(self) -> None:
        """RecipeError unless every model has the layers that are taken from it, and is known to have layers at all."""
        check_granularity(self.recipe.groups, self.facts)
        for number, group in enumerate(self.recipe.groups):
            for source in self.recipe.sources_in(number):
                model = self._model(source)
                found = self.facts[model].n_layers
                if not group.sources and found != self._n_layers:
                    raise RecipeError(f"the recipe has groups for {self._n_layers} layers; {model.name} has {found}")
                stop = source.start + (self._n_layers if group.stop is None else group.stop) - group.start
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
        """The tensors at one place. The models fit each other, so that one of them has the names of all.

        Outside the layers that is the donor: only its configuration says whether there is an output embedding.
        """
        sources, start = self.recipe.sources_in(numbers[0]), self.recipe.groups[numbers[0]].start
        model = self._model(sources[0]) if isinstance(place, int) else self.recipe.donor
        names = self._names[model].get(_place_in(sources[0], place, start), ())
        for name in names:
            parents = [source for source in sources if source.parent is not None]
            bases = [source for source in sources if source.parent is None]
            made = self._renumbered(name, place)
            yield TensorJob(
                name=made,
                group=next(number for number in numbers if self.recipe.groups[number].filter in made),
                sources=tuple(self._tensor_of(source, name, place, start) for source in parents),
                base=self._tensor_of(bases[0], name, place, start) if bases else None,
                tokens=self._tokens_of(name, [self._model(source) for source in sources]),
                scaling=self._absorption.of(made, place),
            )

    def _tokens_of(self, name: str, models: Sequence[Parent]) -> TokenRows | None:
        """Only embeddings have a row for each token: the two that some models tie."""
        if self._vocabulary is None or name not in self.facts[self.recipe.donor].config.family.tied:
            return None
        self._vocabulary.check(models, name)
        return self._vocabulary.rows

    @cached_property
    def _vocabulary(self) -> ResultVocabulary | None:
        return result_vocabulary(self.recipe, self.facts)

    @cached_property
    def _absorption(self) -> Absorption:
        donor = self.facts[self.recipe.donor]
        return Absorption(self.recipe, donor.config.family, donor.tied_embeddings)

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
        model = self._model(source)
        wanted = self._renumbered(name, _place_in(source, place, start))
        try:
            return TensorOf(model, self.facts[model].called(wanted))
        except KeyError:  # layers of one model may be of several kinds
            raise ParentError(f"{model.name} has no {wanted}, which other models of the recipe have") from None

    def _renumbered(self, name: str, place: Place) -> str:
        family = self.facts[self.recipe.donor].config.family
        return family.in_other_layer(name, place) if isinstance(place, int) else name


def _check_embeddings(jobs: Sequence[TensorJob]) -> None:
    """RecipeError when one embedding is to be two tensors with other rows than it has."""
    seen: set[TensorOf] = set()
    for of in (of for job in jobs if job.tokens for of in {*job.sources, *([job.base] if job.base else [])}):
        if of in seen:
            raise RecipeError(
                f"{of.parent.name} ties its embeddings and others do not: expected models with equal tokenizers"
            )
        seen.add(of)


def _check_shapes(jobs: Sequence[TensorJob], facts: Mapping[Parent, ParentFacts]) -> None:
    """ParentError unless all tensors that one is made from have its shape. Of models side by side that is known; in a
    stack, layers of other numbers meet.
    """
    for job in jobs:
        shapes = [
            (of.parent, facts[of.parent].index[of.name].shape[0 if job.tokens is None else 1 :])
            for of in (*job.sources, *([job.base] if job.base else []))
        ]
        if other := next(((model, shape) for model, shape in shapes if shape != shapes[0][1]), None):
            raise ParentError(
                f"{job.name} would be made from {list(other[1])} of {other[0].name} and {list(shapes[0][1])} of "
                f"{shapes[0][0].name}: layers of different shape cannot be merged"
            )


def _check_stack(recipe: Recipe, jobs: Sequence[TensorJob], facts: Mapping[Parent, ParentFacts]) -> None:
    """ParentError unless stacked layers are a model: the tensors that the donor's configuration asks for, and of each kind
    of layer's tensor one shape. Layers of another family, of another width or with biases of their own are none.
    """
    if scaled := [model.name for model in recipe.models if facts[model].config.arithmetic.get(SCALED_BY_NUMBER)]:
        raise ParentError(
            f"{scaled[0]} divides attention by a layer's number ({SCALED_BY_NUMBER}): it cannot be stacked"
        )
    config = facts[recipe.donor].config
    layers = [(facts[model].config.layout, layer) for model, layer in stacked_layers(recipe)]
    dense = frozenset(i for i, (layout, layer) in enumerate(layers) if layer in layout.dense)
    wanted = config.family.required(replace(config.layout, n_layers=len(layers), dense=dense))
    here = {job.name: job for job in jobs}
    if differing := [name for name in (*wanted, *here) if name not in here or name not in wanted]:
        lacking = differing[0] not in here
        raise ParentError(
            f"stacked layers would {'lack' if lacking else 'have'} {differing[0]}, which a model like {recipe.donor.name} "
            f"{'has' if lacking else 'does not have'}: expected layers of models that were built alike"
        )
    seen: dict[str, tuple[Parent, tuple[int, ...]]] = {}
    for job in jobs:
        of = (*job.sources, *([job.base] if job.base else []))[0]
        shape = facts[of.parent].index[of.name].shape
        model, expected = seen.setdefault(config.family.in_other_layer(job.name, 0), (of.parent, shape))
        if shape != expected:
            raise ParentError(
                f"{job.name} would be {list(shape)} from {of.parent.name} and is {list(expected)} in layers from "
                f"{model.name}: layers of different shape cannot be stacked"
            )


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

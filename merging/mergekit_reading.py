"""From a mergekit file to a recipe: what it says at every level becomes values of layer groups.

mergekit resolves a parameter for each tensor: that of the source counts first, then that of the slice, then that of the
whole file; in a list of filters the first that is part of the tensor's name; of a gradient the point at the layer's
depth in its slice. Here the same is worked out once for each layer and filter, and equal neighbours are one group.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, groupby
from typing import Final, Protocol

from merging import plain
from merging.configs import MAX_LAYERS
from merging.errors import RecipeError
from merging.gradients import Choice, Choices, Number, chained, chosen, contained, ordered_filters, read_choices
from merging.indexes import parent_facts
from merging.mergekit_terms import (
    ASSUMED,
    ASSUMED_EVERYWHERE,
    FIRST_IS_BASE,
    FIXED,
    LAYER_NUMBER,
    PER_MODEL,
    REQUIRED,
    UNUSED,
    is_template,
    name_there,
)
from merging.methods import methods
from merging.parameters import Parameter
from merging.recipes import (
    Companions,
    Dtype,
    GroupValues,
    LayerGroup,
    Parent,
    ParentValues,
    Recipe,
    Source,
    Tokenizer,
    dtype_of,
    layers_name,
)
from merging.yamls import read_yaml

KEYS: Final = (
    "merge_method",
    "base_model",
    "models",
    "slices",
    "parameters",
    "dtype",
    "out_dtype",
    "tokenizer_source",
    "tokenizer",
    "chat_template",
)
MAX_NUMBERS: Final = 200_000
"""Values in all of a recipe's layer groups: 1,000 layers with four parents, six filters and eight parameters."""


class ModelFacts(Protocol):
    """What of a model some files need: its depth for gradients, names of its tensors for filters, its dtype."""

    @property
    def n_layers(self) -> int: ...
    @property
    def tensors(self) -> Collection[str]: ...
    @property
    def dtype(self) -> str: ...


FactsOf = Callable[[Parent], ModelFacts]


def _facts(parent: Parent) -> ModelFacts:
    return parent_facts(parent.folder)


def from_yaml(text: str, parent_of: Callable[[str], Parent], seed: int = 0, facts_of: FactsOf = _facts) -> Recipe:
    """The recipe of a mergekit file. `parent_of` finds the parent for a model as the file names it; `facts_of` is asked
    where the file leaves something to the models.

    RecipeError names what is missing, unknown, or cannot be built exactly as written.
    """
    return _Reading(read_yaml(text, "the recipe", RecipeError), parent_of, facts_of).recipe(seed)


@dataclass(frozen=True)
class _Source:
    """A model in a slice, its first layer there, and what the file says of it alone."""

    model: str
    start: int
    parameters: Mapping[str, Choices]


@dataclass(frozen=True)
class _Slice:
    """Models side by side over `depth` layers, all they have for None. `parents` are all of them but the base model."""

    what: str
    depth: int | None
    parents: tuple[_Source, ...]
    base: _Source | None
    parameters: Mapping[str, Choices]


@dataclass(frozen=True)
class _Column:
    """One number that every layer group of a slice has: a parameter of one of its parents, or of all for None."""

    parameter: Parameter
    parent: int | None
    choices: Choices


Branch = tuple[str, tuple[Choice, ...]]
"""A filter, and each column's choice for the tensors that come to it."""
Rows = tuple[tuple[str, tuple[Number, ...]], ...]
"""The columns' numbers for each filter; the last is for the rest of the tensors."""


@dataclass(frozen=True)
class _Numbers:
    """A layer group's numbers, one for each column."""

    n_parents: int
    columns: Sequence[_Column]
    row: Sequence[Number]

    def of_parents(self) -> tuple[ParentValues, ...]:
        return tuple(dict(self._named("parent", parent)) for parent in range(self.n_parents))

    def of_group(self) -> GroupValues:
        return dict(self._named("group", None))

    def of_recipe(self) -> Iterator[tuple[str, Number]]:
        """A name comes once for each parent where mergekit has it for each."""
        for parent in (None, *range(self.n_parents)):
            yield from self._named("recipe", parent)

    def _named(self, per: str, parent: int | None) -> Iterator[tuple[str, Number]]:
        for column, number in zip(self.columns, self.row, strict=True):
            if column.parameter.per == per and column.parent == parent:
                yield column.parameter.name, number


@dataclass(frozen=True)
class _Range:
    """Layers that share their rows."""

    start: int
    stop: int | None
    rows: Rows


class _Reading:
    """One file on its way to a recipe."""

    def __init__(self, content: Mapping[str, object], parent_of: Callable[[str], Parent], facts_of: FactsOf) -> None:
        _check_keys(content, KEYS, "the recipe")
        self._content, self._parent_of, self._facts_of = content, parent_of, facts_of
        self._method = methods.get(plain.text(content.get("merge_method"), "merge_method", RecipeError))
        named = content.get("base_model")
        self._base = None if named is None else _model_name(named, "base_model")
        self._found: dict[str, Parent] = {}

    def recipe(self, seed: int) -> Recipe:
        groups: list[LayerGroup] = []
        numbers: list[_Numbers] = []
        for one, start in zip(self._slices, self._starts, strict=True):
            columns = self._columns(one)
            for layers in self._ranges(one, start, self._branches(one, start, columns)):
                groups.extend(_groups(layers, self._stacked(one, layers.start - start)))
                numbers.extend(_Numbers(len(one.parents), columns, row) for _, row in layers.rows)
                if len(numbers) * len(columns) > MAX_NUMBERS:
                    raise RecipeError(f"the recipe has more than {MAX_NUMBERS} values; expected fewer groups of layers")
        ends = (groups[0].start, groups[0].stop), (groups[-1].start, groups[-1].stop)
        has_base = self._method.base != "none"
        if self._base is not None and not has_base and self._base not in self._models:
            raise RecipeError(
                f"base_model is {self._base}, which takes part in no slice: {self._method.title} has no use for it"
            )
        return Recipe(
            method=self._method.name,
            base=self._parent(self._base) if self._base is not None and has_base else None,
            parents=tuple(self._parent(model) for model in self._models),
            groups=tuple(
                replace(group, before=(group.start, group.stop) == ends[0], after=(group.start, group.stop) == ends[1])
                for group in groups
            ),
            values=tuple(row.of_parents() for row in numbers),
            settings=self._settings(numbers),
            seed=seed,
            dtype=self._dtype("out_dtype", "dtype"),
            shared=tuple(row.of_group() for row in numbers) if self._method.per_group() else (),
            companions=Companions(self._tokenizer(), self._chat_template()),
            as_mergekit=self._dtype("dtype"),
        )

    @cached_property
    def _top(self) -> Mapping[str, Choices]:
        return self._parameters(self._content, "the recipe", is_model=False)

    @cached_property
    def _slices(self) -> tuple[_Slice, ...]:
        if ("models" in self._content) == ("slices" in self._content):
            raise RecipeError("the recipe needs either models or slices")
        if "models" in self._content:
            return (self._whole(self._content["models"]),)
        found = plain.items(self._content["slices"], "slices", RecipeError, self._slice)
        if not any(one.depth for one in found):
            raise RecipeError("the slices have no layers; expected at least one")
        if idle := [one.what for one in found[1:-1] if not one.depth]:
            raise RecipeError(f"{idle[0]} has no layers; only the first slice and the last may have none")
        if (depth := sum(one.depth or 0 for one in found)) > MAX_LAYERS:
            raise RecipeError(f"the slices have {depth} layers; expected at most {MAX_LAYERS}")
        return found

    @cached_property
    def _models(self) -> tuple[str, ...]:
        """The parents in the order in which they first appear."""
        return tuple(dict.fromkeys(source.model for one in self._slices for source in one.parents))

    @cached_property
    def _starts(self) -> tuple[int, ...]:
        """At which layer of the result each slice begins."""
        return tuple(accumulate((one.depth or 0 for one in self._slices[:-1]), initial=0))

    @cached_property
    def _is_stack(self) -> bool:
        """Whether a layer of the result is made from others than the same layers of all models, or some are left out."""
        if "models" in self._content:
            return False
        moved = any(
            source.start != start
            for one, start in zip(self._slices, self._starts, strict=True)
            for source in (*one.parents, *([one.base] if one.base else []))
        )
        differ = any(tuple(source.model for source in one.parents) != self._models for one in self._slices)
        return moved or differ or sum(one.depth or 0 for one in self._slices) != self._facts_of(self._first).n_layers

    @property
    def _first(self) -> Parent:
        return self._parent(self._models[0])

    def _parent(self, model: str) -> Parent:
        if model not in self._found:
            self._found[model] = self._parent_of(model)
        return self._found[model]

    def _whole(self, value: object) -> _Slice:
        """`models`: one slice over all layers, to which mergekit adds a base model that is not listed."""
        sources = plain.items(value, "models", RecipeError, self._model)
        if self._base is not None and self._base not in [source.model for source in sources]:
            sources = (*sources, _Source(self._base, 0, {}))
        one = self._sorted(_Slice("models", None, sources, None, {}))
        steps = [choice.steps for column in self._columns(one) for choice in column.choices]
        if max((len(of_choice) for of_choice in steps), default=1) == 1 or not one.parents:
            return one
        return replace(one, depth=self._facts_of(self._parent(one.parents[0].model)).n_layers)

    def _model(self, value: object, what: str) -> _Source:
        found = plain.mapping(value, what, RecipeError)
        _check_keys(found, ("model", "parameters"), what)
        return self._source(found, what, 0)

    def _slice(self, value: object, what: str) -> _Slice:
        found = plain.mapping(value, what, RecipeError)
        _check_keys(found, ("sources", "parameters", "base_model"), what)
        if found.get("base_model", self._base) != self._base:
            raise RecipeError(f"base_model of {what} is {found['base_model']!r}; expected that of the recipe")
        read = plain.items(found.get("sources"), f"sources of {what}", RecipeError, self._range)
        depths = {depth for _, depth in read}
        if len(depths) != 1:
            raise RecipeError(
                f"the sources of {what} have {len(depths)} different numbers of layers; expected one: layers are merged side by side"
            )
        shared = self._parameters(found, what, is_model=False)
        return self._sorted(_Slice(what, depths.pop(), tuple(source for source, _ in read), None, shared))

    def _range(self, value: object, what: str) -> tuple[_Source, int]:
        """A source and how many layers it gives."""
        found = plain.mapping(value, what, RecipeError)
        _check_keys(found, ("model", "layer_range", "parameters"), what)
        bounds = plain.items(found.get("layer_range"), f"layer_range of {what}", RecipeError, _layer)
        if len(bounds) != 2 or not 0 <= bounds[0] <= bounds[1] <= MAX_LAYERS:
            raise RecipeError(
                f"layer_range of {what} is {list(bounds)}; expected the first layer and the one after the last"
            )
        return self._source(found, what, bounds[0]), bounds[1] - bounds[0]

    def _source(self, found: Mapping[str, object], what: str, start: int) -> _Source:
        model = _model_name(found.get("model"), f"model of {what}")
        is_base = model == self._base and self._method.base != "none"
        parameters = {} if is_base else self._parameters(found, what, is_model=True)
        return _Source(model, start, parameters)  # what a file says of its base model, mergekit does not use

    def _sorted(self, one: _Slice) -> _Slice:
        """The slice with its base model told apart, or put first where it is one of two equals."""
        names = [source.model for source in one.parents]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise RecipeError(f"{one.what} has the model {twice} {names.count(twice)} times; expected once")
        is_first = self._method.name in FIRST_IS_BASE
        if self._base is None and is_first:
            raise RecipeError(f"base_model is missing; {self._method.title} starts from it")
        if self._base is None or (self._method.base == "none" and not is_first):
            return one
        bases = [source for source in one.parents if source.model == self._base]
        others = tuple(source for source in one.parents if source.model != self._base)
        if not bases:
            raise RecipeError(f"{one.what} lacks the base model {self._base}; expected it among the sources")
        return replace(one, parents=(*bases, *others)) if is_first else replace(one, parents=others, base=bases[0])

    def _parameters(self, found: Mapping[str, object], what: str, is_model: bool) -> Mapping[str, Choices]:
        """What one level says, by our names; RecipeError for what mergekit would ignore there or we cannot do."""
        given = plain.mapping(found.get("parameters") or {}, f"parameters of {what}", RecipeError)
        known = {name_there(self._method.name, p.name): p for p in self._method.parameters}
        read: dict[str, Choices] = {}
        for name, value in given.items():
            if name == "int8_mask" or name in UNUSED.get(self._method.name, ()):
                continue
            if name in (fixed := FIXED.get(self._method.name, {})):
                if value != fixed[name]:
                    raise RecipeError(
                        f"{name} of {what} is {plain.show(value)}; {self._method.title} has only {fixed[name]}"
                    )
                continue
            if name not in known:
                raise RecipeError(
                    f"{what} has the parameter {name}; {self._method.title} knows {', '.join(known) or 'none'}"
                )
            if is_model and known[name].per != "parent" and name not in PER_MODEL:
                raise RecipeError(
                    f"{what} has the parameter {name}, which belongs to all models: mergekit ignores it here"
                )
            read[known[name].name] = read_choices(value, known[name], f"{name} of {what}")
        return read

    def _columns(self, one: _Slice) -> tuple[_Column, ...]:
        parents = list(enumerate(one.parents))
        own = [(p, i, source) for i, source in parents for p in self._method.per_parent()]
        own += [(p, i, source) for p in self._method.per_recipe() if p.name in PER_MODEL for i, source in parents]
        common = [p for p in (*self._method.per_group(), *self._method.per_recipe()) if p.name not in PER_MODEL]
        return (
            *(_Column(p, i, self._chained(p, one, source)) for p, i, source in own),
            *(_Column(p, None, self._chained(p, one, None)) for p in common),
        )

    def _chained(self, parameter: Parameter, one: _Slice, source: _Source | None) -> Choices:
        levels = [*([source.parameters] if source else []), one.parameters, self._top]
        given = chained(level.get(parameter.name, ()) for level in levels)
        found = chained((given, self._assumed(parameter)))
        if not found or found[-1].filter:
            of = f" of {source.model}" if source else ""
            missing = "has filters but no value for the rest of the tensors" if found else "is missing"
            raise RecipeError(f"{name_there(self._method.name, parameter.name)}{of} {missing} in {one.what}")
        return found

    def _assumed(self, parameter: Parameter) -> Choices:
        if parameter.name in REQUIRED:
            return ()
        default: Number = bool(parameter.default) if parameter.kind == "flag" else parameter.default
        known = {**ASSUMED_EVERYWHERE, **ASSUMED.get(self._method.name, {})}
        return (Choice("", (known.get(parameter.name, default),)),)

    def _branches(self, one: _Slice, start: int, columns: Sequence[_Column]) -> tuple[Branch, ...]:
        """Which choices hold for which filter. Where two filters of different lists are part of one name, the names of
        the model's tensors decide, and tensors that need it become filters themselves.
        """
        filters = ordered_filters([column.choices for column in columns])
        if any(source.start != start and LAYER_NUMBER.search(part) for source in one.parents for part in filters):
            raise RecipeError(
                f"{one.what} moves layers and has filters with a layer's number; expected only one of both"
            )
        branches = [(part, _choices(columns, contained(filters, part))) for part in (*filters, "")]
        if not _is_ambiguous(columns, filters, branches):
            return tuple(branches)
        names = self._facts_of(self._parent(one.parents[0].model)).tensors
        own: dict[str, tuple[Choice, ...]] = {}
        for name in names:
            wanted = _choices(columns, contained(filters, name))
            if wanted != _first(branches, name):
                tail = re.sub(r"^.*?\.[0-9]+\.", "", name)
                own[tail if contained(filters, tail) == contained(filters, name) else name] = wanted
        branches = [*sorted(own.items(), key=lambda branch: -len(branch[0])), *branches]
        if wrong := [name for name in names if _choices(columns, contained(filters, name)) != _first(branches, name)]:
            raise RecipeError(
                f"the filters {', '.join(filters)} of {one.what} overlap in {wrong[0]}: write fewer of them"
            )
        return tuple(branches)

    def _ranges(self, one: _Slice, start: int, branches: Sequence[Branch]) -> Iterator[_Range]:
        outside, depth = _rows(branches, 0.0), one.depth
        if depth is None:
            yield _Range(0, None, outside)
            return
        if depth == 0:
            yield _Range(start, start, outside)
            return
        rows = [_rows(branches, i / (depth - 1) if depth > 1 else 1.0) for i in range(depth)]
        if one is self._slices[0] and outside != rows[0]:
            yield _Range(0, 0, outside)
        for same, run in groupby(range(depth), key=rows.__getitem__):
            layers = list(run)
            yield _Range(start + layers[0], start + layers[-1] + 1, same)
        if one is self._slices[-1] and outside != rows[-1]:
            yield _Range(start + depth, start + depth, outside)

    def _stacked(self, one: _Slice, depth: int) -> tuple[Source, ...]:
        """Where layers from this depth of the slice on come from; nothing to say of layers that lie where they lay."""
        if not self._is_stack:
            return ()
        parents = (Source(self._models.index(source.model), source.start + depth) for source in one.parents)
        return (*parents, *([Source(None, one.base.start + depth)] if one.base else []))

    def _settings(self, numbers: Sequence[_Numbers]) -> dict[str, Number]:
        found: dict[str, Number] = {}
        for row in numbers:
            for name, number in row.of_recipe():
                if found.setdefault(name, number) != number:
                    raise RecipeError(
                        f"{name_there(self._method.name, name)} is {found[name]} for some tensors and {number} for "
                        f"others; {self._method.title} has one value for all"
                    )
        return found

    def _dtype(self, *keys: str) -> Dtype:
        """The first of these that the file has; otherwise that of the models, as mergekit leaves tensors as they are."""
        for key in keys:
            if (value := self._content.get(key)) is not None:
                return dtype_of(value.removeprefix("torch.") if isinstance(value, str) else value)
        models = [*self._models, *([self._base] if self._base else [])]
        found = sorted({self._facts_of(self._parent(model)).dtype for model in models})
        if len(found) != 1:
            raise RecipeError(f"dtype is missing, and the models have {' and '.join(found)}: write the one to merge in")
        return dtype_of(found[0])

    def _tokenizer(self) -> Tokenizer:
        source = self._tokenizer_source()
        if source is None:
            return "same"
        if source == "union":
            return "union"
        if source == "base" and self._base is None:
            raise RecipeError("tokenizer_source is base; expected a base_model in the recipe")
        model = self._base if source == "base" else source
        if model == self._base and self._method.base != "none":
            return "base"
        if model == self._models[0]:
            return "first"
        raise RecipeError(
            f"tokenizer_source is {plain.show(source)}; expected union, base, the base model or the first of the models: "
            "list the model first"
        )

    def _tokenizer_source(self) -> object:
        simple, whole = self._content.get("tokenizer_source"), self._content.get("tokenizer")
        if whole is None:
            return simple
        if simple is not None:
            raise RecipeError("the recipe has both tokenizer_source and tokenizer; expected one")
        found = plain.mapping(whole, "tokenizer", RecipeError)
        _check_keys({name: value for name, value in found.items() if value}, ("source",), "tokenizer")
        return found.get("source", "union")

    def _chat_template(self) -> str:
        found = plain.optional_text(self._content.get("chat_template"), "chat_template", RecipeError) or ""
        if found and not is_template(found):
            raise RecipeError(f"chat_template is {plain.show(found)}; expected the template itself, in Jinja")
        return found


def _check_keys(found: Mapping[str, object], known: Sequence[str], what: str) -> None:
    if unknown := sorted(set(found) - set(known)):
        raise RecipeError(
            f"{what} has {', '.join(unknown)}, which cannot be built as written; known: {', '.join(known)}"
        )


def _model_name(value: object, what: str) -> str:
    found = plain.text(value, what, RecipeError)
    if "+" in found:
        raise RecipeError(f"{what} is {plain.show(found)}, a model with an adapter: merge the adapter into it first")
    return found


def _layer(value: object, what: str) -> int:
    return plain.integer(value, what, RecipeError)


def _choices(columns: Sequence[_Column], parts: Set[str]) -> tuple[Choice, ...]:
    """Each column's choice for names that contain just these filters. Every column has one for the rest."""
    found = (chosen(column.choices, parts) for column in columns)
    return tuple(choice for choice in found if choice is not None)


def _first(branches: Sequence[Branch], name: str) -> tuple[Choice, ...]:
    return next(choices for part, choices in branches if part in name)


def _is_ambiguous(columns: Sequence[_Column], filters: Sequence[str], branches: Sequence[Branch]) -> bool:
    """Whether a name that comes to some filter would get other choices if it contained a later one as well."""
    return any(
        _choices(columns, contained(filters, part) | {later}) != choices
        for i, (part, choices) in enumerate(branches[:-1])
        for later in filters[i + 1 :]
    )


def _rows(branches: Sequence[Branch], depth: float) -> Rows:
    """The numbers at a depth, without filters that say the same as the rest."""
    rows = [(part, tuple(choice.at(depth) for choice in choices)) for part, choices in branches]
    while len(rows) > 1 and rows[-2][1] == rows[-1][1]:
        del rows[-2]
    return tuple(rows)


def _groups(layers: _Range, sources: tuple[Source, ...]) -> Iterator[LayerGroup]:
    """A group for each filter; they may yet be the first or the last."""
    start, stop = layers.start, layers.stop
    if stop is None:
        name = "model"
    elif start == stop:
        name = "head" if start else "embeddings"
    else:
        name = layers_name(start, stop)
    is_divided = len(layers.rows) > 1
    for part, _ in layers.rows:
        yield LayerGroup(f"{name} {part or 'rest'}" if is_divided else name, start, stop, False, False, part, sources)

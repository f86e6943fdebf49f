"""A recipe is all that is needed to build a merged model. This is the one place where a recipe is checked.

Knows what methods declare, not how they compute; knows parents by name, folder and fingerprint, and never opens a
folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import groupby
from pathlib import PurePath
from typing import Final, Literal, get_args

from merging import plain
from merging.errors import RecipeError
from merging.hops import Hop, LayerPath, check_scale
from merging.methods import methods
from merging.methods.method import Method
from merging.parameters import Parameter
from merging.words import joined

Dtype = Literal["float32", "bfloat16", "float16"]
DTYPES: Final[tuple[Dtype, ...]] = get_args(Dtype)
Tokenizer = Literal["same", "base", "first", "union"]
TOKENIZERS: Final[tuple[Tokenizer, ...]] = get_args(Tokenizer)
MAX_SEED: Final = 2**63 - 1

Settings = Mapping[str, float | bool]
ParentValues = Mapping[str, float]
GroupValues = Mapping[str, float]


@dataclass(frozen=True)
class Parent:
    """A model that takes part: a name for people, an absolute folder, and the fingerprint of the files in it."""

    name: str
    folder: str
    fingerprint: str

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise RecipeError(f"the parent in {self.folder} has no name")
        if not PurePath(self.folder).is_absolute():
            raise RecipeError(f"the folder of {self.name} is {self.folder!r}; expected an absolute path")


@dataclass(frozen=True)
class Source:
    """A model's layers from `start` on. `parent` counts the recipe's parents from 0; None is the base model."""

    parent: int | None
    start: int


@dataclass(frozen=True)
class LayerGroup:
    """Layers `start` to `stop` (exclusive) of the result that share their values; `stop` None is the last layer, however
    many there are.

    `before` adds what comes before the layers (the input embedding), `after` what comes after them (final norm, output
    embedding). A group without layers, `start == stop`, holds only those.

    Groups of one range stand together. All but the last have a `filter`, part of a tensor's name such as `self_attn`: a
    tensor belongs to the first of them whose filter its name contains, otherwise to the last.

    Without `sources`, layers of the result are made from the layers of all models with the same numbers. With them only
    these models take part, each from its own `start`, and the group's values are theirs: layers are stacked.
    """

    name: str
    start: int
    stop: int | None
    before: bool
    after: bool
    filter: str = ""
    sources: tuple[Source, ...] = ()


WHOLE_MODEL: Final = LayerGroup("model", 0, None, before=True, after=True)


@dataclass(frozen=True)
class Companions:
    """What goes with the tensors: whose vocabulary the result has, and how it is prompted.

    `tokenizer`: "same" is that of every model, and they must not differ; "base" and "first" are that of the base model
    or of the first parent, and rows of other models are found by token; "union" adds to the donor's tokens those that
    only others have. `chat_template` is Jinja; "" is the donor's own.
    """

    tokenizer: Tokenizer = "same"
    chat_template: str = ""


@dataclass(frozen=True)
class Recipe:
    """Which parents, which method and its numbers: `values[group][parent][parameter]` for what each parent has of its own,
    `shared[group][parameter]` for what all parents of a group share, and `settings` for all of it.

    `groups` tile all layers in order. `shared` is empty when the method has nothing of the kind. `seed` fixes what a
    method draws at random. Tensors are rounded to `dtype` once, at the end. With `as_mergekit` they are merged in that
    dtype and by mergekit's rules, where these differ from ours: the tensors that its own user had.

    `scales` are of a path: one for each layer, by which the residual stream is multiplied on its way in; empty when all
    are 1. What is built has none: they are absorbed into its tensors (`absorption.py`).
    """

    method: str
    base: Parent | None
    parents: tuple[Parent, ...]
    groups: tuple[LayerGroup, ...]
    values: tuple[tuple[ParentValues, ...], ...]
    settings: Settings
    seed: int
    dtype: Dtype
    shared: tuple[GroupValues, ...] = ()
    companions: Companions = Companions()
    as_mergekit: Dtype | None = None
    scales: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        method = methods.get(self.method)
        _check_names_of(self.parents)
        _check_groups(self.groups)
        _check_sources(self, method)
        _check_values(self, method.per_parent())
        _check_shared(self, method.per_group())
        check_settings(method, self.settings)
        _check_companions(self)
        _check_seed_and_dtypes(self)
        _check_scales(self)
        scales = tuple(float(scale) for scale in self.scales)
        object.__setattr__(self, "scales", () if {*scales} == {1.0} else scales)  # so that one model has one digest

    @property
    def models(self) -> tuple[Parent, ...]:
        """The parents, then the base model if there is one."""
        return (*self.parents, *((self.base,) if self.base is not None else ()))

    @property
    def n_layers(self) -> int | None:
        """How many layers the result has; None for groups over the whole model, which fit any depth."""
        return self.groups[-1].stop

    @property
    def is_stack(self) -> bool:
        """Whether some layers of the result come from other places than the same layers of all models."""
        return any(group.sources for group in self.groups)

    @cached_property
    def path(self) -> LayerPath | None:
        """The path that the recipe is: stacked layers as they are stored, each from one model, between the ends of the first
        parent. None for any other recipe, also for a stack whose head is another parent's.
        """
        if not _is_path(self):
            return None
        layers = [
            (source.parent, source.start + i)
            for numbers in layer_ranges(self.groups)
            for source in self.sources_in(numbers[0])
            for i in range((self.groups[numbers[0]].stop or 0) - self.groups[numbers[0]].start)
        ]
        scales = self.scales or (1.0,) * len(layers)
        return LayerPath(
            tuple(Hop(parent or 0, layer, scale) for (parent, layer), scale in zip(layers, scales, strict=True))
        )

    @property
    def donor(self) -> Parent:
        """Whose configuration and tokenizer the result starts from."""
        first = self.groups[0].sources
        if self.base is not None and (
            self.companions.tokenizer in ("base", "union") or (first and first[0].parent is None)
        ):
            return self.base
        return self.parents[(first[0].parent or 0) if first else 0]

    def parents_in(self, group: int) -> tuple[Parent, ...]:
        """The parents that take part in a group, in the order of its values."""
        return tuple(self.parents[source.parent] for source in self.sources_in(group) if source.parent is not None)

    def sources_in(self, group: int) -> tuple[Source, ...]:
        """Where a group's layers come from: its own sources, or all parents in order and then the base model."""
        chosen = self.groups[group]
        everybody = (*range(len(self.parents)), *((None,) if self.base is not None else ()))
        return chosen.sources or tuple(Source(model, chosen.start) for model in everybody)

    def to_json(self) -> dict[str, object]:
        """Plain JSON types, the opposite of `from_json`."""
        return {
            "method": self.method,
            "base": None if self.base is None else asdict(self.base),
            "parents": [asdict(parent) for parent in self.parents],
            "groups": [_group_json(group) for group in self.groups],
            "values": [[dict(of_parent) for of_parent in row] for row in self.values],
            "settings": dict(self.settings),
            "seed": self.seed,
            "dtype": self.dtype,
            "shared": [dict(of_group) for of_group in self.shared],
            "companions": asdict(self.companions),
            "as_mergekit": self.as_mergekit,
            **({"scales": list(self.scales)} if self.scales else {}),  # digests from before paths stay as they are
        }

    @staticmethod
    def from_json(value: object) -> Recipe:
        """The recipe that `to_json` wrote; RecipeError names what is missing, unknown or wrong."""
        given = {"scales": [], **plain.mapping(value, "the recipe", RecipeError)}
        found = plain.fields(given, tuple(Recipe.__dataclass_fields__), "the recipe", RecipeError)
        base, as_mergekit = found["base"], found["as_mergekit"]
        return Recipe(
            method=plain.text(found["method"], "method", RecipeError),
            base=None if base is None else _parent(base, "base"),
            parents=plain.items(found["parents"], "parents", RecipeError, _parent),
            groups=plain.items(found["groups"], "groups", RecipeError, _group),
            values=plain.items(found["values"], "values", RecipeError, _row),
            settings=_settings(found["settings"], "settings"),
            seed=plain.integer(found["seed"], "seed", RecipeError),
            dtype=dtype_of(found["dtype"]),
            shared=plain.items(found["shared"], "shared", RecipeError, _numbers),
            companions=_companions(found["companions"], "companions"),
            as_mergekit=None if as_mergekit is None else dtype_of(as_mergekit),
            scales=plain.items(found["scales"], "scales", RecipeError, _scale),
        )

    def content(self) -> dict[str, object]:
        """What is built, as plain JSON types: without folders, because the same parents may lie elsewhere."""
        return self.to_json() | {
            "parents": [_without_folder(parent) for parent in self.parents],
            "base": None if self.base is None else _without_folder(self.base),
        }

    def digest(self) -> str:
        """`sha256:...` of the content."""
        return plain.digest(self.content())

    def sentence(self) -> str:
        """The recipe in plain language; with several groups, each value as its range over the groups."""
        if (path := self.path) is not None:
            return path.sentence([parent.name for parent in self.parents])
        method = methods.get(self.method)
        shares = [f"{parent.name}{self._values_of(i, method)}" for i, parent in enumerate(self.parents)]
        shared = [f"{p.name} {_span([of_group[p.name] for of_group in self.shared])}" for p in method.per_group()]
        groups = f" with {joined(shared)}" if shared else ""
        groups += f" in {len(self.groups)} layer groups" if len(self.groups) > 1 else ""
        groups += f" stacked to {self.n_layers} layers" if self.is_stack else ""
        over = f" over {self.base.name}" if self.base is not None else ""
        return f"{method.title}{groups}: {joined(shares)}{over}{self._changed_settings(method)}."

    def _values_of(self, parent: int, method: Method) -> str:
        own = self.parents[parent]
        present = [(row, self.parents_in(number)) for number, row in enumerate(self.values)]
        rows = [row[parents.index(own)] for row, parents in present if own in parents]
        named = {p.name: [row[p.name] for row in rows] for p in method.per_parent()}
        if method.max_parents == 1:  # nothing to compare with: what is usual goes without saying
            named = {p.name: named[p.name] for p in method.per_parent() if {*named[p.name]} != {p.default}}
        shown = ", ".join(f"{name} {_span(values)}" for name, values in named.items())
        return f" ({shown})" if shown else ""

    def _changed_settings(self, method: Method) -> str:
        default = method.default_settings()
        changed = [_setting(name, value) for name, value in self.settings.items() if value != default[name]]
        return "".join(f", {words}" for words in changed)


def passthrough_recipe(parent: Parent, dtype: Dtype = "float32") -> Recipe:
    """The parent as it is. float32 holds every parent exactly."""
    unchanged = {parameter.name: parameter.default for parameter in methods.get("passthrough").per_parent()}
    return Recipe("passthrough", None, (parent,), (WHOLE_MODEL,), ((unchanged,),), {}, 0, dtype)


def uniform_average(parents: Sequence[Parent], dtype: Dtype = "float32") -> Recipe:
    """The mean of all parents: the baseline that needs no search."""
    row = tuple({"weight": 1.0} for _ in parents)
    return Recipe("linear", None, tuple(parents), (WHOLE_MODEL,), (row,), {"normalize": True}, 0, dtype)


def layers_name(start: int, stop: int) -> str:
    """What a group of these layers is called."""
    return f"layer {start}" if stop == start + 1 else f"layers {start}-{stop - 1}"


def layer_ranges(groups: Sequence[LayerGroup]) -> tuple[tuple[int, ...], ...]:
    """The numbers of the groups of each range of layers, in order."""
    numbered = groupby(enumerate(groups), key=lambda pair: (pair[1].start, pair[1].stop))
    return tuple(tuple(number for number, _ in of_range) for _, of_range in numbered)


def check_parents(method: Method, parents: Sequence[Parent], base: Parent | None) -> None:
    """RecipeError unless the method takes so many parents, has the base model it needs, and no name comes twice."""
    _check_number(method, len(parents), method.title)
    _check_base(method, base)
    _check_names_of(parents)


def check_settings(method: Method, settings: Settings) -> None:
    """RecipeError unless there is exactly one valid value for each of the method's settings."""
    _check_names(settings, method.per_recipe(), method.title)
    for parameter in method.per_recipe():
        parameter.check(settings[parameter.name], method.title)


def _check_number(method: Method, found: int, where: str) -> None:
    most = method.max_parents
    if found < method.min_parents or (most is not None and found > most):
        least = method.min_parents
        expected = f"{least} or more" if most is None else str(most) if most == least else f"{least} to {most}"
        raise RecipeError(f"{where} takes {expected} {'parent' if most == 1 else 'parents'}, found {found}")


def _check_base(method: Method, base: Parent | None) -> None:
    if method.needs_base and base is None:
        raise RecipeError(f"{method.title} measures task vectors from a base model: choose one")
    if base is not None and method.base == "none":
        raise RecipeError(f"{method.title} uses no base model, found {base.name}: leave it out")


def _check_names_of(parents: Sequence[Parent]) -> None:
    names = [parent.name for parent in parents]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise RecipeError(f"{', '.join(twice)} is named more than once among the parents")


def _check_groups(groups: Sequence[LayerGroup]) -> None:
    if not groups:
        raise RecipeError("the recipe has no layer group; expected at least one")
    position, ranges = 0, layer_ranges(groups)
    for i, numbers in enumerate(ranges):
        of_range = [groups[number] for number in numbers]
        position = _check_range(of_range, position, is_first=i == 0, is_last=i == len(ranges) - 1)
        _check_filters(of_range)


def _check_range(groups: Sequence[LayerGroup], position: int, is_first: bool, is_last: bool) -> int:
    """Where the range ends, and the next must begin."""
    group = groups[0]
    if group.start != position:
        raise RecipeError(f"layer group {group.name} starts at layer {group.start}; expected {position}")
    if group.stop is None and not (is_first and is_last):
        raise RecipeError(f"layer group {group.name} has no end; only groups over the whole model may")
    if group.stop is not None and group.stop < group.start + (not group.before and not group.after):
        raise RecipeError(
            f"layer group {group.name} covers layers {group.start} to {group.stop}; expected at least one"
        )
    if any((one.before, one.after) != (is_first, is_last) for one in groups):
        raise RecipeError(
            f"layer group {group.name}: expected `before` on groups of the first range only, `after` on those of the last"
        )
    return group.start if group.stop is None else group.stop


def _check_filters(groups: Sequence[LayerGroup]) -> None:
    filters = [group.filter for group in groups]
    if filters[-1] or "" in filters[:-1]:
        raise RecipeError(
            f"layer groups {_list(group.name for group in groups)} have the filters {filters}; "
            "expected every group of a range but the last to have one"
        )
    if twice := sorted({name for name in filters if filters.count(name) > 1}):
        raise RecipeError(f"the filter {twice[0]!r} comes twice in the layers of group {groups[0].name}")
    if any(group.sources != groups[0].sources for group in groups):
        raise RecipeError(f"layer group {groups[0].name} has other sources than the groups with the same layers")


def _check_sources(recipe: Recipe, method: Method) -> None:
    _check_base(method, recipe.base)
    for i, group in enumerate(recipe.groups):
        where = f"layer group {group.name}"
        models = [source.parent for source in group.sources]
        if group.sources and group.stop is None:
            raise RecipeError(f"{where} has sources but no end; expected the number of layers that it stacks")
        for source in group.sources:
            if source.parent not in (None, *range(len(recipe.parents))) or source.start < 0:
                raise RecipeError(f"{where} has the source {source}; the recipe has {len(recipe.parents)} parents")
        if len(set(models)) < len(models):
            raise RecipeError(f"{where} has a model more than once among its sources")
        if group.sources and (None in models) != (recipe.base is not None):
            raise RecipeError(f"{where} must have the base model among its sources exactly when the recipe has one")
        _check_number(method, len(recipe.parents_in(i)), f"{method.title} in {where}" if models else method.title)
    taking_part = {parent for i in range(len(recipe.groups)) for parent in recipe.parents_in(i)}
    if idle := [parent.name for parent in recipe.parents if parent not in taking_part]:
        raise RecipeError(f"{_list(idle)} takes part in no layer group: leave it out")


def _check_values(recipe: Recipe, parameters: Sequence[Parameter]) -> None:
    if len(recipe.values) != len(recipe.groups):
        raise RecipeError(f"values for {len(recipe.values)} layer groups; expected {len(recipe.groups)}")
    for i, (group, row) in enumerate(zip(recipe.groups, recipe.values, strict=True)):
        parents = recipe.parents_in(i)
        if len(row) != len(parents):
            raise RecipeError(f"layer group {group.name} has values for {len(row)} parents; expected {len(parents)}")
        for parent, values in zip(parents, row, strict=True):
            where = f"{parent.name} in layer group {group.name}"
            _check_names(values, parameters, where)
            for parameter in parameters:
                parameter.check(values[parameter.name], where)


def _check_shared(recipe: Recipe, parameters: Sequence[Parameter]) -> None:
    expected = len(recipe.groups) if parameters else 0
    if len(recipe.shared) != expected:
        raise RecipeError(f"shared values for {len(recipe.shared)} layer groups; expected {expected}")
    for group, shared in zip(recipe.groups, recipe.shared, strict=False):
        _check_names(shared, parameters, f"layer group {group.name}")
        for parameter in parameters:
            parameter.check(shared[parameter.name], f"layer group {group.name}")


def _check_companions(recipe: Recipe) -> None:
    if tokenizer_of(recipe.companions.tokenizer) == "base" and recipe.base is None:
        raise RecipeError("the tokenizer is that of the base model, and the recipe has none: choose first or union")


def _check_names(values: Mapping[str, object], parameters: Sequence[Parameter], where: str) -> None:
    expected = [parameter.name for parameter in parameters]
    if set(values) != set(expected):
        raise RecipeError(f"{where} has values for {_list(values)}; expected {_list(expected)}")


def _check_seed_and_dtypes(recipe: Recipe) -> None:
    seed = recipe.seed
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MAX_SEED:
        raise RecipeError(f"the seed is {seed!r}; expected a whole number from 0 to {MAX_SEED}")
    dtype_of(recipe.dtype)
    if recipe.as_mergekit is not None:
        dtype_of(recipe.as_mergekit)


def _check_scales(recipe: Recipe) -> None:
    if not recipe.scales:
        return
    if not _is_path(recipe) or recipe.as_mergekit is not None:
        raise RecipeError(
            "scales are of a path: expected stacked layers as they are stored, between the ends of the first parent"
        )
    if len(recipe.scales) != recipe.n_layers:
        raise RecipeError(
            f"the path has {len(recipe.scales)} scales; expected one for each of {recipe.n_layers} layers"
        )
    for layer, scale in enumerate(recipe.scales):
        check_scale(scale, f"layer {layer}")


def _is_path(recipe: Recipe) -> bool:
    """Whether layers are stacked that are a parent's, rounded once and otherwise unchanged, between the first one's ends."""
    if recipe.method != "passthrough" or not recipe.is_stack:
        return False
    is_exact = recipe.as_mergekit in (None, "float32", recipe.dtype)
    ends = {recipe.sources_in(number)[0].parent for number in (0, len(recipe.groups) - 1)}
    return is_exact and ends == {0} and all(of["scale"] == 1 for row in recipe.values for of in row)


def _scale(value: object, what: str) -> float:
    return plain.real(value, what, RecipeError)


def _parent(value: object, what: str) -> Parent:
    found = plain.fields(value, ("name", "folder", "fingerprint"), what, RecipeError)
    return Parent(**{name: plain.text(found[name], f"{what}.{name}", RecipeError) for name in found})


def _group(value: object, what: str) -> LayerGroup:
    found = plain.fields(value, tuple(LayerGroup.__dataclass_fields__), what, RecipeError)
    stop = found["stop"]
    return LayerGroup(
        name=plain.text(found["name"], f"{what}.name", RecipeError),
        start=plain.integer(found["start"], f"{what}.start", RecipeError),
        stop=None if stop is None else plain.integer(stop, f"{what}.stop", RecipeError),
        before=plain.flag(found["before"], f"{what}.before", RecipeError),
        after=plain.flag(found["after"], f"{what}.after", RecipeError),
        filter=plain.text(found["filter"], f"{what}.filter", RecipeError),
        sources=plain.items(found["sources"], f"{what}.sources", RecipeError, _source),
    )


def _group_json(group: LayerGroup) -> dict[str, object]:
    return asdict(group) | {"sources": [asdict(source) for source in group.sources]}


def _source(value: object, what: str) -> Source:
    found = plain.fields(value, ("parent", "start"), what, RecipeError)
    parent = found["parent"]
    return Source(
        parent=None if parent is None else plain.integer(parent, f"{what}.parent", RecipeError),
        start=plain.integer(found["start"], f"{what}.start", RecipeError),
    )


def _companions(value: object, what: str) -> Companions:
    found = plain.fields(value, tuple(Companions.__dataclass_fields__), what, RecipeError)
    return Companions(
        tokenizer=tokenizer_of(found["tokenizer"]),
        chat_template=plain.text(found["chat_template"], f"{what}.chat_template", RecipeError),
    )


def _row(value: object, what: str) -> tuple[ParentValues, ...]:
    return plain.items(value, what, RecipeError, _numbers)


def _numbers(value: object, what: str) -> ParentValues:
    found = plain.mapping(value, what, RecipeError)
    return {name: plain.real(number, f"{what}.{name}", RecipeError) for name, number in found.items()}


def _settings(value: object, what: str) -> Settings:
    found = plain.mapping(value, what, RecipeError)
    return {
        name: setting if isinstance(setting, bool) else plain.real(setting, f"{what}.{name}", RecipeError)
        for name, setting in found.items()
    }


def dtype_of(value: object) -> Dtype:
    """The value as a dtype; RecipeError for any other."""
    for dtype in DTYPES:
        if value == dtype:
            return dtype
    raise RecipeError(f"the dtype is {value!r}; expected {', '.join(DTYPES)}")


def tokenizer_of(value: object) -> Tokenizer:
    """The value as a choice of tokenizer; RecipeError for any other."""
    for tokenizer in TOKENIZERS:
        if value == tokenizer:
            return tokenizer
    raise RecipeError(f"the tokenizer is {value!r}; expected {', '.join(TOKENIZERS)}")


def _without_folder(parent: Parent) -> dict[str, str]:
    return {"name": parent.name, "fingerprint": parent.fingerprint}


def _span(values: Sequence[float]) -> str:
    low, high = f"{min(values):.3g}", f"{max(values):.3g}"
    return low if low == high else f"{low} to {high}"


def _setting(name: str, value: float | bool) -> str:
    if isinstance(value, bool):
        return f"with {name}" if value else f"without {name}"
    return f"{name} {value:.3g}"


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"

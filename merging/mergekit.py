"""Recipes in mergekit's YAML, out and in, for people who share recipes and build them elsewhere.

Out: several layer groups become `slices`; values that only the embeddings or only what follows the layers have become
filters in the first and the last slice. In: what cannot be built exactly as written is refused by name. The seed of
random methods has no place in the format, and mergekit draws and rescales DARE's masks in its own way (see
`methods/dare_ties.py`). Format: https://github.com/arcee-ai/mergekit
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import yaml

from merging import plain
from merging.errors import RecipeError
from merging.methods import methods
from merging.methods.method import Method
from merging.recipes import WHOLE_MODEL, LayerGroup, Parent, ParentValues, Recipe, dtype_of, layers_name

MAX_BYTES: Final = 256 * 1024

# Parts of tensor names: mergekit's filters match by substring. The same in all families so far.
BEFORE: Final = ("embed_tokens",)
AFTER: Final = ("model.norm", "lm_head")

# What mergekit assumes where a file says nothing and we would assume something else. A weight must always be written.
ASSUMED: Final[Mapping[str, float]] = {"density": 1.0}
ASSUMED_SETTINGS: Final[Mapping[str, Mapping[str, bool]]] = {"ties": {"normalize": True}, "della": {"normalize": True}}

RESCALED: Final = ("dare_linear", "dare_ties", "della", "della_linear")
"""What survives is amplified here, always."""

FIELDS: Final = (
    "merge_method",
    "base_model",
    "models",
    "slices",
    "parameters",
    "dtype",
    "out_dtype",
    "tokenizer_source",
)
TOKENIZERS: Final = ("base", "union")
"""The same for us: parents whose tokenizers differ are refused."""

Values = tuple[ParentValues, ...]
Place = Literal["before", "layers", "after"]


def _folder(parent: Parent) -> str:
    return parent.folder


def to_yaml(recipe: Recipe, call: Callable[[Parent], str] = _folder) -> str:
    """The recipe as a mergekit file, every setting written out. Parents are called by their folders, or as `call` says."""
    content: dict[str, object] = {"merge_method": recipe.method}
    if recipe.base is not None:
        content["base_model"] = call(recipe.base)
    if recipe.n_layers is None:
        content["models"] = [_source(call(p), v) for p, v in zip(recipe.parents, recipe.values[0], strict=True)]
    else:
        content["slices"] = list(_slices(recipe, call))
    if recipe.settings:
        content["parameters"] = dict(recipe.settings)
    return yaml.safe_dump(
        content | {"dtype": "float32", "out_dtype": recipe.dtype}, sort_keys=False, allow_unicode=True
    )


def _slices(recipe: Recipe, call: Callable[[Parent], str]) -> Iterator[dict[str, object]]:
    """One slice for each group with layers; values of groups without layers become filters in the slice beside them."""
    pairs = list(zip(recipe.groups, recipe.values, strict=True))
    nothing: Values = ({},) * len(recipe.parents)
    before = pairs.pop(0)[1] if _is_empty(recipe.groups[0]) else nothing
    after = pairs.pop()[1] if _is_empty(recipe.groups[-1]) else nothing
    for group, values in pairs:
        layers = (group.start, group.stop)
        beside = zip(
            before if group.start == 0 else nothing, after if group.stop == recipe.n_layers else nothing, strict=True
        )
        sources = [
            _source(call(parent), _filtered(own, *others), layers)
            for parent, own, others in zip(recipe.parents, values, beside, strict=True)
        ]
        if recipe.base is not None:
            sources.append(_source(call(recipe.base), {}, layers))
        yield {"sources": sources}


def _is_empty(group: LayerGroup) -> bool:
    return group.start == group.stop


def _source(
    model: str, values: Mapping[str, object], layers: tuple[int, int | None] | None = None
) -> dict[str, object]:
    source: dict[str, object] = {"model": model}
    if values:
        source["parameters"] = dict(values)
    if layers is not None:
        source["layer_range"] = list(layers)  # a list of its own: YAML would make a shared one an alias
    return source


def _filtered(values: ParentValues, before: ParentValues, after: ParentValues) -> dict[str, object]:
    """Each value alone, or a list in which the first filter that is part of a tensor's name wins."""
    return {
        name: [
            *({"filter": part, "value": before[name]} for part in BEFORE if before),
            *({"filter": part, "value": after[name]} for part in AFTER if after),
            {"value": value},
        ]
        if before or after
        else value
        for name, value in values.items()
    }


def from_yaml(text: str, parent_of: Callable[[str], Parent], seed: int = 0) -> Recipe:
    """The recipe of a mergekit file. `parent_of` finds the parent for a model as the file names it.

    RecipeError names what is missing, unknown, or cannot be built exactly as written.
    """
    content = _read(text)
    method = methods.get(plain.text(content.get("merge_method"), "merge_method", RecipeError))
    top = plain.mapping(content.get("parameters", {}), "parameters", RecipeError)
    base = plain.optional_text(content.get("base_model"), "base_model", RecipeError)
    slices = _read_slices(content, _Reader(method, top, base))
    groups, values = _grouped(slices)
    return Recipe(
        method=method.name,
        base=parent_of(base) if base is not None and method.needs_base else None,
        parents=tuple(parent_of(model) for model in slices[0].models),
        groups=groups,
        values=values,
        settings=_settings(method, top),
        seed=seed,
        dtype=dtype_of(content.get("out_dtype", content.get("dtype"))),
    )


@dataclass(frozen=True)
class _Slice:
    """Layers `start` to `stop`: each model's values in them, and those before and after all layers that these imply."""

    start: int
    stop: int | None
    models: tuple[str, ...]
    values: Mapping[Place, Values]


@dataclass(frozen=True)
class _Reader:
    """Reads sources: what the file says of a model, completed by what it says for all of them."""

    method: Method
    top: Mapping[str, object]
    base: str | None

    def slice_of(self, sources: object, what: str) -> _Slice:
        """The slice of these sources, which must all have one layer range. The base model is no parent of its own."""
        found = [s for s in plain.items(sources, what, RecipeError, _source_fields) if s["model"] != self.base]
        ranges = {_layer_range(source, what) for source in found}
        if len(ranges) != 1:
            raise RecipeError(
                f"{what} have {len(ranges)} layer ranges; expected one: layers of different depth are not merged"
            )
        start, stop = ranges.pop()
        places: tuple[Place, ...] = ("before", "layers", "after")
        values = {place: tuple(self._values(source, place, what) for source in found) for place in places}
        return _Slice(start, stop, tuple(str(source["model"]) for source in found), values)

    def _values(self, source: Mapping[str, object], place: Place, what: str) -> ParentValues:
        given = plain.mapping(source.get("parameters", {}), f"parameters in {what}", RecipeError)
        names = [parameter.name for parameter in self.method.per_parent()]
        if unknown := sorted(set(given) - set(names)):
            raise RecipeError(
                f"{what} have {', '.join(unknown)} for {source['model']}; {self.method.title} knows {names}"
            )
        return {name: self._value(name, given, place, f"{name} of {source['model']}") for name in names}

    def _value(self, name: str, given: Mapping[str, object], place: Place, what: str) -> float:
        value = given.get(name, self.top.get(name, ASSUMED.get(name)))
        if value is None:
            raise RecipeError(f"{what} is missing")
        return _at(value, place, what) if isinstance(value, list) else plain.real(value, what, RecipeError)


def _read(text: str) -> Mapping[str, object]:
    if len(text.encode()) > MAX_BYTES:
        raise RecipeError(f"the recipe has {len(text.encode())} bytes; expected at most {MAX_BYTES}")
    try:
        content = plain.mapping(yaml.safe_load(text), "the recipe", RecipeError)
    except (yaml.YAMLError, RecursionError) as error:
        raise RecipeError(f"the recipe is no YAML: {' '.join(str(error).split())}") from error
    if unknown := sorted(set(content) - set(FIELDS)):
        raise RecipeError(
            f"the recipe has {', '.join(unknown)}, which cannot be built as written; known: {', '.join(FIELDS)}"
        )
    tokenizer = content.get("tokenizer_source", TOKENIZERS[0])
    if tokenizer not in TOKENIZERS:
        raise RecipeError(f"tokenizer_source is {tokenizer!r}; expected {' or '.join(TOKENIZERS)}")
    return content


def _read_slices(content: Mapping[str, object], reader: _Reader) -> tuple[_Slice, ...]:
    if ("models" in content) == ("slices" in content):
        raise RecipeError("the recipe needs either models or slices")
    if "models" in content:
        return (reader.slice_of(content["models"], "models"),)
    slices = plain.items(content["slices"], "slices", RecipeError, lambda value, what: _read_slice(value, what, reader))
    if not slices or any(one.models != slices[0].models for one in slices):
        raise RecipeError("the slices have different models; expected the same ones in the same order in every slice")
    return slices


def _read_slice(value: object, what: str, reader: _Reader) -> _Slice:
    found = plain.fields(value, ("sources",), what, RecipeError)
    return reader.slice_of(found["sources"], f"sources of {what}")


def _source_fields(value: object, what: str) -> Mapping[str, object]:
    found = plain.mapping(value, what, RecipeError)
    if unknown := sorted(set(found) - {"model", "layer_range", "parameters"}):
        raise RecipeError(f"{what} has {', '.join(unknown)}, which cannot be built as written")
    plain.text(found.get("model"), f"model in {what}", RecipeError)
    return found


def _layer_range(source: Mapping[str, object], what: str) -> tuple[int, int | None]:
    """Without a range, all layers."""
    if "layer_range" not in source:
        return 0, None
    bounds = plain.items(source["layer_range"], f"layer_range in {what}", RecipeError, _layer)
    if len(bounds) != 2:
        raise RecipeError(
            f"layer_range in {what} is {list(bounds)}; expected the first layer and the one after the last"
        )
    return bounds[0], bounds[1]


def _layer(value: object, what: str) -> int:
    return plain.integer(value, what, RecipeError)


def _at(choices: Sequence[object], place: Place, what: str) -> float:
    """The value of a list of filters at a place. Other lists are gradients over depth, which slices can say exactly."""
    parts = {"before": BEFORE, "layers": (None,), "after": AFTER}[place]
    found = {_first_match(choices, part, what) for part in parts}
    if len(found) != 1:
        raise RecipeError(f"{what} differs between {' and '.join(AFTER)}, which share their values here")
    return found.pop()


def _first_match(choices: Sequence[object], part: str | None, what: str) -> float:
    for choice in choices:
        if not isinstance(choice, Mapping):
            raise RecipeError(
                f"{what} is a gradient over the layers: write a slice with one number for each of its steps"
            )
        name = choice.get("filter", "*")
        if name not in ("*", *BEFORE, *AFTER):
            raise RecipeError(f"{what} has the filter {name!r}; layer groups know only {', '.join((*BEFORE, *AFTER))}")
        if name in ("*", part):
            return plain.real(choice.get("value"), what, RecipeError)
    raise RecipeError(f"{what} has filters but no value for the rest")


def _grouped(slices: Sequence[_Slice]) -> tuple[tuple[LayerGroup, ...], tuple[Values, ...]]:
    """Layer groups with their values; what is before or after the layers is a group of its own where its values differ."""
    first, last = slices[0], slices[-1]
    own_before = first.values["before"] != first.values["layers"]
    own_after = last.values["after"] != last.values["layers"]
    if last.stop is None and not (own_before or own_after):
        return (WHOLE_MODEL,), (first.values["layers"],)
    if any(one.stop is None for one in slices):
        raise RecipeError("filters need layer ranges: write slices instead of models")
    groups = [LayerGroup(layers_name(s.start, s.stop or 0), s.start, s.stop, False, False) for s in slices]
    values = [one.values["layers"] for one in slices]
    if own_before:
        groups.insert(0, LayerGroup("embeddings", 0, 0, False, False))
        values.insert(0, first.values["before"])
    if own_after:
        groups.append(LayerGroup("head", last.stop or 0, last.stop, False, False))
        values.append(last.values["after"])
    groups[0], groups[-1] = replace(groups[0], before=True), replace(groups[-1], after=True)
    return tuple(groups), tuple(values)


def _settings(method: Method, top: Mapping[str, object]) -> dict[str, float | bool]:
    """Every setting of the method; what the file sets beyond them must change nothing here."""
    names = [parameter.name for parameter in method.per_recipe()]
    for name, value in top.items():
        harmless = name == "int8_mask" or (name == "rescale" and value == (method.name in RESCALED))
        if name not in names and not harmless and name not in {parameter.name for parameter in method.per_parent()}:
            raise RecipeError(f"parameter {name} is {value!r}; {method.title} cannot be built so")
    assumed = method.default_settings() | dict(ASSUMED_SETTINGS.get(method.name, {}))
    given = {
        parameter.name: parameter.check(top[parameter.name], method.title)
        for parameter in method.per_recipe()
        if parameter.name in top
    }
    return assumed | given

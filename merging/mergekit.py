"""Recipes in mergekit's YAML, out and in, for people who share recipes and build them elsewhere.

What a file of mergekit 0.1.5 says is done as written or refused by the name of the key; the recipe then has
`as_mergekit` set, so that its owner gets the tensors he had. The seed of random methods has no place in the format.
Format: https://github.com/arcee-ai/mergekit

Here is the way out, in `mergekit_reading.py` the way in. Facts that both rest on: what comes before all layers takes
the values of the first slice, and what comes after them those of the last, each at depth 0; a slice may have no layers
and say only these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import yaml

from merging.errors import RecipeError
from merging.indexes import ParentFacts, parent_facts
from merging.mergekit_paths import FactsOf, with_scaled_tensors
from merging.mergekit_reading import from_yaml
from merging.mergekit_terms import DIFFERENT, FIRST_IS_BASE, LAYER_NUMBER, RANDOM, is_template, name_there
from merging.recipes import Parent, Recipe, layer_ranges

__all__ = ["from_yaml", "to_yaml"]


def _folder(parent: Parent) -> str:
    return parent.folder


def _facts(parent: Parent) -> ParentFacts:
    return parent_facts(parent.folder)


def to_yaml(recipe: Recipe, call: Callable[[Parent], str] = _folder, facts_of: FactsOf = _facts) -> str:
    """The recipe as a mergekit file, every setting written out. Parents are called by their folders, or as `call` says.

    What mergekit would do differently stands in comments at the top. RecipeError names what it cannot be told. `facts_of`
    is asked for a path with scales, which are of tensors there: it does not come back as a path.
    """
    recipe = with_scaled_tensors(recipe, facts_of) if recipe.scales else recipe
    names = {model: _callable(call(model)) for model in recipe.models}
    content: dict[str, object] = {"merge_method": recipe.method}
    if (base := _base_out(recipe)) is not None:
        content["base_model"] = names[base]
    if recipe.n_layers is None:
        numbers = range(len(recipe.groups))
        content["models"] = [_source(recipe, numbers, i, names) for i in range(len(recipe.parents))]
        parameters = _settings_out(recipe) | _shared(recipe, numbers)
    else:
        ranges = layer_ranges(recipe.groups)
        first, last = (len(recipe.sources_in(numbers[0])) for numbers in (ranges[0], ranges[-1]))
        if last > first:
            raise RecipeError(
                f"mergekit makes what comes after the layers from {first} models, as many as its first slice has, here from {last}"
            )
        content["slices"] = [_slice(recipe, numbers, names) for numbers in ranges]
        parameters = _settings_out(recipe)
    if parameters:
        content["parameters"] = parameters
    content |= {"dtype": recipe.as_mergekit or "float32", "out_dtype": recipe.dtype, **_companions_out(recipe, names)}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    return "".join(f"# {line}\n" for line in _differences(recipe)) + text


def _callable(name: str) -> str:
    if wrong := [sign for sign in "+@" if sign in name]:
        raise RecipeError(
            f"mergekit cannot be told of the model {name!r}: there {wrong[0]} divides a model from its adapter or version"
        )
    return name


def _base_out(recipe: Recipe) -> Parent | None:
    if recipe.method not in FIRST_IS_BASE:
        return recipe.base
    firsts = [recipe.parents_in(number)[0] for number in range(len(recipe.groups))]
    if other := next((first for first in firsts if first != firsts[0]), None):
        raise RecipeError(
            f"mergekit starts {recipe.method} from one base model, here from {firsts[0].name} and {other.name}"
        )
    return firsts[0]


def _settings_out(recipe: Recipe) -> dict[str, object]:
    return {name_there(recipe.method, name): value for name, value in recipe.settings.items()}


def _slice(recipe: Recipe, numbers: Sequence[int], names: Mapping[Parent, str]) -> dict[str, object]:
    """The groups of one range of layers as a slice."""
    group = recipe.groups[numbers[0]]
    depth = (group.stop or 0) - group.start
    if moved := [
        recipe.groups[n].filter for n in numbers if group.sources and LAYER_NUMBER.search(recipe.groups[n].filter)
    ]:
        raise RecipeError(f"mergekit looks for the filter {moved[0]!r} in other names where layers are stacked")
    sources: list[dict[str, object]] = []
    parents = iter(range(len(recipe.parents)))
    for source in recipe.sources_in(numbers[0]):
        if source.parent is None and recipe.base is not None:
            model: dict[str, object] = {"model": names[recipe.base]}
        else:
            model = _source(recipe, numbers, next(parents), names)
        sources.append(model | {"layer_range": [source.start, source.start + depth]})
    shared = _shared(recipe, numbers)
    return {"sources": sources, **({"parameters": shared} if shared else {})}


def _source(recipe: Recipe, numbers: Sequence[int], parent: int, names: Mapping[Parent, str]) -> dict[str, object]:
    """One of the parents of these groups with its values."""
    parameters = _filtered(recipe, numbers, [recipe.values[number][parent] for number in numbers])
    model = names[recipe.parents_in(numbers[0])[parent]]
    return {"model": model, **({"parameters": parameters} if parameters else {})}


def _shared(recipe: Recipe, numbers: Sequence[int]) -> dict[str, object]:
    return _filtered(recipe, numbers, [recipe.shared[number] for number in numbers]) if recipe.shared else {}


def _filtered(recipe: Recipe, numbers: Sequence[int], values: Sequence[Mapping[str, float]]) -> dict[str, object]:
    """Each value of these groups: alone where they agree, otherwise by filter."""
    parts = [recipe.groups[number].filter for number in numbers]
    found: dict[str, object] = {}
    for name, first in values[0].items():
        choices = [{"filter": part} if part else {} for part in parts]
        listed = [choice | {"value": of_group[name]} for choice, of_group in zip(choices, values, strict=True)]
        found[name_there(recipe.method, name)] = first if all(of[name] == first for of in values) else listed
    return found


def _companions_out(recipe: Recipe, names: Mapping[Parent, str]) -> dict[str, object]:
    chosen, template = recipe.companions.tokenizer, recipe.companions.chat_template
    found: dict[str, object] = {}
    if chosen != "same":
        found["tokenizer_source"] = names[recipe.donor] if chosen == "first" else chosen
    if template and not is_template(template):
        raise RecipeError(f"the chat template is {template!r}, which mergekit takes for the name of one of its own")
    return found | ({"chat_template": template} if template else {})


def _differences(recipe: Recipe) -> Iterator[str]:
    """What comes out differently at mergekit, in sentences."""
    if recipe.method in RANDOM:
        yield f"mergekit takes its seed on the command line: --random-seed {recipe.seed}"
    if recipe.as_mergekit is None and recipe.method in DIFFERENT:
        yield DIFFERENT[recipe.method]

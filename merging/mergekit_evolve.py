"""A configuration of mergekit-evolve, read: which models, numbers and tasks it asks for, and what of it no search here does.

Whether its models and tasks are at hand, others know. Format: https://github.com/arcee-ai/mergekit, docs/evolve.md and
mergekit/evo, version 0.1.5.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from merging import plain
from merging.errors import RecipeError, UnknownNameError
from merging.genomes import GRADIENT, nothing_to_search
from merging.methods import methods
from merging.methods.method import Method
from merging.words import counted, joined
from merging.yamls import read_yaml

KEYS: Final = ("genome", "tasks", "limit", "random_init")
ASKING: Final = ("num_fewshot", "shuffle", "apply_chat_template", "fewshot_as_multiturn")
"""How questions are asked: there for all tasks at once."""
GENOME_KEYS: Final = (
    "models",
    "merge_method",
    "base_model",
    "tokenizer_source",
    "layer_granularity",
    "normalize",
    "allow_negative_weights",
    "smooth",
    "filters",
)
NORMALIZED: Final = ("ties", "dare_ties", "linear")
"""Methods whose weights are divided by their sum where the file says nothing of it."""
METRIC: Final = "acc,none"


@dataclass(frozen=True)
class Task:
    """A task of the harness by its name, the metric that is its score, and how much it counts."""

    name: str
    weight: float = 1.0
    metric: str = METRIC


@dataclass(frozen=True)
class Evolution:
    """What such a file asks for, as far as a search here can do it; `notes` are sentences about the rest.

    `method` is None where nothing is searched by the one it names. `layers_per_group` 0: all layers in one group. `is_smooth`: the groups
    are the knots of a gradient. `limit`: how many questions of each task, None for all.
    """

    models: tuple[str, ...]
    method: str | None
    base: str | None
    tokenizer: str | None
    layers_per_group: int
    is_smooth: bool
    normalize: bool
    filters: tuple[str, ...]
    tasks: tuple[Task, ...]
    limit: int | None
    notes: tuple[str, ...]

    def groups(self, n_layers: int) -> str:
        """The granularity of `genomes.layer_groups`; RecipeError where groups of this size do not make `n_layers`."""
        if self.layers_per_group < 1 or self.layers_per_group == n_layers:
            return "model"
        n_groups, rest = divmod(n_layers, self.layers_per_group)
        if rest or not n_groups:
            raise RecipeError(
                f"layer_granularity is {self.layers_per_group}, which does not divide the {n_layers} layers of the models"
            )
        if self.is_smooth:
            return f"{GRADIENT}{n_groups}"
        return "block" if n_groups == n_layers else str(n_groups)


def read_evolution(text: str) -> Evolution:
    """What a file asks for; RecipeError when it is no YAML, no such configuration, or has a value of another kind."""
    content = read_yaml(text, "the configuration", RecipeError)
    if "genome" not in content:
        hint = ", but a recipe" if "merge_method" in content else ""
        raise RecipeError(f"this is no configuration of mergekit-evolve{hint}: it has no genome")
    genome = plain.mapping(content["genome"], "genome", RecipeError)
    models = plain.items(genome.get("models"), "genome.models", RecipeError, _text)
    base = plain.optional_text(genome.get("base_model"), "genome.base_model", RecipeError)
    name = plain.text(genome.get("merge_method"), "genome.merge_method", RecipeError)
    method, refused = _method(name)
    tasks = plain.items(content.get("tasks"), "tasks", RecipeError, _task)
    return Evolution(
        models=models,
        method=method.name if method else None,
        base=None if method and method.base == "none" else base,
        tokenizer=plain.optional_text(genome.get("tokenizer_source"), "genome.tokenizer_source", RecipeError),
        layers_per_group=_whole(genome, "layer_granularity") or 0,
        is_smooth=_flag(genome, "smooth"),
        normalize=_flag(genome, "normalize", usual=name in NORMALIZED),
        filters=plain.items(genome.get("filters") or (), "genome.filters", RecipeError, _text),
        tasks=tuple(task for task in tasks if task.weight > 0),
        limit=_whole(content, "limit"),
        notes=(
            *refused,
            *_of_genome(genome, method, models, base),
            *_of_tasks(tasks),
            *_of_file(content),
            *_unknown(content, (*KEYS, *ASKING), ""),
            *_unknown(genome, GENOME_KEYS, "genome."),
        ),
    )


def _method(name: str) -> tuple[Method | None, tuple[str, ...]]:
    """The method, or None with the reason why nothing is searched by it."""
    try:
        method = methods.get(name)
    except UnknownNameError as error:
        return None, (f"merge_method: {error}",)
    why = nothing_to_search(method)
    return (None, (f"merge_method: {name} is not searched: {why}.",)) if why else (method, ())


def _of_genome(
    genome: Mapping[str, object], method: Method | None, models: tuple[str, ...], base: str | None
) -> Iterator[str]:
    if method and base is not None and method.base == "none":
        yield f"base_model: {method.title} uses none here."
    if method and method.max_parents is not None and len(models) > method.max_parents:
        takes = counted(method.max_parents, "model")
        yield f"models: {method.title} takes {takes} here; there it takes those with the largest numbers of {len(models)} in each group."
    if _flag(genome, "allow_negative_weights"):
        yield "allow_negative_weights: negative weights are not searched here; a weight begins at 0."


def _of_tasks(tasks: tuple[Task, ...]) -> Iterator[str]:
    for task in tasks:
        if task.weight <= 0:
            yield f"tasks: {task.name} has the weight {task.weight:g}; here more is better on every benchmark, so it is left out."


def _of_file(content: Mapping[str, object]) -> Iterator[str]:
    if _flag(content, "random_init"):
        yield "random_init: a search here begins in the middle of what each number may be."
    if said := [name for name in ASKING if name in content]:
        yield f"{joined(said)}: how questions are asked belongs to a benchmark here, not to a run."


def _unknown(value: Mapping[str, object], known: tuple[str, ...], where: str) -> Iterator[str]:
    for name in value:
        if name not in known:
            yield f"{where}{name}: mergekit-evolve knows no such key."


def _task(value: object, what: str) -> Task:
    if isinstance(value, str):
        return Task(value)
    found = plain.mapping(value, what, RecipeError)
    return Task(
        plain.text(found.get("name"), f"{what}.name", RecipeError),
        plain.real(found.get("weight", 1.0), f"{what}.weight", RecipeError),
        plain.text(found.get("metric", METRIC), f"{what}.metric", RecipeError),
    )


def _text(value: object, what: str) -> str:
    return plain.text(value, what, RecipeError)


def _whole(value: Mapping[str, object], name: str) -> int | None:
    return None if value.get(name) is None else plain.integer(value[name], name, RecipeError)


def _flag(value: Mapping[str, object], name: str, usual: bool = False) -> bool:
    return usual if value.get(name) is None else plain.flag(value[name], name, RecipeError)

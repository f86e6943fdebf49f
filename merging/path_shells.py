"""Layers of several models in memory once, and the model of whichever path through them was followed last. Imports torch.

Knows paths and modules; neither where tensors come from nor who asks the model.

A layer that comes twice is there twice as a view: a module of its own with its own number, and with it its own keys and
values, over the tensors of the one layer. No tensor is ever copied for a path, and none is written to.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from merging.assembly import NamedTensor
from merging.configs import read_json
from merging.families import Family
from merging.hops import Hop, LayerPath
from merging.indexes import ParentFacts
from merging.paths import groups_of
from merging.plans import TensorJob, stacked_layers
from merging.recipes import LayerGroup, Parent, Recipe
from merging.shards import layout
from merging.shells import ModelShell, Stack, library_config
from merging.stacks import Config, stacked_config

NUMBER: Final = "layer_idx"
"""What modules of the library call the number of their layer: the place of their keys and values in a cache."""
CHOSEN: Final = ("dtype", "architectures")
"""What of a configuration was settled when the model was made, beside all that begins with an underscore."""

Layer = tuple[Parent, int]


class PathShell:
    """The layers that `blocks` stacks, each once, with what stands before and after them; see `all_blocks` and `needed_blocks`.

    `jobs` are the plan of `blocks`, `facts` those of its models. In memory of `device` and `dtype`, in evaluation mode.
    `load` comes first, then any number of paths.
    """

    def __init__(
        self,
        blocks: Recipe,
        jobs: Sequence[TensorJob],
        facts: Mapping[Parent, ParentFacts],
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._donor = blocks.donor
        self._configs = {model: read_json(Path(model.folder) / "config.json") for model in blocks.models}
        layers = tuple(stacked_layers(blocks))
        shapes = {tensor.name: tensor.shape for tensor in layout(jobs, facts, blocks.dtype)}
        stack = Stack(self._config(layers), shapes)
        self._shell = ModelShell(Path(self._donor.folder), device, dtype, stack)
        self._list = self.model.get_submodule(_layers_of(facts[self._donor].config.family))
        self._blocks = {layer: _Block.of(module) for layer, module in zip(layers, self._list.children(), strict=True)}
        self._n_outside = self.model.num_parameters() - sum(block.n_parameters for block in self._blocks.values())

    @property
    def model(self) -> PreTrainedModel:
        """The same object for every path."""
        return self._shell.model

    @property
    def targets(self) -> Mapping[str, Tensor]:
        """See `ModelShell`: by the names that `blocks` has for them."""
        return self._shell.targets

    @property
    def parents(self) -> frozenset[Parent]:
        """Of which there are layers."""
        return frozenset(parent for parent, _ in self._blocks)

    def load(self, tensors: Iterable[NamedTensor]) -> None:
        """See `ModelShell`."""
        self._shell.load(tensors)

    def holds(self, recipe: Recipe) -> bool:
        """Whether all layers of the recipe are here."""
        return all(layer in self._blocks for layer in stacked_layers(recipe))

    def follow(self, recipe: Recipe) -> int:
        """Makes the model that of the recipe and says how many parameters a token passes, those of repeated layers again.

        Only a path (`can_be_followed`) whose layers are here (`holds`) can be followed.
        """
        layers = tuple(stacked_layers(recipe))
        _tell(self.model.config, _read(json.dumps(self._config(layers))))
        hops = zip(layers, recipe.scales or (1.0,) * len(layers), strict=True)
        views = {str(i): self._blocks[layer].view(i, scale) for i, (layer, scale) in enumerate(hops)}
        self._list._modules = cast(dict[str, nn.Module | None], views)
        return self._n_outside + sum(self._blocks[layer].n_parameters for layer in layers)

    def _config(self, layers: Sequence[Layer]) -> Config:
        return stacked_config(self._configs[self._donor], [(self._configs[model], layer) for model, layer in layers])


def can_be_followed(recipe: Recipe) -> bool:
    """Whether the result's layers are parents' own: what `Recipe.path` knows, and stacks whose head is another parent's too."""
    scales = {values["scale"] for row in recipe.values for values in row} if recipe.method == "passthrough" else set()
    return recipe.is_stack and scales == {1}


def all_blocks(recipe: Recipe, facts: Mapping[Parent, ParentFacts]) -> Recipe:
    """The stack of every layer of the recipe's parents, each once, with the recipe's own beginning and end."""
    return _stack_of(
        recipe, [(i, layer) for i, parent in enumerate(recipe.parents) for layer in range(facts[parent].n_layers)]
    )


def needed_blocks(recipe: Recipe) -> Recipe:
    """The stack of the layers that a path's recipe uses, each once, with its beginning and end."""
    numbers = {parent: i for i, parent in enumerate(recipe.parents)}
    return _stack_of(recipe, sorted({(numbers[parent], layer) for parent, layer in stacked_layers(recipe)}))


def _stack_of(recipe: Recipe, layers: Sequence[tuple[int, int]]) -> Recipe:
    """Layers as (parent, layer). Both ends stand in groups of their own, without layers."""
    inner = groups_of(LayerPath(tuple(Hop(*layer) for layer in layers)).stretches)
    n, ends = len(layers), (recipe.groups[0].sources, recipe.groups[-1].sources)
    groups = (
        LayerGroup("before", 0, 0, True, False, sources=ends[0]),
        *inner,
        LayerGroup("after", n, n, False, True, sources=ends[1]),
    )
    return replace(recipe, groups=groups, values=(recipe.values[0],) * len(groups), scales=())


@dataclass(frozen=True)
class _Block:
    """A layer as the library made it. `numbered` are those of its modules that know its number, or have such a module in them."""

    module: nn.Module
    numbered: frozenset[nn.Module]
    n_parameters: int

    @classmethod
    def of(cls, module: nn.Module) -> _Block:
        numbered = (one for one in module.modules() if any(NUMBER in vars(inner) for inner in one.modules()))
        return cls(module, frozenset(numbered), sum(parameter.numel() for parameter in module.parameters()))

    def view(self, number: int, scale: float) -> nn.Module:
        """The layer as the one with this number, over the same tensors."""
        view = self._view(self.module, number)
        if scale != 1:
            vars(view)["_forward_pre_hooks"] = OrderedDict({0: partial(_scale, scale)})
        return view

    def _view(self, module: nn.Module, number: int) -> nn.Module:
        """Nothing that looks for modules or tensors among what is set, as `setattr` of a module does: that takes longer than all else."""
        inner = {
            name: self._view(child, number) if child in self.numbered else child
            for name, child in module._modules.items()
        }
        view = object.__new__(type(module))
        vars(view).update(vars(module), _modules=inner, **({NUMBER: number} if NUMBER in vars(module) else {}))
        return view


def _scale(scale: float, module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """y = s x + F(norm(s x)): all of a layer reads the stream scaled."""
    stream, *others = arguments
    return stream * scale, *others


@lru_cache
def _read(config: str) -> PreTrainedConfig:
    """What the library makes of a configuration, which takes it as long as all else that a path needs."""
    return library_config(json.loads(config))


def _tell(config: Any, other: Any) -> None:
    """A model's configuration becomes another one, in place: every module of the model refers to it."""
    for name, value in vars(other).items():
        if not name.startswith("_") and name not in CHOSEN:
            vars(config)[name] = value


def _layers_of(family: Family) -> str:
    """What the library's model calls the list of its layers."""
    return family.parts[0].names[0].partition(".{}")[0]

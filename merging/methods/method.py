"""What a merge method is, and the parameters that several methods share.

Torch is only a name here: methods use tensors' own methods.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from merging.parameters import Parameter

if TYPE_CHECKING:
    from torch import Tensor

    from merging.draws import Draws
    from merging.kernels.passes import Keepers, Pass

Values = Mapping[str, float]
Settings = Mapping[str, float | bool]


class Merge(Protocol):
    """Merges one tensor. Called for every tensor of a model, in any order, on any device.

    `base` is None exactly when the recipe has no base model. All tensors are float32 and of one shape `[*shape]`; the result
    is float32 of that shape and is rounded to the recipe's dtype by the caller, once. Inputs must not be written to:
    the caller keeps them for the next candidate. `values` has one mapping for each parent, in the order of `parents`.
    Random numbers come from `draws` only.
    """

    def __call__(
        self, base: Tensor | None, parents: Sequence[Tensor], values: Sequence[Values], settings: Settings, draws: Draws
    ) -> Tensor: ...


class AsPass(Protocol):
    """The same arithmetic as `Merge`, to the bit, stated as numbers: what kernels compute in one pass over memory.

    Only for methods that treat every element by itself, once it is known what is kept of task vectors, or what their inner
    products are; that, `keepers` tell. None where the settings ask for more than that.
    """

    def __call__(self, values: Sequence[Values], settings: Settings, keepers: Keepers) -> Pass | None: ...


@dataclass(frozen=True)
class Method:
    """A merge method: what it needs, what it can be told, and the arithmetic.

    `source` is a citation with its address. `base` says whether a recipe must, may or must not have a base model.
    """

    name: str
    title: str
    summary: str
    source: str
    base: Literal["none", "optional", "needed"]
    min_parents: int
    max_parents: int | None
    parameters: tuple[Parameter, ...]
    merge: Merge
    as_pass: AsPass | None = None

    @property
    def needs_base(self) -> bool:
        return self.base == "needed"

    def per_parent(self) -> tuple[Parameter, ...]:
        """Given for every group and parent; a search evolves them. None: there is nothing to evolve."""
        return tuple(parameter for parameter in self.parameters if parameter.per == "parent")

    def per_group(self) -> tuple[Parameter, ...]:
        """Given for every group, shared by its parents; a search evolves them."""
        return tuple(parameter for parameter in self.parameters if parameter.per == "group")

    def per_recipe(self) -> tuple[Parameter, ...]:
        """Given once; a person sets them."""
        return tuple(parameter for parameter in self.parameters if parameter.per == "recipe")

    def default_settings(self) -> dict[str, float | bool]:
        return {p.name: bool(p.default) if p.kind == "flag" else p.default for p in self.per_recipe()}


# The sum of the paper's evolved weights is near 2: bounds must let a search amplify, and 0.5 in the unit cube must be
# the plain sum.
TASK_WEIGHT = Parameter(
    "weight", 0.0, 2.0, 1.0, per="parent", help="How much of this parent's task vector (parent minus base) is added."
)
NORMALIZE = Parameter(
    "normalize",
    0,
    1,
    0,
    per="recipe",
    kind="flag",
    help="Divide by the sum of the weights that took part. Off: task vectors add up and may amplify.",
)
LAMBDA = Parameter(
    "lambda", 0.0, 2.0, 1.0, per="recipe", help="Scales the merged task vector before it is added to the base model."
)

EPSILON = Parameter(
    "epsilon",
    0.0,
    0.3,
    0.15,
    per="recipe",
    help="How far the probability of staying rises and falls around the density, from the smallest change to the largest.",
    at_least=0.0,
    at_most=0.5,
)
RESCALE = Parameter(
    "rescale",
    0,
    1,
    1,
    per="recipe",
    kind="flag",
    help="Divide what is kept by its probability of staying, so that the expected change is the same.",
)
GAMMA = Parameter(
    "gamma",
    0.0,
    0.1,
    0.01,
    per="recipe",
    help="The share of largest changes that is dropped as outliers.",
    at_least=0.0,
    at_most=1.0,
)


def density_parameter(help: str) -> Parameter:
    """A share to keep, (0, 1]. A search stays at or above 0.05: below that a task vector is all but gone."""
    return Parameter("density", 0.05, 1.0, 0.5, per="parent", help=help, above=0.0, at_most=1.0)

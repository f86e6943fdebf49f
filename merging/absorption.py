"""Scales of a path as part of an ordinary model: which tensors are multiplied by what, so that no code of ours is needed to
run the result. Torch is only a name here.

A hop is y = s x + F(norm(s x)). Let g be the running product of the scales from the second hop on, and let the model
that is built carry x / g instead of x. Norms do not see the difference, so that a hop becomes y = x + F(norm(x)) / g:
what its branches write is divided by g. The first scale, which has no layer before it, is the embedding's.
`docs/data-flow.md` has the derivation, and what each family needs beside it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from operator import mul
from typing import TYPE_CHECKING, Final

from merging.errors import RecipeError
from merging.families import Family, Place
from merging.families.family import NUMBER
from merging.recipes import Dtype, Recipe

if TYPE_CHECKING:
    from torch import Tensor

MAX_PRODUCT: Final[Mapping[Dtype, float]] = {"float32": 1e12, "bfloat16": 1e12, "float16": 256.0}
"""Of the running product, or of its inverse. Norms square what is carried, and float32 ends at 3e38; float16 ends at
65,504, and residual streams have single numbers of some hundreds.
"""


@dataclass(frozen=True)
class Scaling:
    """What becomes of a stored tensor w: (w + offset) factor - offset. The offset is 1 for norms that multiply by one plus
    their tensor, otherwise 0.
    """

    factor: float
    offset: float = 0.0

    def of(self, stored: Tensor) -> Tensor:
        """The scaled tensor in float32: memory of its own, of the same shape."""
        wide = stored.float()
        return wide * self.factor if self.offset == 0 else (wide + self.offset) * self.factor - self.offset


@dataclass(frozen=True)
class Absorption:
    """The scalings of one recipe, for a result of this family.

    RecipeError for scales that cannot be absorbed exactly.
    """

    recipe: Recipe
    family: Family
    has_tied_embeddings: bool

    def __post_init__(self) -> None:
        if not self.recipe.scales:
            return
        if not self.family.output_projections:
            raise RecipeError(f"of {self.family.title} nothing says what its layers write: scales cannot be absorbed")
        most = MAX_PRODUCT[self.recipe.dtype]
        for layer, product in enumerate(self._products):
            if not 1 / most <= product <= most:
                raise RecipeError(
                    f"the scales up to layer {layer} multiply to {product:.3g}; expected {1 / most:.3g} to {most:.3g}, for which "
                    f"{self.recipe.dtype} has room: scale less, or choose a shorter path or another dtype"
                )

    def of(self, name: str, place: Place) -> Scaling | None:
        """What becomes of the result's tensor `name` at `place`; None when it stays as it is."""
        factor = self._factor(name, place) if self.recipe.scales else 1.0
        offset = (
            1.0 if self.family.norms_add_one and place != "before" else 0.0
        )  # all else that is scaled there is a norm
        return None if factor == 1 else Scaling(factor, offset)

    def _factor(self, name: str, place: Place) -> float:
        first = self.recipe.scales[0]
        if place == "before":
            return first
        if place == "after":  # the head is the embedding where they are tied, and that has been scaled
            return 1 / first if self.has_tied_embeddings else 1.0
        stem, _, kind = re.sub(rf"(?<=\.){NUMBER}(?=\.)", "{}", name).rpartition(".")
        if stem in self.family.output_projections:
            return 1 / self._products[place]
        return self._products[place] if stem in self.family.stream_readers and kind == "weight" else 1.0

    @cached_property
    def _products(self) -> tuple[float, ...]:
        """g of each layer."""
        return tuple(accumulate((1.0, *self.recipe.scales[1:]), mul))

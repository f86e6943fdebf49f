"""The Karcher mean: the direction with the least squared angles to all parents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from merging.kernels.passes import Keepers, Pass
from merging.methods.method import Method, Settings, Values
from merging.parameters import Parameter
from merging.spheres import Numbers, combine, cosines, lengths_of, mean_direction, products

if TYPE_CHECKING:
    from torch import Tensor

    from merging.draws import Draws


def merge(
    base: Tensor | None, parents: Sequence[Tensor], values: Sequence[Values], settings: Settings, draws: Draws
) -> Tensor:
    """The mean length of the parents in the direction m that is the Riemannian centre of mass of the u_i = x_i / |x_i|
    (Karcher): sum_i log_m(u_i) = 0, reached by m <- exp_m(1/N sum_i log_m(u_i)) from their mean.

    Runs on the inner products of the parents in float64, so an iteration costs nothing and the default goes on until
    float32 can tell no difference; mergekit stops at a step of 1e-5 or the tenth, in the tensors' own type, with lengths
    summed in float32 (see `merging.spheres`). Zero tensors have no direction and count with length 0. Where directions
    cancel out there is no centre, and the result is the plain mean; mergekit takes the first parent's direction.
    """
    return combine(parents, _coefficients(products(parents), settings))


def as_pass(values: Sequence[Values], settings: Settings, keepers: Keepers) -> Pass:
    """See `AsPass`."""
    return Pass(_coefficients(keepers.products(), settings))


def _coefficients(products: Numbers, settings: Settings) -> tuple[float, ...]:
    lengths = lengths_of(products).tolist()
    units = cosines(products, of_zero=0.0).tolist()
    present = [i for i, length in enumerate(lengths) if length]
    among = [[units[i][j] for j in present] for i in present]
    mean = mean_direction(among, int(settings["max_iter"]), settings["tol"])
    if mean is None:
        return (1 / len(lengths),) * len(lengths)
    length = sum(lengths) / len(lengths)
    coefficients = [0.0] * len(lengths)
    for i, coefficient in zip(present, mean, strict=True):
        coefficients[i] = coefficient * length / lengths[i]
    return tuple(coefficients)


METHOD = Method(
    name="karcher",
    title="Karcher mean",
    summary="The average of the parents on the sphere, every parent alike.",
    source="Karcher, Riemannian center of mass, 1977, https://doi.org/10.1002/cpa.3160300502; as in mergekit, "
    "https://github.com/arcee-ai/mergekit",
    base="none",
    min_parents=1,
    max_parents=None,
    parameters=(
        Parameter("max_iter", 1, 100, 100, per="recipe", help="The largest number of steps.", at_least=0.0),
        Parameter(
            "tol",
            1e-8,
            1e-3,
            1e-7,
            per="recipe",
            help="A step shorter than this angle, in radians, is not taken any more.",
            at_least=0.0,
        ),
    ),
    merge=merge,
    as_pass=as_pass,
)

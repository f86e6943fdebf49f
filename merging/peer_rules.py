"""mergekit's own arithmetic, for imported recipes: the tensors that a recipe's owner had, defects included. Imports torch.

Facts of mergekit 0.1.5 on a CPU, each verified against its results (`benchmarks/parity.py`). Tensors come in the
recipe's `as_mergekit` dtype and leave in it; where a step rounds to it there, it rounds to it here, so a step is the same
torch operation on the same shapes. Sums are torch's: their last bit belongs to a processor and a number of threads, as
it does there. What is random comes from one stream for the whole merge: tensors in string order of their names, parents
in the recipe's order.

Not followed where mergekit itself is unspecified, because its sorts are not stable: of equal magnitudes at a threshold it
keeps some (TIES, breadcrumbs), and it ranks them in some order (DELLA). Here all of them stay, and they rank in memory
order.

No rule here is a recommendation: `merging/methods/` says what is done otherwise, and why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import torch
from torch import Tensor

from merging.elements import dtype_of
from merging.errors import TensorError
from merging.methods.method import Settings, Values
from merging.peer_draws import PeerDraws, shares_by_rank
from merging.spheres import peer_arc, products


class Rule(Protocol):
    """Merges one tensor as mergekit does; what `Merge` is for our methods, with one stream of random numbers for all tensors."""

    def __call__(
        self,
        base: Tensor | None,
        parents: Sequence[Tensor],
        values: Sequence[Values],
        settings: Settings,
        draws: PeerDraws,
    ) -> Tensor: ...


Sparsify = Callable[[Tensor, Values, Settings, PeerDraws], Tensor]
"""From a task vector to the mask of what is kept of it: bool, or 0 and 1."""


# Averages


def _linear(
    base: Tensor | None, parents: Sequence[Tensor], values: Sequence[Values], settings: Settings, draws: PeerDraws
) -> Tensor:
    """Weights, products and sums are float32; rounds once."""
    weights = torch.tensor([[value["weight"] for value in values]], dtype=torch.float32, device=parents[0].device)
    total = torch.zeros_like(parents[0], dtype=torch.float32)
    for parent, weight in zip(parents, weights[0], strict=True):
        total.addcmul_(parent, weight)
    if settings["normalize"]:
        total.div_(weights.sum(dim=1))
    return total.to(parents[0].dtype)


def _passthrough(
    base: Tensor | None, parents: Sequence[Tensor], values: Sequence[Values], settings: Settings, draws: PeerDraws
) -> Tensor:
    return parents[0] * values[0]["scale"]


# Spheres


def _slerp(
    base: Tensor | None, parents: Sequence[Tensor], values: Sequence[Values], settings: Settings, draws: PeerDraws
) -> Tensor:
    """float32, from exact inner products: mergekit's own sums are float32, a million elements at a time."""
    shares = peer_arc(products([parent.float() for parent in parents]), settings["t"])
    one, two = (parent.float() * share for parent, share in zip(parents, shares, strict=True))
    return one.add_(two).to(parents[0].dtype)


def _nuslerp(
    base: Tensor | None, parents: Sequence[Tensor], values: Sequence[Values], settings: Settings, draws: PeerDraws
) -> Tensor:
    """All in the tensors' dtype; the straight line where the cosine rounds to 1."""
    one, two = (value["weight"] for value in values)
    t = 0.5 if abs(one + two) < 1e-6 else two / (one + two)
    ends = [parent if base is None else parent - base for parent in parents]
    if settings["flatten"]:
        ends = [end.reshape(-1) for end in ends]
    elif settings["column_wise"]:
        ends = [end.transpose(0, -1) for end in ends]
    units = [end / torch.norm(end, dim=-1, keepdim=True).clamp(min=1e-7) for end in ends]
    cos = torch.sum(units[0] * units[1], dim=-1, keepdim=True).clamp(-1, 1)
    straight = (1 - cos.square()) <= 1e-16
    theta = torch.acos(torch.where(straight, 0, cos))
    arc = (torch.sin((1 - t) * theta) * ends[0] + torch.sin(t * theta) * ends[1]) / torch.sin(theta)
    mixed = torch.where(straight, (1 - t) * ends[0] + t * ends[1], arc)
    if settings["column_wise"] and not settings["flatten"]:
        mixed = mixed.transpose(0, -1)
    mixed = mixed.reshape(parents[0].shape)
    return mixed if base is None else base + mixed


def _multislerp(
    base: Tensor | None, parents: Sequence[Tensor], values: Sequence[Values], settings: Settings, draws: PeerDraws
) -> Tensor:
    """All in the tensors' dtype, with 1e-8 added to lengths, and with the step in the tangent space, which only rounds."""
    if len(parents) == 1:
        return parents[0]
    shape = parents[0].shape
    vectors = torch.stack([parent if base is None else parent - base for parent in parents]).reshape(
        len(parents), parents[0].numel()
    )
    weights = _weights(values, vectors)  # [parents]
    if settings["normalize_weights"]:
        weights = weights / weights.sum()
    lengths = torch.norm(vectors, dim=-1, keepdim=True)
    units = vectors / (lengths + 1e-8)
    mean = (units * weights.view(-1, 1)).sum(0)
    length = torch.norm(mean)
    if float(length) < 1e-8:
        if len(parents) > 2:
            raise TensorError(
                "the weighted directions of the parents cancel out; mergekit merges only two such parents"
            )
        mixed = vectors[0] * weights[0] + vectors[1] * weights[1]
    else:
        mean = mean / length
        outward = units - (units * mean).sum(-1, keepdim=True) * mean
        tangent = (outward * weights.view(-1, 1)).sum(0)
        angle = torch.norm(tangent) + 1e-8
        mixed = mean * torch.cos(angle) + tangent * (torch.sin(angle) / angle)
        mixed = mixed * (lengths.squeeze(-1) * weights).sum()
    mixed = mixed.view(shape)
    return mixed if base is None else mixed + base


def _karcher(
    base: Tensor | None, parents: Sequence[Tensor], values: Sequence[Values], settings: Settings, draws: PeerDraws
) -> Tensor:
    """Lengths in float32, unit vectors and their products in the tensors' dtype; short tensors, at most `tol`, have no
    direction.
    """
    if len(parents) == 1:
        return parents[0]
    tol, share = settings["tol"], 1 / len(parents)
    lengths = [_length(parent) for parent in parents]
    units = [
        (parent / length).to(parent.dtype)
        for parent, length in zip(parents, lengths, strict=True)
        if float(length) > tol
    ]
    if not units:
        return torch.zeros_like(parents[0])
    each = share / sum([share] * len(units))
    mean = torch.zeros_like(units[0])
    for unit in units:
        mean += each * unit
    length = _length(mean)
    mean = units[0].clone() if float(length) < tol else (mean / length).to(mean.dtype)
    for _ in range(int(settings["max_iter"])):
        tangent = _tangent(mean, units, each, tol)
        angle = _length(tangent)
        if float(angle) < tol:
            break
        mean = (torch.cos(angle) * mean + torch.sin(angle) * (tangent / angle)).to(mean.dtype)
        length = _length(mean)
        if float(length) > tol:
            mean = (mean / length).to(mean.dtype)
    length = sum((share * length for length in lengths[1:]), share * lengths[0])
    return length * mean


def _length(tensor: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(tensor.float())
    return length


def _tangent(mean: Tensor, units: Sequence[Tensor], share: float, tol: float) -> Tensor:
    tangent = torch.zeros_like(mean)
    for unit in units:
        cos = torch.clamp(torch.dot(mean.flatten(), unit.flatten()), -1.0, 1.0)
        theta = torch.arccos(cos)
        if float(theta) >= tol:
            tangent += share * (theta / torch.sin(theta)) * (unit - cos * mean)
    return tangent


def _model_stock(
    base: Tensor | None, parents: Sequence[Tensor], values: Sequence[Values], settings: Settings, draws: PeerDraws
) -> Tensor:
    """All in the tensors' dtype; cosines of short task vectors are too small, and a negative cosine goes away from the parents."""
    base = _given(base)
    shape = base.shape
    rows = base.shape if base.ndim > 1 else (1, *base.shape)
    start, *ends = (tensor.reshape(rows if settings["filter_wise"] else (-1,)) for tensor in (base, *parents))
    taus = [end - start for end in ends]
    cosines = [
        ((one * two).sum(dim=-1) / (torch.norm(one, dim=-1) * torch.norm(two, dim=-1)).clamp(min=1e-6)).clamp(-1, 1)
        for i, one in enumerate(taus)
        for two in taus[i + 1 :]
    ]
    cos = torch.stack(cosines).mean(dim=0).unsqueeze(-1)
    divisor = 1 + (len(ends) - 1) * cos
    is_singular = divisor.abs() < 1e-6
    t = torch.where(is_singular, 0, len(ends) * cos / torch.where(is_singular, 1, divisor))
    return (t * (sum(ends) / len(ends)) + (1 - t) * start).reshape(shape)


# Task vectors


@dataclass(frozen=True)
class _Family:
    """A method of the task arithmetic family: what it keeps of a task vector, and whether elements elect a sign.

    `rescales`: what is kept is scaled to the L1 norm of the whole, unless the recipe says otherwise.
    """

    sparsify: Sparsify | None = None
    elects: bool = False
    rescales: bool = False

    def __call__(
        self,
        base: Tensor | None,
        parents: Sequence[Tensor],
        values: Sequence[Values],
        settings: Settings,
        draws: PeerDraws,
    ) -> Tensor:
        """In the tensors' dtype; weights are rounded to it before the product, and lambda after the division."""
        base = _given(base)
        scaled = torch.stack(
            [self._kept(parent - base, value, settings, draws) for parent, value in zip(parents, values, strict=True)]
        )
        weights = _weights(values, scaled).view(-1, *(1,) * base.ndim)
        scaled.mul_(weights)
        if self.elects:
            agrees = scaled.sign() == torch.where(scaled.sum(dim=0) >= 0, 1.0, -1.0)  # zeros agree with nobody
            mixed, divisor = (scaled * agrees).sum(dim=0), (weights * agrees).sum(dim=0)
            divisor[divisor == 0] = 1
        else:
            mixed, divisor = scaled.sum(dim=0), weights.sum(dim=0)
            divisor[divisor.abs() < 1e-8] = 1
        if settings["normalize"]:
            mixed /= divisor
        if settings["lambda"] != 1:
            mixed *= settings["lambda"]
        return base + mixed

    def _kept(self, tau: Tensor, value: Values, settings: Settings, draws: PeerDraws) -> Tensor:
        if self.sparsify is None or value["density"] >= 1 or not tau.numel():
            return tau
        work = tau.float() if tau.dtype == torch.float16 else tau  # it draws no masks in float16
        kept = work * self.sparsify(work, value, settings, draws)
        if self.rescales and settings.get("rescale", True):
            whole, left = work.abs().sum(), kept.abs().sum()
            if whole >= 1e-7 and left >= 1e-7:
                kept = kept * (whole / left)
        return kept.to(tau.dtype)


def _largest(tau: Tensor, value: Values, settings: Settings, draws: PeerDraws) -> Tensor:
    """The max(1, int(density n)) largest magnitudes, and their equals."""
    magnitude = tau.abs().float()
    n_kept = max(1, int(value["density"] * tau.numel()))
    return magnitude >= _nth_smallest(magnitude, tau.numel() - n_kept)


def _middle(tau: Tensor, value: Values, settings: Settings, draws: PeerDraws) -> Tensor:
    """int(density n) magnitudes, the largest but for int(gamma n), or fewer where density leaves no room for these."""
    magnitude, n = tau.abs().float(), tau.numel()
    n_kept, n_top = int(value["density"] * n), int(settings["gamma"] * n)
    lowest = max(0, n - n_kept - n_top)
    if not n_kept:
        return torch.zeros_like(tau, dtype=torch.bool)
    low, high = _nth_smallest(magnitude, lowest), _nth_smallest(magnitude, lowest + n_kept - 1)
    return (magnitude >= low) & (magnitude <= high)


def _random(tau: Tensor, value: Values, settings: Settings, draws: PeerDraws) -> Tensor:
    """Each with probability density, rounded to the dtype."""
    return draws.keep(torch.full_like(tau, value["density"]))


def _ranked(tau: Tensor, value: Values, settings: Settings, draws: PeerDraws) -> Tensor:
    """Each with a probability from density - epsilon to density + epsilon by its rank in its row; ranks are numbers of the
    dtype, so bfloat16 has few of them.
    """
    density, epsilon = value["density"], settings["epsilon"]
    rows = tau.view(1, -1) if tau.ndim < 2 else tau
    shares = shares_by_rank(rows.shape[1], density, epsilon, dtype_of(tau))
    ranks = rows.abs().argsort(dim=1, stable=True).argsort(dim=1)
    return draws.keep(torch.from_numpy(shares).to(ranks.device, tau.dtype)[ranks]).view(tau.shape)


def _sce(
    base: Tensor | None, parents: Sequence[Tensor], values: Sequence[Values], settings: Settings, draws: PeerDraws
) -> Tensor:
    """Weights are equal when the mean squares of the task vectors sum to less than 1e-6."""
    base = _given(base)
    taus = torch.stack([parent - base for parent in parents])
    share = settings["select_topk"]
    if share < 1:
        variance = torch.var(taus, dim=0, unbiased=False)
        n_kept = int(torch.count_nonzero(variance) * share)
        selected = torch.zeros_like(variance)
        selected.view(-1)[torch.topk(variance.view(-1), k=n_kept).indices] = 1
        taus = taus * selected
    agrees = taus.sign() == torch.where(taus.sum(dim=0) >= 0, 1.0, -1.0)
    energies = taus.square().reshape(len(parents), parents[0].numel()).mean(dim=1)
    total = torch.sum(energies).item()
    weights = torch.ones_like(energies) / len(parents) if total < 1e-6 else energies / total
    erased = weights.view(-1, *(1,) * base.ndim) * agrees
    return base + (taus * erased).sum(dim=0) / erased.sum(dim=0).clamp(min=1e-6)


def _nearswap(
    base: Tensor | None, parents: Sequence[Tensor], values: Sequence[Values], settings: Settings, draws: PeerDraws
) -> Tensor:
    """Differences count as at least 1e-6."""
    base, (parent,) = _given(base), parents
    share = (settings["t"] / (base - parent).abs().clamp(min=1e-6)).clamp(min=0, max=1)
    return share * parent + (1 - share) * base


SAMPLE: Final = 1_000_000
"""Elements that Arcee Fusion takes quartiles of."""


def _arcee_fusion(
    base: Tensor | None, parents: Sequence[Tensor], values: Sequence[Values], settings: Settings, draws: PeerDraws
) -> Tensor:
    """Leaves in float32. Quartiles of larger tensors are those of random elements, drawn with replacement."""
    base, (parent,) = _given(base), parents
    p, q = (tensor.softmax(dim=-1) + 1e-8 for tensor in (parent, base))
    importance = (parent - base).abs() * torch.sum(p * torch.log(p / q), dim=-1, keepdim=True)
    if not importance.numel():
        return base.float()
    flat = importance.reshape(-1)
    if len(flat) > SAMPLE:
        flat = flat[draws.places(len(flat), SAMPLE).to(flat.device)]
    ascending = flat.sort().values
    first, median, third = (ascending[int(torch.tensor(share) * (len(flat) - 1))] for share in (0.25, 0.5, 0.75))
    kept = (importance >= median + 1.5 * (third - first)).float()
    return base + (parent - base) * kept


def _given(base: Tensor | None) -> Tensor:
    if base is None:
        raise TensorError("task vectors are measured from a base model, and there is none")
    return base


def _weights(values: Sequence[Values], like: Tensor) -> Tensor:
    """Rounded to the dtype of the tensors. [parents]"""
    return torch.tensor([value["weight"] for value in values], dtype=like.dtype, device=like.device)


def _nth_smallest(magnitude: Tensor, place: int) -> Tensor:
    """The value at a place in ascending order, from 0."""
    return magnitude.flatten().kthvalue(place + 1).values


rules: Final[Mapping[str, Rule]] = {
    "linear": _linear,
    "passthrough": _passthrough,
    "slerp": _slerp,
    "nuslerp": _nuslerp,
    "multislerp": _multislerp,
    "karcher": _karcher,
    "model_stock": _model_stock,
    "task_arithmetic": _Family(),
    "ties": _Family(_largest, elects=True),
    "breadcrumbs": _Family(_middle),
    "breadcrumbs_ties": _Family(_middle, elects=True),
    "dare_linear": _Family(_random, rescales=True),
    "dare_ties": _Family(_random, elects=True, rescales=True),
    "della": _Family(_ranked, elects=True, rescales=True),
    "della_linear": _Family(_ranked, rescales=True),
    "sce": _sce,
    "nearswap": _nearswap,
    "arcee_fusion": _arcee_fusion,
}
"""By the method's name, here and there."""

"""Genomes of paths: which layers of two parents every token passes, and how much the residual stream is scaled on its way.

All layers of A, then all of B, the list repeated: each place in it is a slot, which a gene switches on, and a slot that is on
is a hop. Akiba et al., section 3.2: https://arxiv.org/abs/2403.13187; what they leave open is settled in `docs/data-flow.md`.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise
from statistics import NormalDist
from typing import Final, Literal, get_args

from merging.errors import GenomeError
from merging.hops import MAX_HOPS, Hop, LayerPath
from merging.paths import path_recipe
from merging.recipes import Dtype, Parent, Recipe
from merging.spaces import Axes, Genome, check_genome, is_on

Scales = Literal["matrix", "network", "slot", "one"]
SCALES: Final[tuple[Scales, ...]] = get_args(Scales)
LOW, HIGH = 0.5, 1.5
"""The scales that a search tries. A gene of 0.5 is a scale of exactly 1."""
LIKELY, UNLIKELY = 0.5 + 2 / 6, 0.5 - 2 / 6
"""Switches two standard deviations of the paper's CMA-ES from the middle: on, or off, with p = 0.977."""
P_LEAST: Final = 0.002
"""Of a slot at the start, at the lower end of its gene."""
N_HIDDEN: Final = 8
HIDDEN_REACH, OUT_REACH = 3.0, 0.75
"""How far the network's weights go from their start. First populations spread a scale by 0.24 then, and by 0.17 where it is a gene."""

Layer = tuple[int, int]
"""A parent's number and the number of one of its layers."""


@dataclass(frozen=True)
class Slot:
    """A place in the list of layers, in the pass `number` (from 0) through it. `switch` is its gene; None: it is always on."""

    parent: int
    layer: int
    number: int
    switch: int | None

    @property
    def of(self) -> Layer:
        return self.parent, self.layer


@dataclass(frozen=True)
class PathGene:
    """A switch, or what scales are made from."""

    name: str


@dataclass(frozen=True)
class PathSpace:
    """A `Space`; made by `path_space`. Genes are the switches of all slots that have one, in order of data flow, then the scales'.

    Scales, by word: "one": always 1, no genes. "slot": a gene for each slot but the first. "matrix": a gene for each two layers that can
    follow each other, W[i, j] of the paper. "network": 41 genes, the weights of its small network of i, j and the slot.
    """

    parents: tuple[Parent, ...]
    n_layers: tuple[int, ...]
    repeats: int
    scales: Scales
    max_hops: int
    dtype: Dtype
    seed: int
    p_others: float = 0.5

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        """In order of data flow. A's first layer of the first pass begins every path, its last one of the first pass ends it."""
        end = (0, self.n_layers[0] - 1)
        places = [
            (parent, layer, number)
            for number in range(self.repeats)
            for parent, n in enumerate(self.n_layers)
            for layer in range(n)
            if ((parent, layer), number) != (end, 0)
        ]
        free = [Slot(*place, switch) for switch, place in enumerate(places[1:])]
        return (Slot(0, 0, 0, None), *free, Slot(*end, 0, None))

    @property
    def n_switches(self) -> int:
        return len(self.slots) - 2

    @cached_property
    def genes(self) -> tuple[PathGene, ...]:
        switches = (self._name(slot) for slot in self.slots[1:-1])
        return tuple(PathGene(name) for name in (*switches, *self._scale_names()))

    @property
    def n_genes(self) -> int:
        return len(self.genes)

    @cached_property
    def axes(self) -> Axes:
        other = 0.5 + NormalDist().inv_cdf(self.p_others) / 6  # of CMA-ES's step at the start, 1/6
        starts = [LIKELY if slot.parent == 0 and slot.number == 0 else other for slot in self.slots[1:-1]]
        numbers = (0.5,) * (self.n_genes - self.n_switches)
        return Axes((*starts, *numbers), tuple(range(self.n_switches)), tuple(self._depends()))

    @property
    def centre(self) -> Genome:
        """A's own path: A as it is."""
        return self.axes.starts

    def decode(self, genome: Genome) -> Recipe:
        """See `Space`."""
        return path_recipe(self.parents, self.path(genome), self.dtype)

    def path(self, genome: Genome) -> LayerPath:
        """The path of a genome, through the slots that are `passed`."""
        check_genome(genome, self.genes)
        chosen = self.passed(genome)
        scales = (1.0, *(self._scale(genome, before, after) for before, after in pairwise(chosen)))
        slots = (self.slots[number] for number in chosen)
        return LayerPath(tuple(Hop(slot.parent, slot.layer, scale) for slot, scale in zip(slots, scales, strict=True)))

    def encode(self, recipe: Recipe) -> Genome:
        """See `Space`. Every hop takes the earliest slot that it can, and genes that do not matter are at their start.

        GenomeError also for other scales than 1 where a network makes them: its weights cannot be told from a path.
        """
        genome = self._genome(recipe)
        if genome is None or self.decode(genome) != recipe:
            raise GenomeError(f"this recipe belongs to another space: {recipe.sentence()}")
        return genome

    def passed(self, genome: Genome) -> tuple[int, ...]:
        """The numbers of the slots that are passed: those that are on, and both ends. Of more hops than `max_hops` those with the highest
        genes stay, earlier ones first among equals.
        """
        free = [(-genome[slot.switch], number) for number, slot in enumerate(self.slots) if slot.switch is not None]
        on = sorted((strength, number) for strength, number in free if is_on(-strength))[: self.max_hops - 2]
        return (0, *sorted(number for _, number in on), len(self.slots) - 1)

    def _scale(self, genome: Genome, before: int, after: int) -> float:
        """Of what comes from the slot `before` into the slot `after`, by number."""
        first, genes = self.n_switches, genome[self.n_switches :]
        if self.scales == "network":
            return self._from_network(genes, before, after)
        if self.scales == "one":
            return 1.0
        return LOW + genome[first + self._gene_of(before, after)] * (HIGH - LOW)

    def _gene_of(self, before: int, after: int) -> int:
        """The scale gene between two slots, counted from the first."""
        return after - 1 if self.scales == "slot" else self._pairs[self.slots[before].of, self.slots[after].of]

    @cached_property
    def _pairs(self) -> Mapping[tuple[Layer, Layer], int]:
        """The number of every pair of layers that can follow each other."""
        pairs = {(before.of, after.of) for before, after in combinations(self.slots, 2)}
        return {pair: number for number, pair in enumerate(sorted(pairs))}

    def _from_network(self, genes: Sequence[float], before: int, after: int) -> float:
        """w = 1 + tanh(v h + c) / 2, h = tanh(U x + b): x = (i, j, t), each from -1 to 1.

        v and c start at 0, where a scale is exactly 1 whatever comes in, and U and b at random numbers of the space's seed:
        hidden units that all start at 0 would say nothing until several weights had moved at once.
        """
        n_hidden_weights = 4 * N_HIDDEN
        moved = [2 * gene - 1 for gene in genes]
        hidden = [
            start + HIDDEN_REACH * x for start, x in zip(self._hidden_start, moved[:n_hidden_weights], strict=True)
        ]
        *out, shift = (OUT_REACH * x for x in moved[n_hidden_weights:])
        i, j = (self._number(self.slots[slot].of) for slot in (before, after))
        t = 2 * after / (len(self.slots) - 1) - 1
        rows = (hidden[4 * unit : 4 * unit + 4] for unit in range(N_HIDDEN))
        units = (math.tanh(a * i + b * j + c * t + d) for a, b, c, d in rows)
        return 1 + (HIGH - LOW) / 2 * math.tanh(sum(v * h for v, h in zip(out, units, strict=True)) + shift)

    @cached_property
    def _hidden_start(self) -> tuple[float, ...]:
        luck = random.Random(self.seed)  # its `random()` is the same in every version of Python
        return tuple(4 * luck.random() - 2 for _ in range(4 * N_HIDDEN))

    def _number(self, layer: Layer) -> float:
        """The layer's place among those of both parents, from -1 to 1."""
        parent, number = layer
        return 2 * (sum(self.n_layers[:parent]) + number) / (sum(self.n_layers) - 1) - 1

    def _depends(self) -> Iterator[tuple[int, int]]:
        """The scale genes that matter only while a slot is on; for two layers, while the second can be reached, or the first left."""
        if self.scales == "slot":
            yield from ((self.n_switches + number, slot.switch) for number, slot in enumerate(self.slots[1:-1])
                        if slot.switch is not None)  # fmt: skip
        elif self.scales == "matrix":
            switches: defaultdict[Layer, list[int | None]] = defaultdict(list)
            for slot in self.slots:
                switches[slot.of].append(slot.switch)
            for (before, after), number in self._pairs.items():
                only = next((switches[of] for of in (after, before) if None not in switches[of]), [])
                yield from ((self.n_switches + number, switch) for switch in only if switch is not None)

    def _name(self, slot: Slot) -> str:
        return f"{'' if self.repeats == 1 else f'pass {slot.number + 1} / '}{self._layer_name(slot.of)}"

    def _layer_name(self, of: Layer) -> str:
        return f"{self.parents[of[0]].name} / layer {of[1]}"

    def _scale_names(self) -> Iterable[str]:
        if self.scales == "slot":
            return [f"{self._name(slot)} / scale" for slot in self.slots[1:]]
        if self.scales == "matrix":
            return [f"{self._layer_name(a)} / to {self._layer_name(b)} / scale" for a, b in self._pairs]
        return [f"network / {number}" for number in range(5 * N_HIDDEN + 1)] if self.scales == "network" else ()

    def _genome(self, recipe: Recipe) -> Genome | None:
        """What could be a genome of the recipe; None where there is none for sure."""
        path = recipe.path
        if path is None or not {*recipe.parents} <= {*self.parents}:
            return None
        numbers = [self.parents.index(parent) for parent in recipe.parents]
        slots = self._earliest([(numbers[hop.parent], hop.layer) for hop in path.hops])
        if slots is None or (self.scales == "network" and {*path.scales} != {1.0}):
            return None
        genome = [UNLIKELY] * self.n_switches + [0.5] * (self.n_genes - self.n_switches)
        for slot in slots[1:-1]:
            genome[slot - 1] = LIKELY
        if self.scales in ("slot", "matrix"):
            for (before, after), scale in zip(pairwise(slots), path.scales[1:], strict=True):
                if not LOW <= scale <= HIGH:
                    return None
                genome[self.n_switches + self._gene_of(before, after)] = (scale - LOW) / (HIGH - LOW)
        return tuple(genome)

    def _earliest(self, layers: Sequence[Layer]) -> list[int] | None:
        """The earliest slots, by number, that are these layers in order; None when there are none."""
        of = [slot.of for slot in self.slots]
        if len(layers) < 2 or layers[-1] != of[-1]:
            return None
        found, last = [0], len(of) - 1
        for layer in layers[1:-1]:
            number = next((n for n in range(found[-1] + 1, last) if of[n] == layer), None)
            if number is None:
                return None
            found.append(number)
        return [*found, last]


def path_space(
    *,
    parents: Sequence[Parent],
    n_layers: Sequence[int],
    repeats: int,
    scales: str,
    max_hops: int,
    dtype: Dtype,
    seed: int,
    p_others: float = 0.5,
) -> PathSpace:
    """The data-flow space of parents A and B with so many layers, or of A alone: its own layers skipped and repeated.

    Swapping A and B makes another space: embeddings, both ends of the path, final norm and head are A's. `seed` decides only where
    the network's hidden weights start. Slots that are not of A's own path are on with probability `p_others` at the start: 0.5 in
    the paper, where half of all layers come in at once; with less a search begins nearer to A.

    GenomeError for a number of parents, layers, repeats or hops that makes no space; A's own path must be short enough.
    """
    if not 1 <= len(parents) == len(n_layers) <= 2:
        raise GenomeError(
            f"{len(parents)} parents with {len(n_layers)} numbers of layers; expected one or two, each with its layers"
        )
    for parent, n, least in zip(parents, n_layers, (2, 1)[: len(parents)], strict=True):
        if n < least:
            raise GenomeError(
                f"the layers of {parent.name} are {n}; expected {least} or more: A's first and last are both ends"
            )
    if repeats < 1 or repeats * sum(n_layers) > MAX_HOPS:
        raise GenomeError(
            f"the {sum(n_layers)} layers are repeated {repeats} times; expected 1 to {MAX_HOPS // sum(n_layers)} times"
        )
    if scales not in SCALES:
        raise GenomeError(f"scales are {scales!r}; expected one of {', '.join(SCALES)}")
    if max_hops < n_layers[0]:
        raise GenomeError(
            f"a path has at most {max_hops} hops; {parents[0].name} alone has {n_layers[0]} layers: expected as many or more"
        )
    if not P_LEAST <= p_others <= 0.5:
        raise GenomeError(
            f"other layers than A's are on with probability {p_others} at the start; expected {P_LEAST} to 0.5"
        )
    known: Scales = next(word for word in SCALES if word == scales)
    return PathSpace(tuple(parents), tuple(n_layers), repeats, known, max_hops, dtype, seed, p_others)

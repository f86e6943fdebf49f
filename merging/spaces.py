"""What a search knows of a space, and what a space is: genomes on one side, recipes on the other.

Knows no method, no path and no algorithm.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from merging.errors import GenomeError
from merging.recipes import Recipe

Genome = tuple[float, ...]
"""Genes in [0, 1], as many as the space has."""


def population_digest(genomes: Sequence[Genome]) -> str:
    """sha256 of the float64 genomes in index order, little-endian."""
    packed = b"".join(struct.pack(f"<{len(genome)}d", *genome) for genome in genomes)
    return "sha256:" + hashlib.sha256(packed).hexdigest()


def is_on(gene: float) -> bool:
    """Whether a switch is on."""
    return gene > 0.5


@dataclass(frozen=True)
class Axes:
    """The genes of a space as a search sees them: where each starts, and which are not numbers but switches.

    `starts`: the mean of each gene at the start; 0.5 where nothing is known. `switches`: the genes of which only matters
    whether they are on (`is_on`), in ascending order. `depends`: pairs of a gene and a switch; a gene that comes here matters
    only while at least one of its switches is on. GenomeError for what is not so.
    """

    starts: tuple[float, ...]
    switches: tuple[int, ...] = ()
    depends: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        for gene, start in enumerate(self.starts):
            if not 0 <= start <= 1:
                raise GenomeError(f"gene {gene} starts at {start!r}; expected a number from 0 to 1")
        if list(self.switches) != sorted({*self.switches} & {*range(self.n_genes)}):
            raise GenomeError(f"the switches are {self.switches}; expected some of {self.n_genes} genes in order")
        switches = {*self.switches}
        for gene, switch in self.depends:
            if switch not in switches or gene in switches or not 0 <= gene < self.n_genes:
                raise GenomeError(f"gene {gene} depends on gene {switch}; expected a number and a switch")

    @staticmethod
    def plain(n_genes: int) -> Axes:
        """Numbers only, of which nothing is known."""
        return Axes((0.5,) * n_genes)

    @property
    def n_genes(self) -> int:
        return len(self.starts)

    @cached_property
    def numbers(self) -> tuple[int, ...]:
        """The genes that are not switches, in order."""
        switches = {*self.switches}
        return tuple(gene for gene in range(self.n_genes) if gene not in switches)


class Gene(Protocol):
    """One number to find."""

    @property
    def name(self) -> str:
        """For people, with ` / ` between its parts."""
        ...


class Space(Protocol):
    """All recipes that a search can reach. A value: equal settings give equal spaces, and the same genome the same recipe."""

    @property
    def genes(self) -> Sequence[Gene]: ...

    @property
    def n_genes(self) -> int: ...

    @property
    def axes(self) -> Axes: ...

    @property
    def centre(self) -> Genome:
        """Where a search starts; its recipe is the baseline "starting point"."""
        ...

    def decode(self, genome: Genome) -> Recipe:
        """The recipe of a genome; GenomeError for another length or a gene outside [0, 1]."""
        ...

    def encode(self, recipe: Recipe) -> Genome:
        """A genome of the recipe, to within rounding; GenomeError for a recipe of another space."""
        ...


def check_genome(genome: Genome, genes: Sequence[Gene]) -> None:
    """GenomeError unless there is a number from 0 to 1 for each gene."""
    if len(genome) != len(genes):
        raise GenomeError(f"the genome has {len(genome)} genes; expected {len(genes)}")
    for gene, x in zip(genes, genome, strict=True):
        if not 0 <= x <= 1:
            raise GenomeError(f"gene {gene.name} is {x!r}; expected a number from 0 to 1")

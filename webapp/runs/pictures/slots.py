"""Which layers a search for paths settles on: the share of each generation's candidates that pass a slot, as a map over generations.

A generation's counts are stored when it opens, so a map of any number of candidates is one query. Computes geometry in pixels; the
template draws it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from merging.path_genomes import PathSpace, Slot
from merging.spaces import Genome, is_on
from webapp.runs.config import RunConfig
from webapp.runs.models import Run
from webapp.runs.pictures import paths
from webapp.runs.pictures.labels import every

LEFT, RIGHT = 76, 8  # for layers' numbers
WIDTH: Final = 956
NARROWEST, WIDEST = 3.0, 28.0  # columns
HEIGHT: Final = 420  # of all rows, as far as they have a height to choose
LOWEST, HIGHEST = 3.0, 16.0  # rows
NAME_HEIGHT, FOOT = 28, 26
CHARACTER: Final = 8.0  # of a name, at most
LABEL_STEP, FOOT_STEP = 15, 30  # between two numbers beside rows, below columns, at least
N_LEVELS: Final = 7  # of --ramp-0 to --ramp-6: the ends are none and all
IN_TABLE: Final = 6


@dataclass(frozen=True)
class Row:
    """One slot: `shares` are of each generation's candidates, as percent and as the columns of the table."""

    y: float
    label: int | None
    words: str
    layer: int
    is_fixed: bool
    shares: list[float]
    in_table: list[float]


@dataclass(frozen=True)
class Group:
    """The slots of one parent in one pass. `sign` counts the parents from 1."""

    name: str
    sign: int
    name_y: float
    rows: list[Row]


@dataclass(frozen=True)
class Column:
    """A generation whose number stands below."""

    x: float
    number: int


@dataclass(frozen=True)
class SlotMap:
    """The picture: `levels` are SVG paths of the cells from none to all, drawn as thick as `row`. `packed` has each cell's percent in two
    hexadecimal digits, row by row, and `sizes` the number of candidates of each generation.
    """

    width: float
    height: float
    left: float
    step: float
    row: float
    n_generations: int
    groups: list[Group]
    levels: list[str]
    columns: list[Column]
    table_columns: list[int]
    packed: str
    sizes: str
    sentence: str

    @property
    def foot(self) -> float:
        return self.height - 8

    @property
    def thick(self) -> float:
        """How thick a cell is drawn: rows that are high enough keep a line between them."""
        return self.row - 1 if self.row >= 6 else self.row

    @property
    def plot_width(self) -> float:
        return round(self.step * self.n_generations, 1)


@dataclass(frozen=True)
class Switch:
    """What a genome says of one slot: `state` is passed, off, or left out by the bound on hops."""

    name: str
    gene: float
    state: str


def switches(config: RunConfig, genome: Genome) -> list[Switch]:
    """The switches of a path's genome; empty where its space is not known."""
    space = paths.space_of(config)
    if space is None or len(genome) != space.n_genes:
        return []
    passed = set(space.passed(genome))
    return [
        Switch(space.genes[slot.switch].name, gene := genome[slot.switch], _state(number in passed, gene))
        for number, slot in enumerate(space.slots)
        if slot.switch is not None
    ]


def _state(is_passed: bool, gene: float) -> str:
    return "passed" if is_passed else "left out: too many hops" if is_on(gene) else "off"


def slot_map(run: Run, config: RunConfig) -> SlotMap | None:
    """The map of a run that searches for a path; None before its first generation, and where its parents' layers are not known."""
    space = paths.space_of(config)
    if space is None:
        return None
    stored = run.generations.order_by("number").values_list("passed", flat=True)
    counts = [row for row in stored if row and len(row) == len(space.slots)]
    return _Draft(space, counts).slot_map() if counts else None


@dataclass(frozen=True)
class _Draft:
    """What a map is made from: `counts[generation][slot]`."""

    space: PathSpace
    counts: Sequence[Sequence[int]]

    @property
    def n(self) -> int:
        return len(self.counts)

    @property
    def row(self) -> float:
        return min(HIGHEST, max(LOWEST, HEIGHT / len(self.space.slots)))

    @property
    def step(self) -> float:
        return min(WIDEST, max(NARROWEST, (WIDTH - LEFT - RIGHT) / self.n))

    @property
    def sizes(self) -> list[int]:
        """Every candidate passes the first slot."""
        return [counts[0] for counts in self.counts]

    def slot_map(self) -> SlotMap:
        table_columns = sorted({round(i * (self.n - 1) / (IN_TABLE - 1)) for i in range(IN_TABLE)})
        groups, bottom = self._groups(table_columns)
        rows = [row for group in groups for row in group.rows]
        nth = every(self.step, FOOT_STEP)
        return SlotMap(
            width=round(
                max(LEFT + self.step * self.n + RIGHT, CHARACTER * max(len(group.name) for group in groups)), 1
            ),
            height=round(bottom + FOOT, 1),
            left=LEFT,
            step=round(self.step, 2),
            row=round(self.row, 2),
            n_generations=self.n,
            groups=groups,
            levels=self._levels(rows),
            columns=[Column(round(LEFT + (i + 0.5) * self.step, 1), i) for i in range(0, self.n, nth)],
            table_columns=table_columns,
            packed="".join(f"{round(100 * share):02x}" for row in rows for share in row.shares),
            sizes=" ".join(map(str, self.sizes)),
            sentence=self._sentence(),
        )

    def _groups(self, table_columns: Sequence[int]) -> tuple[list[Group], float]:
        """Slots in order of data flow, the passes one below the other; and where the last ends."""
        nth = every(self.row, LABEL_STEP)
        groups, at = [], 0.0
        numbered = groupby(enumerate(self.space.slots), key=lambda pair: (pair[1].number, pair[1].parent))
        for _, members in numbered:
            slots = list(members)
            top = at + NAME_HEIGHT
            rows = [
                self._row(top + (i + 0.5) * self.row, number, slot, i % nth == 0, table_columns)
                for i, (number, slot) in enumerate(slots)
            ]
            number, first = slots[0]
            name = self._pass(first) if number < len(self.space.slots) - 1 else f"{self._name(first)}, at the end"
            groups.append(Group(name, first.parent + 1, round(at + 20, 1), rows))
            at = top + len(rows) * self.row
        return groups, at

    def _row(self, y: float, number: int, slot: Slot, is_labelled: bool, table_columns: Sequence[int]) -> Row:
        shares = [counts[number] / size for counts, size in zip(self.counts, self.sizes, strict=True)]
        return Row(
            y=round(y, 1),
            label=slot.layer if is_labelled else None,
            words=f"layer {slot.layer} of {self._pass(slot)}{', always passed' if slot.switch is None else ''}",
            layer=slot.layer,
            is_fixed=slot.switch is None,
            shares=shares,
            in_table=[shares[column] for column in table_columns],
        )

    def _name(self, slot: Slot) -> str:
        return self.space.parents[slot.parent].name

    def _pass(self, slot: Slot) -> str:
        return self._name(slot) if self.space.repeats == 1 else f"{self._name(slot)}, pass {slot.number + 1}"

    def _levels(self, rows: Sequence[Row]) -> list[str]:
        """Neighbours of one level are one line. What nobody passes is the ground."""
        found: list[list[str]] = [[] for _ in range(N_LEVELS)]
        for row in rows:
            at = 0
            for level, cells in groupby(map(_level, row.shares)):
                length = len(list(cells))
                found[level].append(f"M{LEFT + at * self.step:.5g} {row.y:g}h{length * self.step:.5g}")
                at += length
        return ["".join(lines) for lines in found]

    def _sentence(self) -> str:
        """How far the newest generation agrees."""
        counts, size = self.counts[-1], self.sizes[-1]
        free = [n for n, slot in zip(counts, self.space.slots, strict=True) if slot.switch is not None]
        n_settled = sum(n in (0, size) for n in free)
        return (
            f"In generation {self.n - 1} a path has {sum(counts) / size:.1f} hops on average, of {len(counts)} slots; "
            f"about {n_settled} of the {len(free)} slots that can be off, all {size} candidates agree."
        )


def _level(share: float) -> int:
    """None, all, and between them five steps."""
    return 0 if share == 0 else N_LEVELS - 1 if share == 1 else 1 + min(N_LEVELS - 3, int(share * (N_LEVELS - 2)))

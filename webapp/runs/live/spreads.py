"""The genes of generations in numbers: their means and standard deviations. A generation's genomes never change once it is open, so what
was read is kept. Of a run of very many generations evenly spaced ones are read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from django.db import connection

from webapp.runs.kept import keep
from webapp.runs.models import Generation, Run

MAX_SHOWN: Final = 100
KEPT: Final = 1000
"""Generations: of 100 genes each, about 7 MB."""
_SPREADS: Final = """
SELECT c.generation_id, avg(gene.value), stddev_pop(gene.value)
  FROM runs_candidate c, unnest(c.genome) WITH ORDINALITY AS gene(value, place)
 WHERE c.generation_id = ANY(%s)
 GROUP BY c.generation_id, gene.place ORDER BY c.generation_id, gene.place
"""


@dataclass(frozen=True)
class Spread:
    """Of the genomes of one generation: each gene's mean and standard deviation."""

    means: tuple[float, ...]
    deviations: tuple[float, ...]

    @cached_property
    def diversity(self) -> float:
        """How far apart the genomes are: the root mean square of the deviations, as a share of the genes' range."""
        return math.sqrt(math.fsum(deviation**2 for deviation in self.deviations) / len(self.deviations))


_kept: dict[int, Spread] = {}


def shown(run: Run) -> list[Generation]:
    """The generations of a run that pictures show, in order: all, or so many of them, the first and the newest included."""
    rows = list(run.generations.order_by("number").only("run", "number", "sigma"))
    if len(rows) <= MAX_SHOWN:
        return rows
    places = sorted({round(i * (len(rows) - 1) / (MAX_SHOWN - 1)) for i in range(MAX_SHOWN)})
    return [rows[place] for place in places]


def spreads(generations: Sequence[Generation]) -> dict[int, Spread]:
    """Per generation with genomes, by its key. One query for those that were not read before."""
    wanted = [generation.pk for generation in generations]
    found = {pk: _kept[pk] for pk in wanted if pk in _kept}
    if missing := [pk for pk in wanted if pk not in found]:
        found |= _read(missing)
        keep(_kept, found, KEPT)
    return found


def _read(keys: Sequence[int]) -> dict[int, Spread]:
    rows: dict[int, list[tuple[float, float]]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_SPREADS, [list(keys)])
        for key, mean, deviation in cursor.fetchall():
            rows.setdefault(key, []).append((mean, deviation))
    return {key: Spread(*map(tuple, zip(*genes, strict=True))) for key, genes in rows.items()}

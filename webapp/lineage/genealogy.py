"""Who came of whom: the runs that a run's parents were bred in, and the runs that its candidates are parents of, as a tree of boxes.

Only what this person may see: a run that is somebody else's is drawn as the model that came of it, or not at all. Computes geometry in
pixels; the template draws it, and says the same as a list.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import Q

from merging.recipes import Parent
from webapp.lineage.models import Adoption
from webapp.lineage.queries import open_origins
from webapp.runs.config import RunConfig
from webapp.runs.models import Candidate, Run
from webapp.sharing.access import runs_of

FARTHEST: Final = 4
"""Generations of runs before and after."""
MOST: Final = 60
"""Boxes, at most; what is farther away is left out first."""
BOX_WIDTH, BOX_HEIGHT = 180, 46
COLUMN, ROW = 240, 62
EDGE: Final = 2  # around all boxes, for their frames
N_CHARACTERS: Final = 21
Key = UUID | str
"""Of a run its id, of a model from elsewhere its folder."""


@dataclass(frozen=True)
class Link:
    """One came of the other: a model of a run that this candidate of another run was, or a model from elsewhere as it is."""

    older: Key
    younger: Key
    candidate: Candidate | None


@dataclass
class Tree:
    """The runs and models around a run, each with its distance: below 0 it was there before."""

    runs: dict[UUID, Run] = field(default_factory=dict)
    models: dict[str, Parent] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    at: dict[Key, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Box:
    """A run, or a model from elsewhere (`run` is None). `of` says of which candidates of which runs it came."""

    name: str
    short: str
    run: Run | None
    is_subject: bool
    x: float
    y: float
    of: list[tuple[str, Candidate | None]]
    width: int = BOX_WIDTH
    height: int = BOX_HEIGHT


@dataclass(frozen=True)
class Picture:
    """Boxes by age, the oldest left, and the lines between them as SVG paths, each with the candidate's name."""

    width: float
    height: float
    boxes: list[Box]
    lines: list[tuple[str, str, float, float]]

    @property
    def has_relatives(self) -> bool:
        """Another run came before or after."""
        return sum(box.run is not None for box in self.boxes) > 1


def picture(run: Run, user: User) -> Picture:
    """The tree around `run`, as this person may see it. A few queries for every generation, however many runs there are."""
    tree = Tree({run.pk: run}, at={run.pk: 0})
    _before(tree, run, user)
    _after(tree, run, user)
    return _drawn(tree, run)


def _before(tree: Tree, run: Run, user: User) -> None:
    """The models of a run, the runs in which those were bred, and so on."""
    new: list[Run] = [run]
    for distance in range(-1, -FARTHEST - 1, -1):
        models = {(one.pk, model.folder): model for one in new for model in RunConfig.from_json(one.config).parents}
        origins = open_origins({folder for _, folder in models}, user)
        fresh: dict[UUID, Run] = {}
        for (younger, folder), model in models.items():
            candidate = origins.get(folder)
            older: Key = candidate.run_id if candidate else folder
            if older not in tree.at and len(tree.at) >= MOST:
                continue
            tree.links.append(Link(older, younger, candidate))
            tree.at[older] = min(distance, tree.at.get(older, distance))
            if candidate is None:
                tree.models[folder] = model
            elif older not in tree.runs:
                fresh[candidate.run_id] = tree.runs[candidate.run_id] = candidate.run
        new = list(fresh.values())


def _after(tree: Tree, run: Run, user: User) -> None:
    """The runs of which candidates of a run are parents, and so on."""
    new: Mapping[UUID, Run] = {run.pk: run}
    for distance in range(1, FARTHEST + 1):
        adopted = Adoption.objects.filter(candidate__run__in=new, parent__isnull=False)
        adopted = adopted.select_related("candidate", "parent").defer("parent__inventory")
        by_folder = {adoption.parent.folder: adoption.candidate for adoption in adopted if adoption.parent}
        fresh: dict[UUID, Run] = {}
        for younger in _with_parents(by_folder, user)[:MOST]:
            if younger.pk not in tree.at and len(tree.at) >= MOST:
                continue
            for model in RunConfig.from_json(younger.config).parents:
                if candidate := by_folder.get(model.folder):
                    tree.links.append(Link(candidate.run_id, younger.pk, candidate))
            if younger.pk not in tree.at:
                fresh[younger.pk] = tree.runs[younger.pk] = younger
                tree.at[younger.pk] = distance
        new = fresh


def _with_parents(folders: Iterable[str], user: User) -> Sequence[Run]:
    """The runs with any of these models among their parents, the oldest first."""
    named = Q()
    for folder in folders:
        named |= Q(config__contains={"parents": [{"folder": folder}]})
    return list(runs_of(user).filter(named).order_by("created")) if named else []


def _drawn(tree: Tree, subject: Run) -> Picture:
    columns: defaultdict[int, list[Key]] = defaultdict(list)
    for key, distance in tree.at.items():
        columns[distance].append(key)
    most, first = max(map(len, columns.values())), min(columns)
    places = {
        key: ((distance - first) * COLUMN + EDGE, ROW * (i + (most - len(keys)) / 2) + EDGE)
        for distance, keys in columns.items()
        for i, key in enumerate(keys)
    }
    names: dict[Key, str] = {pk: run.name for pk, run in tree.runs.items()}
    names |= {folder: model.name for folder, model in tree.models.items()}
    of: defaultdict[Key, list[tuple[str, Candidate | None]]] = defaultdict(list)
    for link in tree.links:
        of[link.younger].append((names[link.older], link.candidate))
    boxes = [
        Box(names[key], _short(names[key]), _run(tree, key), key == subject.pk, *places[key], of[key])
        for key in sorted(places, key=lambda key: (places[key][0], places[key][1]))
    ]
    lines = [_line(places, link) for link in tree.links if places[link.older][0] < places[link.younger][0]]
    n_columns = max(columns) - first + 1
    width, height = COLUMN * (n_columns - 1) + BOX_WIDTH + 2 * EDGE, ROW * (most - 1) + BOX_HEIGHT + 2 * EDGE
    return Picture(width, height, boxes, lines)


def _run(tree: Tree, key: Key) -> Run | None:
    return tree.runs.get(key) if isinstance(key, UUID) else None


def _line(places: Mapping[Key, Any], link: Link) -> tuple[str, str, float, float]:
    """From the right of a box to the left of another, and the name of the candidate at its end."""
    (x0, y0), (x1, y1) = places[link.older], places[link.younger]
    x0, y0, y1 = x0 + BOX_WIDTH, y0 + BOX_HEIGHT / 2, y1 + BOX_HEIGHT / 2
    middle = x1 - (COLUMN - BOX_WIDTH) / 2
    path = f"M{x0:g} {y0:g}H{middle - 24:g}C{middle:g} {y0:g} {middle - 8:g} {y1:g} {x1:g} {y1:g}"
    return path, link.candidate.name if link.candidate else "", x0 + 4, y0 - 5


def _short(name: str) -> str:
    return name if len(name) <= N_CHARACTERS else f"{name[: N_CHARACTERS - 1]}…"

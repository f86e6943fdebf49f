"""The rows of one page of a whole leaderboard: the entries that are chosen, with what only a page of them is worth reading for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from merging.recipes import Parent, Recipe
from webapp.library.models import Parent as ParentRow
from webapp.marks.queries import UNMARKED, Marked
from webapp.runs.board import leaderboard
from webapp.runs.board.field import Entry, Field
from webapp.runs.board.standing import scores_of
from webapp.runs.config import RunConfig
from webapp.runs.kept import keep
from webapp.runs.models import Candidate, Run, Score
from webapp.runs.pictures.thumbnails import Thumbnail, thumbnail

KEPT: Final = 2000
"""Candidates whose drawn recipes are kept."""
_UNSOUND: Final = {
    "empty": "empty",
    "truncated": "cut",
    "repeated": "in a loop",
    "wrong_language": "in another language",
    "unextractable": "not read",
    "errors": "not judged",
}


@dataclass(frozen=True)
class Size:
    """How large a model is; None for what the library does not know, or nobody counts: the parameters of stacked layers."""

    n_layers: int | None
    n_parameters: int | None


@dataclass(frozen=True)
class Drawn:
    """What a row shows of a recipe, which never changes."""

    picture: Thumbnail | None
    sentence: str
    size: Size


@dataclass(frozen=True)
class Line:
    """One row. `rank` is that of the short leaderboard, with its bands; `place` stands for it below what is tested there. `unsound` are
    counts of what is wrong with its answers as such, in words. `opens_band` only where rows stand in the order of ranks.
    """

    entry: Entry
    rank: str
    place: str
    opens_band: bool
    is_winner: bool
    is_snapshot: bool
    is_finalist: bool
    bar: leaderboard.Bar
    parts: Sequence[Score]
    concerns: Sequence[str]
    unsound: Sequence[str]
    drawn: Drawn
    marked: Marked


@dataclass(frozen=True)
class Sources:
    """What is known of a run as a whole: `board` and `field` are its short and its whole leaderboard, `marks` by candidate."""

    run: Run
    config: RunConfig
    field: Field
    board: leaderboard.Board
    marks: Mapping[int, Marked]


def lines(sources: Sources, shown: Sequence[Entry], in_order: bool) -> list[Line]:
    """The rows of `shown`, entries of the run's field. `in_order`: they stand by rank, the best first."""
    if not shown:
        return []
    made = _Lines(sources, shown)
    return [made.line(entry, in_order) for entry in shown]


def unsound(scores: Sequence[Score]) -> list[str]:
    """`2 empty`, `1 cut`: what is wrong with the answers as such, all benchmarks together; empty where nothing is, or nobody looked."""
    counts = {name: sum(score.health.get(name, 0) for score in scores) for name in _UNSOUND}
    return [f"{n} {_UNSOUND[name]}" for name, n in counts.items() if n]


class _Lines:
    """Makes the rows of these entries, at least one, with what is stored elsewhere about them. Three queries at most."""

    def __init__(self, sources: Sources, shown: Sequence[Entry]) -> None:
        self._sources = sources
        self._short = {row.candidate.pk: row for row in (*sources.board.rows, *sources.board.unranked)}
        entries = sources.field.entries
        parents = [entry.search for entry in entries if entry.kind == "parent"]
        self._scale = leaderboard.Scale.around([entry.search for entry in entries], parents)
        self._scores = scores_of([entry.evaluation for entry in shown])
        self._drawn = _drawn([entry.pk for entry in shown], sources.config.parents)

    def line(self, entry: Entry, in_order: bool) -> Line:
        row, drawn, scores = self._short.get(entry.pk), self._drawn[entry.pk], self._scores.get(entry.evaluation, [])
        rank = "" if row is None or row.rank.startswith(">") else row.rank
        return Line(
            entry=entry,
            rank=rank,
            place=str(entry.place) if entry.place and not rank else "",
            opens_band=in_order and rank != "" and row is not None and row.opens_band,
            is_winner=entry.pk == self._sources.run.winner_id,
            is_snapshot=row is not None and row.is_snapshot,
            is_finalist=entry.final is not None and entry.kind == "evolved",
            bar=self._scale.bar(entry.search),
            parts=scores if len(self._sources.config.objectives) > 1 else (),
            concerns=[concern for score in scores for concern in score.concerns],
            unsound=unsound(scores),
            drawn=drawn,
            marked=self._sources.marks.get(entry.pk, UNMARKED),
        )


_kept: dict[int, Drawn] = {}


def _drawn(candidates: Sequence[int], parents: Sequence[Parent]) -> dict[int, Drawn]:
    """By candidate, of a run with these parents. Recipes that were not read before are checked and drawn, which takes milliseconds each."""
    known = {pk: drawn for pk in candidates if (drawn := _kept.get(pk)) is not None}
    unknown = [pk for pk in candidates if pk not in known]
    if unknown:
        sizes = _sizes(parents)
        rows = Candidate.objects.filter(pk__in=unknown).values_list("pk", "recipe")
        recipes = {pk: Recipe.from_json(recipe) for pk, recipe in rows}
        fresh = {
            pk: Drawn(thumbnail(recipe, parents), recipe.sentence(), _size(recipe, sizes))
            for pk, recipe in recipes.items()
        }
        known |= fresh
        keep(_kept, fresh, KEPT)
    return known


def _sizes(parents: Sequence[Parent]) -> dict[str, Size]:
    """By fingerprint, as far as the library knows these."""
    rows = ParentRow.objects.filter(fingerprint__in=[parent.fingerprint for parent in parents])
    facts = rows.values_list("fingerprint", "n_layers", "n_parameters")
    return {fingerprint: Size(n_layers, n_parameters) for fingerprint, n_layers, n_parameters in facts}


def _size(recipe: Recipe, of_parents: Mapping[str, Size]) -> Size:
    own = Size(recipe.n_layers, None)
    return own if recipe.is_stack else of_parents.get(recipe.donor.fingerprint, own)

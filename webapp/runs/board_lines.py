"""The rows of one page of a whole leaderboard: the entries that are chosen, with what only a page of them is worth reading for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from merging.recipes import Parent, Recipe
from webapp.library.models import Parent as ParentRow
from webapp.marks.queries import UNMARKED, Marked
from webapp.runs import leaderboard
from webapp.runs.config import RunConfig
from webapp.runs.field import Entry, Field
from webapp.runs.models import Candidate, Run, Score
from webapp.runs.standing import scores_of
from webapp.runs.thumbnails import Thumbnail, thumbnail

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
    picture: Thumbnail | None
    sentence: str
    size: Size
    marked: Marked


def lines(
    run: Run,
    config: RunConfig,
    field: Field,
    shown: Sequence[Entry],
    board: leaderboard.Board,
    marks: Mapping[int, Marked],
    in_order: bool,
) -> list[Line]:
    """The rows of `shown`, entries of `field`; `board` is the same run's. `in_order`: they stand by rank, the best first."""
    known = {row.candidate.pk: row for row in (*board.rows, *board.unranked)}
    parents = [entry.search for entry in field.entries if entry.kind == "parent"]
    scale = leaderboard.Scale.around([entry.search for entry in field.entries], parents) if shown else None
    scores = _scores(shown)
    recipes = dict(Candidate.objects.filter(pk__in=[entry.pk for entry in shown]).values_list("pk", "recipe"))
    sizes = _Sizes(config.parents)
    found = []
    for entry in shown:
        row, recipe, own = known.get(entry.pk), Recipe.from_json(recipes[entry.pk]), scores.get(entry.evaluation, [])
        is_tested = row is not None and row.rank != "" and not row.rank.startswith(">")
        found.append(
            Line(
                entry=entry,
                rank=row.rank if row and is_tested else "",
                place=str(entry.place) if entry.place and not is_tested else "",
                opens_band=bool(in_order and row and is_tested and row.opens_band),
                is_winner=entry.pk == run.winner_id,
                is_snapshot=bool(row and row.is_snapshot),
                is_finalist=entry.final is not None and entry.kind == "evolved",
                bar=scale.bar(entry.search) if scale else leaderboard.Bar(0, 0, 0, None),
                parts=own if len(config.objectives) > 1 else (),
                concerns=[concern for part in own for concern in part.concerns],
                unsound=unsound(own),
                picture=thumbnail(recipe, config.parents),
                sentence=recipe.sentence(),
                size=sizes.of(recipe),
                marked=marks.get(entry.pk, UNMARKED),
            )
        )
    return found


def unsound(scores: Sequence[Score]) -> list[str]:
    """`2 empty`, `1 cut`: what is wrong with the answers as such, all benchmarks together; empty where nothing is, or nobody looked."""
    counts = {name: sum(score.health.get(name, 0) for score in scores) for name in _UNSOUND}
    return [f"{n} {_UNSOUND[name]}" for name, n in counts.items() if n]


def _scores(shown: Sequence[Entry]) -> dict[int, list[Score]]:
    return scores_of([entry.evaluation for entry in shown]) if shown else {}


class _Sizes:
    """How large models are that are made of these parents."""

    def __init__(self, parents: Sequence[Parent]) -> None:
        rows = ParentRow.objects.filter(fingerprint__in=[parent.fingerprint for parent in parents])
        facts = rows.values_list("fingerprint", "n_layers", "n_parameters")
        self._sizes = {fingerprint: Size(n_layers, n_parameters) for fingerprint, n_layers, n_parameters in facts}

    def of(self, recipe: Recipe) -> Size:
        if recipe.is_stack:
            return Size(recipe.n_layers, None)
        return self._sizes.get(recipe.donor.fingerprint, Size(recipe.n_layers, None))

"""The best models on one benchmark over all runs that somebody may see. Only scores on the same split of the same samples, asked and judged
alike, are ranked together: benchmarks of one digest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.contrib.auth.models import User
from django.db.models import Count, QuerySet

from webapp.runs import outcomes
from webapp.runs.board import leaderboard
from webapp.runs.models import Asked, Score, SplitName
from webapp.sharing.access import runs_of

N_SHOWN: Final = 50
ASKED: Final[dict[SplitName, tuple[Asked, ...]]] = {
    "final": ("final",),
    "validation": ("validation",),
    "search": ("search", "full"),
}
"""The splits, the most honest first, and which evaluations are on each."""


@dataclass(frozen=True)
class Ground:
    """A benchmark that runs were scored on, by its digest, and how many of them were. `is_ambiguous`: another has the same name."""

    name: str
    digest: str
    n_runs: int
    is_ambiguous: bool

    @property
    def title(self) -> str:
        """Its name, with the beginning of the digest where that alone tells it from another."""
        return f"{self.name} ({self.digest.removeprefix('sha256:')[:8]})" if self.is_ambiguous else self.name


@dataclass(frozen=True)
class Row:
    """One model: its best known score is `score`, whose evaluation has its candidate and run. `rank` as on a run's leaderboard."""

    score: Score
    rank: str
    opens_band: bool
    bar: leaderboard.Bar


@dataclass(frozen=True)
class Standings:
    """The best rows of the `n_models` that were scored. `is_exact`: every row was told from others by an exact test."""

    rows: Sequence[Row]
    n_models: int
    is_exact: bool


def grounds(user: User) -> list[Ground]:
    """The benchmarks of the runs that this person may see, most runs first: as far as these runs have scored a parent."""
    of_parents = Score.objects.filter(
        evaluation__run__in=runs_of(user), evaluation__split="search", evaluation__candidate__kind="parent"
    )
    counted = of_parents.order_by().values("benchmark", "digest").annotate(n=Count("evaluation__run", distinct=True))
    rows = list(counted.order_by("-n", "benchmark", "digest").values_list("benchmark", "digest", "n"))
    names = [name for name, _, _ in rows]
    return [Ground(name, digest, n, names.count(name) > 1) for name, digest, n in rows]


def standings(user: User, digest: str, split: SplitName) -> Standings:
    """The models that were scored on this split, each once however often it was: by its score on most samples, the newest of these. Final
    scores are those of exams that are over.
    """
    models = _models(user, digest, split)
    chosen = Score.objects.filter(pk__in=models.values("pk")).order_by("-mean", "pk")
    related = "evaluation__candidate__generation", "evaluation__run__owner"
    unread = "evaluation__candidate__recipe", "evaluation__candidate__genome", "evaluation__run__config"
    best = list(chosen.select_related(*related).defer(*unread)[:N_SHOWN])
    if not best:
        return Standings([], 0, True)
    whole = outcomes.cards(score.evaluation_id for score in best)
    cards = {score.pk: (whole[score.evaluation_id][score.index],) for score in best}
    openers = leaderboard.bands([score.pk for score in best], cards, (1.0,))
    n_models = chosen.count() if len(best) == N_SHOWN else len(best)
    scale = leaderboard.Scale.around(best, [s for s in best if s.evaluation.candidate.kind == "parent"])
    tested = openers if n_models == len(best) else [*openers, len(best)]  # the band of the last row may go on
    rows = [
        Row(score, leaderboard.rank(tested, i, len(best)), openers[i] == i, scale.bar(score))
        for i, score in enumerate(best)
    ]
    return Standings(rows, n_models, all(card[0].is_binary for card in cards.values()))


def _models(user: User, digest: str, split: SplitName) -> QuerySet[Score]:
    """One score for each model whose answers can be trusted and who was asked as a whole."""
    of = "evaluation__candidate__recipe_digest"
    examined = {"evaluation__run__examined__isnull": False} if split == "final" else {}
    scored = Score.objects.filter(
        digest=digest,
        evaluation__run__in=runs_of(user).order_by(),
        evaluation__split__in=ASKED[split],
        evaluation__status="done",
        evaluation__is_healthy=True,
        evaluation__is_estimate=False,
        **examined,
    )
    return scored.order_by(of, "-n", "-evaluation__finished").distinct(of)

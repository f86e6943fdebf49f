"""Who is best, and by what: on the search questions, or on validation among the snapshots. Reads rows; changes nothing.

A snapshot is the best candidate of a generation, scored on the validation split when the generation closes. The search never sees that
score. Of most runs the winner is the best of the finalists on the search questions. Where generations were asked different samples, or
candidates are paths, it is the best snapshot by validation, as in the paper: scores on different samples cannot be compared, and a path
that fits the few that it was asked is caught by others.
"""

from __future__ import annotations

from typing import Final

from django.db.models import FilteredRelation, Q, QuerySet

from merging.fidelity import fidelities
from webapp.runs import ranks
from webapp.runs.models import Candidate, Evaluation, Run

BY_VALIDATION: Final = frozenset(kind.name for kind in fidelities if kind.wins_by_validation)


def by_validation(run: Run) -> bool:
    """Whether the winner is the best snapshot. Reads the stored configuration as it is: one of another version can be stopped, too."""
    return run.config.get("fidelity") in BY_VALIDATION or run.config.get("path") is not None


def best(run: Run, n: int = 1, generation: int | None = None) -> list[Candidate]:
    """The `n` evolved candidates of highest search fitness, of the run or of the generation of that number; ties go to the earlier
    generation, then the lower index.

    Candidates whose answers cannot be trusted are passed over, unless there are no others.
    """
    of_generation = {} if generation is None else {"generation__number": generation}
    return _best(run, n, **of_generation, evaluations__is_healthy=True) or _best(run, n, **of_generation)


def snapshots(run: Run) -> QuerySet[Evaluation]:
    """The snapshots' scores, the best first; ties go to the earlier generation. A finalist that was first asked in the exam is none.

    One whose answers cannot be trusted, there or on the search questions, comes after all others.
    """
    scored = Evaluation.objects.filter(
        run=run, split="validation", status="done", candidate__kind="evolved", rank__lt=ranks.FULL
    )
    on_search = FilteredRelation("candidate__evaluations", condition=Q(candidate__evaluations__split="search"))
    trusted = scored.annotate(on_search=on_search, is_trusted=Q(is_healthy=True) & Q(on_search__is_healthy=True))
    return trusted.order_by("-is_trusted", "-mean", "candidate__generation__number")


def by_full_score(run: Run, candidates: list[Candidate]) -> list[Candidate]:
    """These by what they scored on all search samples; those of which only an estimate is known come last, in their order."""
    known = run.evaluations.filter(
        candidate__in=candidates, status="done", split__in=("search", "full"), is_estimate=False
    )
    standing = {
        pk: (is_healthy, fitness) for pk, is_healthy, fitness in known.values_list("candidate", "is_healthy", "fitness")
    }
    return sorted(candidates, key=lambda candidate: standing.get(candidate.pk, (False, float("-inf"))), reverse=True)


def winner(run: Run, finalists: list[Candidate]) -> Candidate:
    """Who wins, of at least one finalist. Where no snapshot could be scored, the best finalist."""
    if by_validation(run) and (snapshot := snapshots(run).select_related("candidate").first()):
        return snapshot.candidate
    return by_full_score(run, finalists)[0]


def _best(run: Run, n: int, **conditions: object) -> list[Candidate]:
    scored = {"kind": "evolved", "evaluations__split": "search", "evaluations__status": "done"}
    ranked = run.candidates.filter(**scored, **conditions)  # in one call: of one and the same evaluation
    return list(ranked.order_by("-evaluations__fitness", "generation__number", "index")[:n])

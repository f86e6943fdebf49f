"""What is written beside candidates. Reads rows only; who may see the run may see its marks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db.models import QuerySet

from webapp.marks.models import Mark
from webapp.runs.models import Candidate, Run


@dataclass(frozen=True)
class Marked:
    """All marks on one candidate, as one person sees them: `mine` is their own."""

    marks: tuple[Mark, ...] = ()
    mine: Mark | None = None

    @property
    def n_stars(self) -> int:
        return sum(mark.is_starred for mark in self.marks)

    @property
    def is_mine(self) -> bool:
        """Whether one of the stars is this person's."""
        return self.mine is not None and self.mine.is_starred

    @property
    def tags(self) -> list[str]:
        """Everybody's, each once, in the order of the alphabet."""
        return sorted({tag for mark in self.marks for tag in mark.tags})

    @property
    def notes(self) -> list[Mark]:
        """Those that have words."""
        return [mark for mark in self.marks if mark.note]

    @property
    def written(self) -> list[Mark]:
        """Those that say more than a star."""
        return [mark for mark in self.marks if mark.note or mark.tags]


UNMARKED = Marked()


def of_run(run: Run, person: User) -> Mapping[int, Marked]:
    """Per candidate of the run that has any: its marks. One query."""
    return _by_candidate(Mark.objects.filter(candidate__run=run), person)


def of_candidate(candidate: Candidate, person: User) -> Marked:
    """The marks of one candidate."""
    return _by_candidate(Mark.objects.filter(candidate=candidate), person).get(candidate.pk, UNMARKED)


def starred() -> QuerySet[Mark, int]:
    """The candidates that have anybody's star, by their numbers: whatever cleans up by itself leaves what they have on disk."""
    return Mark.objects.filter(is_starred=True).values_list("candidate", flat=True)


def tags_in(marked: Iterable[Marked]) -> list[str]:
    """All tags of these, each once."""
    return sorted({tag for one in marked for tag in one.tags})


def _by_candidate(marks: QuerySet[Mark], person: User) -> Mapping[int, Marked]:
    found: defaultdict[int, list[Mark]] = defaultdict(list)
    for mark in marks.select_related("owner"):
        found[mark.candidate_id].append(mark)
    return {
        pk: Marked(tuple(marks), next((mark for mark in marks if mark.owner_id == person.pk), None))
        for pk, marks in found.items()
    }

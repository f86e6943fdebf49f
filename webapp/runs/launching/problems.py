"""What stands in the way of a run, gathered by field while the checks go on. Knows nothing of the checks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import TypeVar

from merging.errors import MergingError

Field = str
"""A field of `drafts.Draft`; of a benchmark's own choices, `weight-7` for those of the row 7."""
T = TypeVar("T")


class DraftError(Exception):
    """A draft that cannot be launched; `problems` says for every field what is wrong with it."""

    def __init__(self, problems: Mapping[Field, list[str]]) -> None:
        self.problems = dict(problems)
        super().__init__(" ".join(sentence for sentences in self.problems.values() for sentence in sentences))


class Problems:
    """Collects what is wrong, by field, while the checks go on."""

    def __init__(self) -> None:
        self.found: defaultdict[Field, list[str]] = defaultdict(list)

    def catch(self, name: Field, check: Callable[[], T]) -> T | None:
        """What `check` returns; None when it refuses, and then why is kept."""
        try:
            return check()
        except MergingError as error:
            self.found[name].append(str(error))
            return None

"""From what a person chose to a run that can be launched, or to everything that stands in its way, all at once.

The page and the command line both come through here; every check is the engine's own. Knows no requests and writes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, Literal, TypeVar

from merging.benchmarks import BenchmarkSpec, Split
from merging.errors import BenchmarkError, MergingError, ParentError
from merging.fingerprints import fingerprint
from merging.genomes import GenomeSpace, check_effect, layer_parts
from merging.indexes import parent_facts
from merging.methods import methods
from merging.methods.method import Method
from merging.recipes import DTYPES, MAX_SEED, Dtype, Parent, check_parents
from merging.search import searches
from webapp.library.actions import what_changed
from webapp.library.fit import fit_of
from webapp.library.models import Benchmark as BenchmarkRow
from webapp.library.models import Parent as ParentRow
from webapp.runs.config import RunConfig

Field = Literal[
    "parents", "base", "benchmark", "method", "groups", "filters", "search", "population_size", "budget", "seed",
    "n_search", "n_validation", "n_final",
]  # fmt: skip
PARTS: Final = "parts"
T = TypeVar("T")


@dataclass(frozen=True)
class Draft:
    """What a person chose. Counts of samples None: all of the split. `settings` are the method's own, one value per recipe.

    `filters` are parts of tensors' names, separated by commas; `PARTS` stands for the parts that a layer of the first parent has.
    """

    parents: tuple[ParentRow, ...]
    base: ParentRow | None
    benchmark: BenchmarkRow | None
    method: str
    groups: str
    search: str
    budget: int
    seed: int
    filters: str = ""
    settings: Mapping[str, float | bool] = field(default_factory=dict)
    population_size: int | None = None
    n_search: int | None = None
    n_validation: int | None = None
    n_final: int | None = None


class DraftError(Exception):
    """A draft that cannot be launched; `problems` says for every field what is wrong with it."""

    def __init__(self, problems: Mapping[Field, list[str]]) -> None:
        self.problems = dict(problems)
        super().__init__(" ".join(sentence for sentences in self.problems.values() for sentence in sentences))


@dataclass(frozen=True)
class Plan:
    """A run that can be launched, and what it amounts to."""

    config: RunConfig
    n_groups: int
    n_genes: int
    population_size: int

    @property
    def name(self) -> str:
        """What the run is called when nobody gives it a name."""
        return f"{methods.get(self.config.method).title} on {self.config.benchmark.name}"[:200]

    @property
    def sentence(self) -> str:
        """The run in one sentence."""
        n = len(self.config.parents)
        method, search = methods.get(self.config.method).title, searches.get(self.config.search).title
        counted = self.n_groups > 1 and not self.config.is_gradient
        groups = f"{self.n_groups} layer groups{self.config.apart}" if counted else self.config.groups_in_words
        numbers = "1 number" if self.n_genes == 1 else f"{self.n_genes} numbers"
        return (
            f"Mix {n} models with {method} in {groups}: {numbers} to find; "
            f"{search}, {self.population_size} per generation, up to {self.config.budget} candidates."
        )


def plan(draft: Draft) -> Plan:
    """The run that `draft` describes, or a DraftError with all of its problems."""
    problems = _Problems()
    parents = tuple(_parent(row) for row in draft.parents)
    base = _parent(draft.base) if draft.base else None
    method = problems.catch("method", lambda: methods.get(draft.method))
    counts = _counts(draft, problems)
    _check_numbers(draft, problems)
    if method is None or not _can_take_part(draft, method, parents, base, problems) or not counts:
        raise DraftError(problems.found)
    _check_fit(draft, problems)
    config = RunConfig(
        parents=parents,
        base=base,
        benchmark=_spec(draft),
        method=draft.method,
        groups=draft.groups,
        filters=_filters(draft),
        settings=tuple(sorted(draft.settings.items())),
        search=draft.search,
        population_size=draft.population_size,
        budget=draft.budget,
        seed=0 if "seed" in problems.found else draft.seed,
        dtype=_dtype(draft.parents[0]),
        **counts,
    )
    space = problems.catch("groups", config.space)
    if space:
        problems.catch("filters", lambda: check_effect(space, parent_facts(parents[0].folder)))
    population = problems.catch("population_size", lambda: _population_size(config, space)) if space else None
    if problems.found or space is None or population is None:
        raise DraftError(problems.found)
    return Plan(config, len(space.origin.groups), space.n_genes, population)


class _Problems:
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


def _can_take_part(
    draft: Draft, method: Method, parents: tuple[Parent, ...], base: Parent | None, problems: _Problems
) -> bool:
    """Whether the method takes these models, and each is on disk as it was registered."""
    n_before = len(problems.found)
    problems.catch("parents", lambda: check_parents(replace(method, base="optional"), parents, base))
    problems.catch("base", lambda: check_parents(replace(method, min_parents=0, max_parents=None), (), base))
    for row in draft.parents:
        problems.catch("parents", partial(_check_unchanged, row))
    if draft.base and draft.base not in draft.parents:
        problems.catch("base", partial(_check_unchanged, draft.base))
    return len(problems.found) == n_before


def _check_fit(draft: Draft, problems: _Problems) -> None:
    """Every error with what to do about it, which is said once of several that have it in common."""
    known = ""
    for finding in fit_of(draft.parents, draft.base).errors:
        problems.found["parents"].append(
            f"{finding.found}. {finding.remedy}" if finding.remedy != known else finding.found
        )
        known = finding.remedy


def _filters(draft: Draft) -> tuple[str, ...]:
    if draft.filters == PARTS:
        return layer_parts(parent_facts(draft.parents[0].folder))
    return tuple(part for name in draft.filters.split(",") if (part := name.strip()))


def _parent(row: ParentRow) -> Parent:
    return Parent(row.name, row.folder, row.fingerprint)


def _dtype(row: ParentRow) -> Dtype:
    """Merged tensors are written as the first parent's are; float64 has no place in a language model."""
    return next((dtype for dtype in DTYPES if dtype == row.dtype), "float32")


def _check_unchanged(row: ParentRow) -> None:
    if fingerprint(row.folder, row.fingerprint) != row.fingerprint:
        change = what_changed(row.folder, row.fingerprint)
        raise ParentError(
            f"the files of {row.name} in {row.folder} have changed since it was registered{f' ({change})' if change else ''}: "
            "get the files again, or register the folder again as it is now"
        )


def _counts(draft: Draft, problems: _Problems) -> dict[str, int]:
    """How many samples of each split an evaluation takes; checked against what the benchmark holds now."""
    spec = problems.catch("benchmark", lambda: _spec(draft))
    sizes = problems.catch("benchmark", spec.sizes) if spec else None
    if spec is None or sizes is None:
        return {}
    asked: tuple[tuple[Field, Split, int | None], ...] = (
        ("n_search", "search", draft.n_search),
        ("n_validation", "validation", draft.n_validation),
        ("n_final", "final", draft.n_final),
    )
    return {name: _count(spec.name, sizes[split], name, split, n, problems) for name, split, n in asked}


def _spec(draft: Draft) -> BenchmarkSpec:
    if draft.benchmark is None:
        raise BenchmarkError("no benchmark is chosen; expected one: it says what good means")
    return BenchmarkSpec.from_json(draft.benchmark.spec)


def _count(title: str, held: int, name: Field, split: Split, asked: int | None, problems: _Problems) -> int:
    n = held if asked is None else asked
    if not 1 <= n <= held:
        problems.found[name].append(f"{n} {split} questions; {title} holds {held}: expected 1 to {held}")
    return n


def _check_numbers(draft: Draft, problems: _Problems) -> None:
    """The budget, and the seed by the rule for every recipe."""
    if draft.budget < 1:
        problems.found["budget"].append(f"the budget is {draft.budget} candidates; expected at least 1")
    if not 0 <= draft.seed <= MAX_SEED:
        problems.found["seed"].append(f"the seed is {draft.seed}; expected a whole number from 0 to {MAX_SEED}")


def _population_size(config: RunConfig, space: GenomeSpace) -> int:
    return searches.get(config.search).start(space.n_genes, config.seed, config.population_size).population_size

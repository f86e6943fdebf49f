"""From what a person chose to a run that can be launched, or to everything that stands in its way, all at once.

The page and the command line both come through here; every check is the engine's own. Knows no requests and writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from django.conf import settings

from merging.errors import ParentError
from merging.fidelity import DEFAULT as FULL
from merging.fidelity import fidelities
from merging.fingerprints import fingerprint
from merging.fit import Fit
from merging.genomes import GenomeSpace, check_effect, layer_groups, layer_parts
from merging.hops import MAX_HOPS
from merging.indexes import parent_facts
from merging.methods import methods
from merging.methods.method import Method
from merging.objectives import Objective
from merging.path_genomes import PathSpace
from merging.recipes import DTYPES, MAX_SEED, Dtype, Parent, Tokenizer, check_parents
from merging.search import searches
from merging.spaces import Space
from webapp.library.actions import what_changed
from webapp.library.fit import fit_of
from webapp.library.lengths import too_long
from webapp.library.models import Parent as ParentRow
from webapp.runs.config import N_FINALISTS, Override, PathSettings, RunConfig
from webapp.runs.launching.measures import Measure, objectives, public_tests
from webapp.runs.launching.plans import Plan, RoutePlan
from webapp.runs.launching.presets import Spaces
from webapp.runs.launching.problems import DraftError, Field, Problems

MAX_FINALISTS: Final = 20
PARTS: Final = "parts"
THEN: Final = "then-"
WINNER: Final = "the winner"
PATH_FIELDS: Final = ("repeats", "scales", "max_hops", "p_others")
OF_PATH: Final = frozenset({*PATH_FIELDS, "parents", "budget", "population_size"})
"""What the second of two runs has of its own."""
PATH_METHOD: Final = methods.get("passthrough")
"""What a run over paths does with tensors."""


@dataclass(frozen=True)
class PathDraft:
    """How the path of layers may evolve; `max_hops` None: as many as the parents have layers together, or A alone twice."""

    repeats: int
    scales: str
    max_hops: int | None = None
    p_others: float = 0.5


@dataclass(frozen=True)
class Draft:
    """What a person chose. `settings` are the method's own, one value per recipe.

    `filters` are parts of tensors' names, separated by commas; `PARTS` stands for the parts that a layer of the first parent has.
    `override` is needed where a benchmark's search split comes from a public test set, and is forgotten elsewhere.

    With a `path` the parents are A and B, in this order, or A alone, and what belongs to numbers is forgotten: base model, method, groups,
    filters, settings and tokenizer.
    """

    parents: tuple[ParentRow, ...]
    base: ParentRow | None
    measures: tuple[Measure, ...]
    method: str
    groups: str
    search: str
    budget: int
    seed: int
    filters: str = ""
    settings: Mapping[str, float | bool] = field(default_factory=dict)
    population_size: int | None = None
    n_finalists: int = N_FINALISTS
    override: Override | None = None
    fidelity: str = FULL
    fidelity_settings: Mapping[str, float] = field(default_factory=dict)
    path: PathDraft | None = None
    tokenizer: Tokenizer = "same"
    steady: bool = False


def plan(draft: Draft) -> Plan:
    """The run that `draft` describes, or a DraftError with all of its problems."""
    problems = Problems()
    asked = objectives(draft.measures, draft.override is not None, problems)
    _check_numbers(draft, problems)
    for measure, objective in zip(draft.measures, asked, strict=bool(asked)):
        if sentence := too_long(objective.spec, measure.benchmark.title, draft.parents):
            problems.found["benchmarks"].append(sentence)
    found = _plan_path(draft, draft.path, asked, problems) if draft.path else _plan(draft, asked, problems)
    if problems.found or found is None:
        raise DraftError(problems.found)
    return found


def plan_spaces(space: Spaces, numbers: Callable[[], Draft], path: Callable[[], Draft]) -> tuple[Plan, Plan | None]:
    """The run over what is to evolve, and the one that follows it by itself where both do; a DraftError as of `plan` and `plan_both`."""
    if space == "both":
        return plan_both(numbers(), path())
    return plan(path() if space == "path" else numbers()), None


def path_draft(parents: Iterable[ParentRow | None], path: PathDraft, **others: Any) -> Draft:
    """A draft over the layers of these models, those that are chosen; `others` are the fields of `Draft` that a path has, too."""
    models = tuple(row for row in parents if row)
    return Draft(parents=models, base=None, method=PATH_METHOD.name, groups="model", path=path, **others)


def plan_both(first: Draft, then: Draft) -> tuple[Plan, Plan]:
    """A run over numbers, and the run over paths whose model A is its winner; `then.parents` is model B, or nobody.

    A DraftError has the problems of both; those of the second run alone are filed under `then-...`.
    """
    plans: list[Plan] = []
    problems: dict[Field, list[str]] = {}
    for draft in (first, replace(then, parents=(*_stand_in(first), *then.parents))):
        try:
            plans.append(plan(draft))
        except DraftError as error:
            for name, said in error.problems.items():
                problems.setdefault(f"{THEN}{name}" if draft.path and name in OF_PATH else name, said)
    if "parents" in problems:  # of which the second run knows nothing more
        problems.pop(f"{THEN}parents", None)
    if problems:
        raise DraftError(problems)
    numbers, path = plans
    return numbers, replace(path, config=replace(path.config, dtype=numbers.config.dtype))


def _stand_in(first: Draft) -> tuple[ParentRow, ...]:
    """A model of the winner's shape, under its name: the first parent. Nobody where no parent is chosen."""
    found = tuple(map(copy, first.parents[:1]))
    for row in found:
        row.name = WINNER
    return found


def _plan(draft: Draft, asked: tuple[Objective, ...], problems: Problems) -> Plan | None:
    """A run over numbers."""
    parents = tuple(row.model for row in draft.parents)
    base = draft.base.model if draft.base else None
    method = problems.catch("method", lambda: methods.get(draft.method))
    if method is None or not _can_take_part(draft, method, parents, base, problems):
        for row in draft.parents[:1]:  # what can be said all the same
            problems.catch("groups", partial(layer_groups, draft.groups, row.n_layers))
        return None
    if draft.tokenizer == "base" and base is None:
        problems.found["tokenizer"].append(
            "no base model is chosen whose tokenizer the result could have; expected one, or another choice"
        )
        return None
    _check_fit(fit_of(draft.parents, draft.base, tokenizer=draft.tokenizer), problems)
    config = replace(
        _config(draft, asked, problems),
        base=base,
        method=draft.method,
        groups=draft.groups,
        filters=_filters(draft),
        settings=tuple(sorted(draft.settings.items())),
        tokenizer=draft.tokenizer,
    )
    space = problems.catch("groups", config.space)
    if not isinstance(space, GenomeSpace):
        return None
    problems.catch("filters", lambda: check_effect(space, parent_facts(parents[0].folder)))
    population = problems.catch("population_size", lambda: _population_size(config, space))
    return None if population is None else Plan(config, len(space.origin.groups), space.n_genes, population)


def _plan_path(draft: Draft, path: PathDraft, asked: tuple[Objective, ...], problems: Problems) -> Plan | None:
    """A run over the paths through the layers of its parents."""
    if not 1 <= len(draft.parents) <= 2:
        problems.found["parents"].append(f"{len(draft.parents)} models are chosen; expected two, A and B, or A alone")
        return None
    parents = tuple(row.model for row in draft.parents)
    problems.catch("parents", lambda: check_parents(replace(PATH_METHOD, max_parents=None), parents, None))
    _check_registered(draft.parents, problems)
    _check_fit(fit_of(draft.parents, is_path=True), problems)
    if "parents" in problems.found:
        return None
    config = _config(draft, asked, problems)
    config = replace(config, path=_path_settings(config, path, [row.n_layers for row in draft.parents], problems))
    space = None if problems.found.keys() & {*PATH_FIELDS} else problems.catch("parents", config.space)
    if not isinstance(space, PathSpace):
        return None
    population = problems.catch("population_size", lambda: _population_size(config, space))
    return None if population is None else Plan(config, 1, space.n_genes, population, RoutePlan(space))


def _path_settings(config: RunConfig, path: PathDraft, n_layers: Sequence[int], problems: Problems) -> PathSettings:
    """With its bound on hops. Each of the four is tried by itself, so that what is wrong is said where it was chosen."""
    n_slots = max(1, path.repeats) * sum(n_layers)
    usual = min(n_slots, sum(n_layers) if len(n_layers) > 1 else 2 * n_layers[0])
    found = PathSettings(path.repeats, path.scales, usual if path.max_hops is None else path.max_hops, path.p_others)
    harmless = PathSettings(1, "one", MAX_HOPS)
    for name in PATH_FIELDS:
        tried = replace(config, path=replace(harmless, **{name: getattr(found, name)}))
        problems.catch(name, tried.space)
    if found.max_hops > n_slots and not problems.found.keys() & {*PATH_FIELDS}:
        problems.found["max_hops"].append(
            f"a path has at most {found.max_hops} hops; there are {n_slots} layers to pass: expected as many or fewer"
        )
    return found


def _config(draft: Draft, asked: tuple[Objective, ...], problems: Problems) -> RunConfig:
    """What runs over numbers and over paths have in common."""
    return RunConfig(
        parents=tuple(row.model for row in draft.parents),
        base=None,
        objectives=asked,
        method=PATH_METHOD.name,
        groups="model",
        settings=(),
        search=draft.search,
        population_size=draft.population_size,
        budget=draft.budget,
        seed=0 if "seed" in problems.found else draft.seed,
        dtype=_dtype(draft.parents[0]),
        n_finalists=draft.n_finalists,
        override=draft.override if public_tests(draft.measures) else None,
        fidelity=draft.fidelity,
        fidelity_settings=_fidelity_settings(draft, problems),
        steady=draft.steady,
    )


def _can_take_part(
    draft: Draft, method: Method, parents: tuple[Parent, ...], base: Parent | None, problems: Problems
) -> bool:
    """Whether the method takes these models, and each is on disk as it was registered."""
    n_before = len(problems.found)
    problems.catch("parents", lambda: check_parents(replace(method, base="optional"), parents, base))
    problems.catch("base", lambda: check_parents(replace(method, min_parents=0, max_parents=None), (), base))
    _check_registered(draft.parents, problems)
    if draft.base and draft.base not in draft.parents:
        problems.catch("base", partial(_check_unchanged, draft.base))
    return len(problems.found) == n_before


def _check_registered(rows: Iterable[ParentRow], problems: Problems) -> None:
    for row in rows:
        problems.catch("parents", partial(_check_unchanged, row))


def _check_fit(found: Fit, problems: Problems) -> None:
    """Every error with what to do about it, which is said once of several that have it in common."""
    known = ""
    for finding in found.errors:
        problems.found["parents"].append(
            f"{finding.found}. {finding.remedy}" if finding.remedy != known else finding.found
        )
        known = finding.remedy


def _filters(draft: Draft) -> tuple[str, ...]:
    if draft.filters == PARTS:
        return layer_parts(parent_facts(draft.parents[0].folder))
    return tuple(part for name in draft.filters.split(",") if (part := name.strip()))


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


def _fidelity_settings(draft: Draft, problems: Problems) -> tuple[tuple[str, float], ...]:
    found = problems.catch("fidelity", lambda: fidelities.get(draft.fidelity).checked(draft.fidelity_settings))
    return tuple(sorted((found or {}).items()))


def _check_numbers(draft: Draft, problems: Problems) -> None:
    """The budget, the finalists, what steady state needs, and the seed by the rule for every recipe."""
    if not 1 <= draft.budget <= settings.QUOTAS.budget:
        problems.found["budget"].append(
            f"the budget is {draft.budget} candidates; expected 1 to {settings.QUOTAS.budget}"
        )
    if draft.population_size is not None and draft.population_size > settings.QUOTAS.population:
        found = f"the population is {draft.population_size} candidates; expected at most {settings.QUOTAS.population}"
        problems.found["population_size"].append(found)
    if not 1 <= draft.n_finalists <= MAX_FINALISTS:
        found = f"{draft.n_finalists} finalists; expected 1 to {MAX_FINALISTS}"
        problems.found["n_finalists"].append(found)
    if draft.steady and draft.fidelity != FULL:
        problems.found["steady"].append(
            "in steady state candidates of two generations are compared, which must have been asked the same: "
            "expected all of the search questions, or whole generations"
        )
    if not 0 <= draft.seed <= MAX_SEED:
        problems.found["seed"].append(f"the seed is {draft.seed}; expected a whole number from 0 to {MAX_SEED}")


def _population_size(config: RunConfig, space: Space) -> int:
    return searches.get(config.search).size(space.axes, config.population_size)

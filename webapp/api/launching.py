"""From what a program chose to a run, through the same checks as the page and the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import TypeVar
from uuid import uuid4

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from merging.errors import BenchmarkError, ParentError, UnknownNameError
from webapp.api.problems import Mistake, Refusal
from webapp.api.shapes.choices import RunChoices, choices_of
from webapp.library.models import Benchmark, Parent
from webapp.lineage.actions import launch_both
from webapp.quotas import QuotaError
from webapp.runs import actions
from webapp.runs.config import Override
from webapp.runs.launching.drafts import OF_PATH, THEN
from webapp.runs.launching.named import Names, plan_named
from webapp.runs.launching.presets import Preset
from webapp.runs.launching.problems import DraftError
from webapp.runs.launching.starts import start_of
from webapp.runs.models import Run
from webapp.sharing.models import Project
from webapp.sharing.projects import open_to, place_launched

M = TypeVar("M", Parent, Benchmark)


def launch(user: User, choices: RunChoices) -> Run:
    """The run; a Refusal with everything that stands in its way, by field."""
    start = choices.over(start_of(user, {"like": choices.like} if choices.like else {"preset": choices.preset}))
    override = Override(user.get_username(), timezone.now().isoformat(timespec="seconds"))
    names = _names(user, start)
    try:
        planned, follows = plan_named(start, names, override if choices.on_public_test_set else None)
    except DraftError as error:
        raise _refused(error, start, names.benchmark) from error
    name = choices.name or planned.name
    project = project_named(user, choices.project)
    try:
        with transaction.atomic():
            if follows:
                run = launch_both(user, planned.config, follows.config, name, uuid4().hex, choices.random_search)
            else:
                run = actions.launch(user, planned.config, name, with_random_search=choices.random_search)
            if project:
                place_launched(run, project)
        return run
    except (QuotaError, BenchmarkError, ParentError) as error:
        raise Refusal(HTTPStatus.CONFLICT, f"{error}.") from error


def project_named(user: User, number: str | None) -> Project | None:
    """The project that this person may put runs into; a Refusal where it is none."""
    if number is None:
        return None
    if found := open_to(user).filter(pk=number).first():
        return found
    mistake = Mistake(at="body.project", detail="expected the number of a project where you are an editor")
    raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "There is no such project for you to put runs into.", [mistake])


def choices_like(user: User, run: Run) -> RunChoices:
    """What to send to launch a run like this one."""
    return choices_of(start_of(user, {"like": str(run.pk)}))


def _names(user: User, start: Preset) -> Names:
    """How the names of a start lead to rows that this person may choose; a Refusal where one leads nowhere."""
    path = start.path
    models = [
        *((f"parents.{i}", name) for i, name in enumerate(start.parents)),
        *(
            (at, name)
            for at, name in (("base", start.base), ("path.model_a", path.model_a), ("path.model_b", path.model_b))
            if name
        ),
    ]
    measures = [(f"measures.{i}.benchmark", measure.benchmark) for i, measure in enumerate(start.measures)]
    mistakes: list[Mistake] = []
    parents = _found("model", Parent.objects.visible_to(user), models, mistakes)
    benchmarks = _found("benchmark", Benchmark.objects.visible_to(user), measures, mistakes)
    if mistakes:
        raise _with(mistakes)
    return Names(parents.__getitem__, benchmarks.__getitem__)


def _found(noun: str, visible: QuerySet[M], wanted: Sequence[tuple[str, str]], mistakes: list[Mistake]) -> dict[str, M]:
    """Rows by name, the oldest of a name; adds a mistake for each name that is not there."""
    rows = visible.filter(name__in={name for _, name in wanted}).order_by("-pk")
    found = {str(row): row for row in rows}
    missing = [(at, name) for at, name in wanted if name not in found]
    known = list(visible.values_list("name", flat=True)) if missing else []
    mistakes += [Mistake(at=f"body.{at}", detail=str(UnknownNameError(noun, name, known))) for at, name in missing]
    return found


def _refused(error: DraftError, start: Preset, benchmarks: Callable[[str], Benchmark]) -> Refusal:
    """Everything that is wrong with a draft, by the keys of `RunChoices`."""
    numbers = {str(benchmarks(measure.benchmark).pk): i for i, measure in enumerate(start.measures)}

    def at(field: str) -> str:
        name, dash, number = field.rpartition("-")
        if dash and number in numbers:
            return f"measures.{numbers[number]}.{name}"
        is_of_path = field.startswith(THEN) or (start.space == "path" and field in OF_PATH)
        field = field.removeprefix(THEN)
        if is_of_path:
            return "path" if field == "parents" else f"path.{field}"
        return {"benchmarks": "measures", "override": "on_public_test_set"}.get(field, field)

    return _with(
        [
            Mistake(at=f"body.{at(field)}", detail=said)
            for field, sentences in error.problems.items()
            for said in sentences
        ]
    )


def _with(mistakes: Sequence[Mistake]) -> Refusal:
    return Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "The run cannot be launched: see what is wrong.", mistakes)

"""Runs, their events, and their candidates."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from webapp.api.paging import Page
from webapp.api.shapes.choices import UUID_TEXT, Body, Name, RunChoices, RunName
from webapp.runs.models import CandidateKind, RunState, SplitName
from webapp.sharing.models import Role

Status = Literal["pending", "leased", "done", "failed", "dropped"]


class Interval(BaseModel):
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


class Result(BaseModel):
    """A mean in [0, 1] over n samples with its 95 % interval."""

    mean: float
    low: float
    high: float
    n: int
    is_estimate: bool = Field(description="fewer samples were asked than the run's, and the mean is inferred")


class Scored(BaseModel):
    """A candidate with its score on one split."""

    candidate: int
    name: str
    split: SplitName
    result: Result


class ProjectName(BaseModel):
    """A project."""

    id: str
    name: str


class Project(ProjectName):
    """A project that one is a member of. Whoever is a member sees its runs in their role."""

    owner: str
    role: Role = Field(description="yours")
    n_runs: int
    n_members: int
    created: datetime


class ProjectPage(Page[Project]):
    """Projects, newest first."""


class Placing(Body):
    """Where a run goes."""

    project: Annotated[str | None, Field(pattern=UUID_TEXT, description="null: into none")]


class RunRow(BaseModel):
    """A run as a list shows it."""

    id: str
    name: str
    page: str = Field(description="its address for people")
    owner: str
    is_own: bool
    may_edit: bool
    state: RunState
    message: str = Field(description="why it paused or failed, and what to do next; empty otherwise")
    is_archived: bool = Field(description="its owner took it off the list")
    project: ProjectName | None = Field(description="null where it is in none, or in one that you are no member of")
    budget: int = Field(description="candidates to score")
    n_scored: int = Field(description="candidates that are through, scored or failed")
    created: datetime
    started: datetime | None
    ended: datetime | None
    best: Scored | None = Field(description="the winner, or the best so far")
    best_parent: Scored | None
    gain: Interval | None = Field(description="how much better the best is than the best parent")
    seconds_left: float | None = Field(description="of the search, at its recent pace; null when there is no telling")


class RunPage(Page[RunRow]):
    """Runs, newest first."""


class Run(RunRow):
    """A run with what it was launched with."""

    seed: int
    seq: int = Field(description="of its newest event")
    winner: int | None = Field(description="the candidate that won")
    examined: datetime | None = Field(description="the end of the final exam")
    device_seconds: float = Field(description="that all scores have taken, of all workers together")
    choices: RunChoices = Field(description="what to send to launch one like it")


class Renaming(Body):
    """What of a run may change."""

    name: RunName


class Import(Body):
    """A configuration of mergekit-evolve, as its text."""

    mergekit_evolve: str = Field(min_length=1, max_length=256 * 1024)


class Imported(BaseModel):
    """What was understood of a configuration."""

    choices: RunChoices = Field(description="what to send to launch it; what this server has not is left out")
    notes: list[str] = Field(description="what it asks for that this server has not, in sentences")
    page: str = Field(description="the address of the draft, where a person completes and launches it")


class Event(BaseModel):
    """Something that happened, numbered without gap."""

    seq: int
    kind: Literal[
        "run.state", "run.winner", "generation.opened", "generation.closed", "evaluation.done", "evaluation.failed"
    ]
    at: datetime
    payload: dict[str, Any] = Field(description="of its kind, as docs/api.md has it")


class EventPage(BaseModel):
    """Events in order."""

    items: list[Event]
    newest: int = Field(description="the number of the run's newest event")


class Place(BaseModel):
    """A line of the leaderboard."""

    id: int
    name: str
    kind: CandidateKind
    generation: int | None
    index: int = Field(description="in its generation; of parents and baselines, in the run")
    place: int | None = Field(description="by fitness, from 1; null where the answers cannot be trusted")
    fitness: float
    is_healthy: bool = Field(description="its answers can be trusted")
    is_front: bool = Field(description="nobody with a place is as good on every benchmark and better on one")
    search: Result
    validation: Result | None
    final: Result | None
    by_benchmark: list[float] = Field(description="of the search score, where the run has several benchmarks")
    scored: datetime | None


class Leaderboard(Page[Place]):
    """Everybody in the race, best first; those without a place come last."""

    n: int = Field(description="lines in all")
    benchmarks: list[str] = Field(description="in the order of `by_benchmark`")


class Part(BaseModel):
    """What one benchmark contributed to a score."""

    benchmark: str
    scorer: str
    mean: float
    low: float
    high: float
    n: int
    concerns: list[str] = Field(description="why the answers cannot be trusted; empty when they can")


class Evaluation(BaseModel):
    """A candidate on a split. Without a result it is not scored yet, or failed."""

    split: SplitName
    status: Status
    result: Result | None
    parts: list[Part]
    failure: str


class Candidate(BaseModel):
    """Everything about one candidate but its answers."""

    id: int
    run: str
    page: str
    name: str
    kind: CandidateKind
    generation: int | None
    index: int
    genome: list[float] | None
    recipe: dict[str, Any] = Field(description="all that is needed to build it")
    recipe_digest: str
    mergekit: str | None = Field(description="the recipe as mergekit's YAML; null where mergekit has no word for it")
    evaluations: list[Evaluation]


class Parent(BaseModel):
    """A model that can take part."""

    id: int
    name: Name
    is_own: bool
    model_type: str
    n_layers: int
    hidden_size: int
    vocab_size: int
    n_parameters: int
    n_bytes: int
    dtype: str
    licence: str = Field(description="empty where the model does not say")
    fingerprint: str
    created: datetime


class ParentPage(Page[Parent]):
    """Models, oldest first."""


class Benchmark(BaseModel):
    """A task with a score."""

    id: int
    name: Name
    title: str
    is_own: bool
    scorer: str
    digest: str
    is_public_test: bool
    n_search: int
    n_validation: int
    n_final: int
    created: datetime


class BenchmarkPage(Page[Benchmark]):
    """Benchmarks, oldest first."""

"""The ledger's rows: runs, generations, candidates, their evaluations, attempts and events. Postgres holds the truth; all else is a hint.

    Run 1--n Generation 1--n Candidate 1--n Evaluation 1--n Attempt
     `--n Candidate (parents, baselines and probes: no generation)    `--n Score 1--1 Outcomes
     `--n Event (the outbox: gapless numbers per run)

Nothing here starts work: people act through `actions.py`, workers through `workers/ledger.py`.
"""

from __future__ import annotations

import uuid
from typing import Final, Literal, get_args

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from webapp.leases import Leased

RunState = Literal["queued", "running", "pausing", "paused", "finishing", "done", "stopped", "failed"]
RUN_STATES: Final[tuple[RunState, ...]] = (
    "queued", "running", "pausing", "paused", "finishing", "done", "stopped", "failed",
)  # fmt: skip
LIVE: Final[tuple[RunState, ...]] = ("queued", "running", "pausing", "paused", "finishing")
ENDED: Final[tuple[RunState, ...]] = ("done", "stopped", "failed")
CLAIMABLE: Final[tuple[RunState, ...]] = ("queued", "running", "finishing")
PROBED: Final[tuple[RunState, ...]] = ("done", "stopped")
"""States of ended runs whose models may still be probed."""

CandidateKind = Literal["parent", "baseline", "probe", "evolved"]
REFERENCES: Final[tuple[CandidateKind, ...]] = ("parent", "baseline")
SplitName = Literal["search", "validation", "final"]
Asked = Literal["search", "full", "probe", "validation", "final"]
"""Of which split an evaluation is. Two more are of the search split, and the search sees neither: `full` is for a finalist whose score
there was an estimate, `probe` for a model that leaves something out of another.
"""


class Run(models.Model):
    """One search for a recipe. Its configuration is frozen at launch: to change a setting is to make a new run.

        queued --first claim--> running --budget spent--> finishing --final split scored--> done
                                | ^   `--stop, something scored--> finishing ------------> stopped
                          pause | | resume      stop, nothing scored ------------------> stopped
                                v |
                              pausing --no live lease--> paused      (also by itself, with a `message`, when a whole generation failed
                                                                      or the disk is full; then it resumes by itself as well)
        any live state --cannot go on--> failed

    In `pausing` nothing new is claimed, and results in flight still count, as do those that come when it is `paused`. In `finishing`
    the finalists, the parents and the baselines are scored on the validation and the final split. That is the final exam: held once,
    dated by `examined` when anything was scored on the final split, and never seen by the search. Finalists whose search scores are
    estimates are first asked all search samples, the best of every generation the validation samples, where it is chosen by these, and
    then the winner is chosen: `winners.py`. Nothing pauses then: what cannot be scored for now is failed after a few attempts.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="runs")
    name = models.CharField(max_length=200)
    state = models.CharField(max_length=10, default="queued", choices=[(s, s) for s in RUN_STATES])
    stopping = models.BooleanField(
        default=False, help_text="a person ended it before its budget: finishing leads to stopped"
    )
    message = models.TextField(blank=True, help_text="for a person: why it paused or failed, and what to do next")
    needs_bytes = models.BigIntegerField(
        null=True, blank=True, help_text="it paused for lack of room, and resumes when the data folder has so much"
    )
    config = models.JSONField(help_text="webapp.runs.config.RunConfig")
    config_digest = models.CharField(max_length=80)
    algo_version = models.PositiveSmallIntegerField(default=1, db_default=1, help_text="of webapp.runs.versions")
    seed = models.BigIntegerField()
    budget = models.PositiveIntegerField(help_text="evolved candidates to score on the search split")
    idempotency_key = models.CharField(max_length=64, null=True, blank=True)
    next_seq = models.BigIntegerField(default=1)
    served = models.BigIntegerField(null=True, blank=True, help_text="the token of its last claim: whose turn it was")
    winner = models.ForeignKey("Candidate", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    baseline_of = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="baseline_runs",
        help_text="the run that this random search of the same budget is compared with",
    )  # fmt: skip
    created = models.DateTimeField(db_default=Now())
    started = models.DateTimeField(null=True, blank=True, help_text="the first claim")
    examined = models.DateTimeField(null=True, blank=True, help_text="the end of the final exam, which is locked since")
    ended = models.DateTimeField(null=True, blank=True)
    archived_at = models.DateTimeField(null=True, blank=True, help_text="its owner took it off the list")
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created"]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=RUN_STATES), name="run_state_known"),
            models.CheckConstraint(condition=Q(budget__gte=1), name="run_budget_positive"),
            models.UniqueConstraint(fields=["owner", "idempotency_key"], name="run_launched_once"),
        ]

    def __str__(self) -> str:
        return self.name


class Generation(models.Model):
    """The candidates of one ask. Closed when its candidates are terminal and the search has been told.

    In steady state (`merging.steady`) those from `ahead_from` on are told with the next generation, which is open beside it meanwhile.
    """

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="generations")
    number = models.PositiveIntegerField()
    population_digest = models.CharField(max_length=80, help_text="sha256 of the float64 genomes in index order")
    sigma = models.FloatField(null=True, blank=True, help_text="step size of the search when it asked")
    environment = models.JSONField(
        default=dict, help_text="what bit-reproducibility depends on: versions, processor, threads"
    )
    plan = models.JSONField(
        null=True, blank=True, help_text="what its candidates are asked, when that is less than all"
    )
    passed = ArrayField(
        models.PositiveIntegerField(), null=True, blank=True,
        help_text="of a search for a path: how many of its candidates pass each slot",
    )  # fmt: skip
    ahead_from = models.PositiveIntegerField(
        null=True, blank=True, help_text="the index of its first candidate that is told with the next generation"
    )
    opened = models.DateTimeField(db_default=Now())
    closed = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["run", "number"], name="generation_once")]

    def __str__(self) -> str:
        return f"generation {self.number}"


class Candidate(models.Model):
    """A recipe that is scored: a genome of a generation, a parent as it is, a baseline such as the uniform average, or a probe: another
    candidate, `probe_of`, with something left out. A probe has no rank, takes no exam and is nothing to the search.

    `index` counts from 0 inside a generation; for all others, inside the run. `told` is what the search saw of it: its fitness,
    or the worst fitness of its generation when it failed; written when the generation closes, so that a replay never computes policy again.
    """

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="candidates")
    generation = models.ForeignKey(
        Generation, null=True, blank=True, on_delete=models.CASCADE, related_name="candidates"
    )
    kind = models.CharField(max_length=10, choices=[(k, k) for k in get_args(CandidateKind)])
    index = models.PositiveIntegerField()
    name = models.CharField(
        max_length=200, help_text="g3.7 for the eighth of generation 3; else the parent's or baseline's name"
    )
    genome = ArrayField(models.FloatField(), null=True, blank=True)
    recipe = models.JSONField(help_text="merging.recipes.Recipe")
    recipe_digest = models.CharField(max_length=80)
    probe_of = models.ForeignKey("self", null=True, blank=True, on_delete=models.CASCADE, related_name="probes")
    told = models.FloatField(null=True, blank=True)

    class Meta:
        ordering = ["generation__number", "index"]
        constraints = [
            models.UniqueConstraint(fields=["run", "generation", "index"], name="candidate_once"),
            models.UniqueConstraint(
                fields=["run", "index"], condition=Q(generation__isnull=True), name="candidate_reference_once"
            ),
            models.CheckConstraint(
                condition=Q(kind="evolved", generation__isnull=False, genome__isnull=False)
                | (~Q(kind="evolved") & Q(generation__isnull=True)),
                name="candidate_evolved_has_generation",
            ),
            models.CheckConstraint(
                condition=Q(kind="probe", probe_of__isnull=False) | (~Q(kind="probe") & Q(probe_of__isnull=True)),
                name="candidate_probe_is_of_another",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Evaluation(Leased):
    """The unit of work: one candidate on one split, asked all benchmarks of its run. A done evaluation counts once, ever; `lease_token` is
    that of the accepted attempt.

    `fitness` is what the search maximises (finite; the database refuses the rest); `mean` is the benchmarks' weighted score in [0, 1] with
    its 95 % interval, over `n` samples in all. `rank` orders the claims of a run: parents and baselines first, then by generation.
    """

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="evaluations")
    candidate = models.ForeignKey(Candidate, on_delete=models.CASCADE, related_name="evaluations")
    split = models.CharField(max_length=10, choices=[(s, s) for s in get_args(Asked)])
    rank = models.PositiveIntegerField(default=0)
    fitness = models.FloatField(null=True, blank=True)
    mean = models.FloatField(null=True, blank=True)
    low = models.FloatField(null=True, blank=True)
    high = models.FloatField(null=True, blank=True)
    n = models.PositiveIntegerField(null=True, blank=True)
    is_estimate = models.BooleanField(
        default=False, db_default=False, help_text="fewer samples were asked than the run's, and the mean is inferred"
    )
    is_healthy = models.BooleanField(
        default=True, db_default=True, help_text="its answers can be trusted; the scores say why not"
    )
    merge_seconds = models.FloatField(null=True, blank=True)
    evaluate_seconds = models.FloatField(null=True, blank=True)
    created = models.DateTimeField(db_default=Now())
    finished = models.DateTimeField(null=True, blank=True)

    class Meta(Leased.Meta):
        ordering = ["rank", "id"]
        indexes = [
            models.Index(
                fields=["run", "rank", "id"], condition=Q(status__in=("pending", "leased")), name="evaluation_open"
            ),
            models.Index(fields=["run", "split", "-is_healthy", "-fitness"], name="evaluation_best"),
        ]
        constraints = [
            *Leased.Meta.constraints,
            models.UniqueConstraint(fields=["candidate", "split"], name="evaluation_once"),
            models.CheckConstraint(
                condition=Q(status="done", mean__isnull=False, n__gte=1)
                | (~Q(status="done") & Q(fitness__isnull=True)),
                name="evaluation_done_has_score",
            ),
            models.CheckConstraint(
                condition=~Q(status="done", split__in=("search", "full", "probe")) | Q(fitness__isnull=False),
                name="evaluation_search_has_fitness",
            ),
            # In Postgres NaN is greater than every number, infinity included: one upper bound refuses both.
            models.CheckConstraint(
                condition=Q(fitness__isnull=True) | Q(fitness__gt=float("-inf"), fitness__lt=float("inf")),
                name="evaluation_fitness_finite",
            ),
            models.CheckConstraint(
                condition=~Q(split="final") | Q(fitness__isnull=True), name="evaluation_final_has_no_fitness"
            ),
            models.CheckConstraint(
                condition=Q(mean__isnull=True) | Q(mean__gte=0.0, mean__lte=1.0), name="evaluation_mean_is_share"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.candidate} on the {self.split} split"


class Score(models.Model):
    """What a done evaluation scored on one benchmark, the `index`-th objective of its run. Written once, with the evaluation.

    `mean` is in [0, 1] with its 95 % interval, over the `n` samples that were asked. `health` counts what is wrong with the answers
    as such, and `concerns` says in words why they cannot be trusted; empty when they can.
    """

    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="scores")
    index = models.PositiveSmallIntegerField()
    benchmark = models.CharField(max_length=200)
    digest = models.CharField(max_length=80, help_text="of the benchmark's samples and how they are asked and judged")
    scorer = models.CharField(max_length=80, help_text="name and version")
    mean = models.FloatField()
    low = models.FloatField()
    high = models.FloatField()
    n = models.PositiveIntegerField()
    right = models.FloatField(help_text="share of right answers in whatever language")
    in_language = models.FloatField(null=True, blank=True, help_text="share of completions in the expected language")
    health = models.JSONField(default=dict, help_text="merging.health.Health; empty when it was not taken")
    concerns = ArrayField(models.TextField(), default=list, blank=True)
    seconds = models.FloatField(help_text="wall time of asking, the model included")

    class Meta:
        ordering = ["evaluation", "index"]
        constraints = [
            models.UniqueConstraint(fields=["evaluation", "index"], name="score_once"),
            models.CheckConstraint(condition=Q(n__gte=1), name="score_has_samples"),
            models.CheckConstraint(
                condition=Q(mean__gte=0.0, mean__lte=1.0, low__gte=0.0, high__lte=1.0), name="score_is_share"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.evaluation_id} on {self.benchmark}"


class Real(models.FloatField):  # type: ignore[type-arg]
    """A number of four bytes: enough for a sample's score."""

    def db_type(self, connection: object) -> str:
        return "real"


class Outcomes(models.Model):
    """Every sample's outcome behind one score, in the order of the split. `webapp.runs.outcomes` packs and unpacks them.

    `positions` are the samples' places in the split when they are not its first n. `scores` are what intervals, bands and estimators read;
    all else about a sample is in `rest`, by column, as compressed JSON.
    """

    score = models.OneToOneField(Score, primary_key=True, on_delete=models.CASCADE, related_name="outcomes")
    positions = ArrayField(models.PositiveIntegerField(), null=True, blank=True)
    scores = ArrayField(Real())
    rest = models.BinaryField()

    class Meta:
        verbose_name_plural = "outcomes"

    def __str__(self) -> str:
        return f"outcomes of {self.score_id}"


class Attempt(models.Model):
    """One claim of one evaluation. `token` comes from the sequence `lease_seq`; `outcome` is empty while it is open."""

    token = models.BigIntegerField(primary_key=True)
    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="all_attempts")
    worker = models.CharField(max_length=200)
    code_version = models.CharField(max_length=80)
    started = models.DateTimeField(db_default=Now())
    ended = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(
        max_length=10,
        blank=True,
        choices=[(o, o) for o in ("accepted", "failed", "fenced", "lost", "released", "hung")],
    )
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["token"]

    def __str__(self) -> str:
        return f"attempt {self.token}"


class Event(models.Model):
    """The outbox: written in the transaction of what it tells, numbered 1..n per run without gap, never changed but for `relayed`."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="events")
    seq = models.BigIntegerField()
    kind = models.CharField(max_length=40, help_text="a word of webapp.runs.events.Kind")
    payload = models.JSONField(default=dict)
    created = models.DateTimeField(db_default=Now())
    relayed = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["seq"]
        indexes = [models.Index(F("created"), condition=Q(relayed__isnull=True), name="event_not_relayed")]
        constraints = [models.UniqueConstraint(fields=["run", "seq"], name="event_once")]

    def __str__(self) -> str:
        return f"event {self.seq}"


class RunDraft(models.Model):
    """A form of a new run that was not launched yet, as its owner left it: kept while it is filled in, removed when it is launched.

    `key` is the form's own, with which it launches one run. `data` is every field as a browser sends it, unchecked; `notes` are sentences
    about what an imported file asks for and the form has not.
    """

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="run_drafts")
    key = models.CharField(max_length=32)
    data = models.JSONField()
    notes = models.JSONField(default=list, blank=True)
    updated = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-updated"]
        constraints = [models.UniqueConstraint(fields=["owner", "key"], name="draft_once")]

    def __str__(self) -> str:
        return f"draft of {self.updated:%Y-%m-%d %H:%M}"

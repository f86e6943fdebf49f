"""Rows for what a user chooses from: parents (model folders on this server) and benchmarks.

Knows nothing of runs: a run freezes what it needs of these rows into its own configuration, so hiding a row here never touches a run.
"""

from __future__ import annotations

from typing import TypeVar

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from merging.families import families
from merging.recipes import Parent as Model
from webapp.leases import Leased

M = TypeVar("M", bound=models.Model)


class Library(models.Manager[M]):
    """Rows that a user chooses from."""

    def visible_to(self, user: User) -> models.QuerySet[M]:
        """What a user may choose: the bundled rows, which have no owner, and their own."""
        return self.filter(Q(owner=None) | Q(owner=user), hidden_at=None)


class Parents(Library["Parent"]):
    """A model of many tensors has an inventory of megabytes, which is read only when somebody asks for it."""

    def get_queryset(self) -> models.QuerySet[Parent]:
        return super().get_queryset().defer("inventory")

    def visible_to(self, user: User) -> models.QuerySet[Parent]:
        """Without those whose files were removed, until they are fetched again."""
        return super().visible_to(user).filter(removed_at=None)

    def known_to(self, user: User) -> models.QuerySet[Parent]:
        """What a user may choose, and what they could before its files were removed."""
        return super().visible_to(user)


class Parent(models.Model):
    """A model folder on this server. Facts are read from its files when it is registered and never edited."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    name = models.CharField(max_length=200)
    title = models.CharField(max_length=200)
    summary = models.TextField(blank=True)
    folder = models.TextField()
    fingerprint = models.CharField(max_length=80, help_text="sha256 over the hashes of the folder's files")
    inventory = models.JSONField(
        default=dict, blank=True, help_text="Of its files; empty when registered before it was kept"
    )
    model_type = models.CharField(max_length=80)
    n_layers = models.PositiveIntegerField()
    hidden_size = models.PositiveIntegerField()
    vocab_size = models.PositiveIntegerField()
    n_parameters = models.BigIntegerField()
    n_bytes = models.BigIntegerField()
    dtype = models.CharField(max_length=20)
    licence = models.CharField(max_length=80, blank=True)
    not_finite = models.JSONField(
        default=list, db_default=[], blank=True, help_text="Tensors with NaN or infinity among their numbers"
    )
    created = models.DateTimeField(auto_now_add=True)
    hidden_at = models.DateTimeField(null=True, blank=True)
    removed_at = models.DateTimeField(
        null=True, blank=True, help_text="its files, which can be fetched again: see webapp.hub.removals"
    )

    objects = Parents()

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["owner", "name"], name="parent_name_once", nulls_distinct=False)]

    def __str__(self) -> str:
        return self.name

    @property
    def model(self) -> Model:
        """As recipes name it."""
        return Model(self.name, self.folder, self.fingerprint)

    @property
    def is_listed(self) -> bool:
        """Whether it is known which of its tensors belong to which layer."""
        return self.model_type in families


class Benchmark(models.Model):
    """A task with a score. `spec` is what `merging.benchmarks.BenchmarkSpec` reads; its samples are frozen by `digest`.

    What opens the final split is here alone, not in the spec: runs freeze specs, and workers are given them.
    """

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    name = models.CharField(max_length=200)
    title = models.CharField(max_length=200)
    summary = models.TextField(blank=True)
    spec = models.JSONField()
    digest = models.CharField(max_length=80)
    scorer = models.CharField(max_length=120, blank=True, help_text="with its version, such as last_number@1")
    is_public_test = models.BooleanField(
        default=False, help_text="The questions are from a public test set: a search on them is refused by default"
    )
    key = models.CharField(
        max_length=100,
        blank=True,
        help_text="Opens the final split; is handed out with a request for it and never else",
    )
    n_search = models.PositiveIntegerField()
    n_validation = models.PositiveIntegerField()
    n_final = models.PositiveIntegerField()
    created = models.DateTimeField(auto_now_add=True)
    hidden_at = models.DateTimeField(null=True, blank=True)

    objects = Library()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["owner", "name"], name="benchmark_name_once", nulls_distinct=False)
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def kind_in_words(self) -> str:
        """Where its samples come from."""
        if self.spec.get("harness"):
            return "lm-eval task"
        return "questions from a file" if self.spec.get("sealed") or self.spec.get("file") else "built in"


class Fetch(Leased):
    """A task of lm-eval's harness to be fetched once and frozen as a benchmark; without a name, the list of all its tasks.

    A worker sees to it, in a process of its own.
    """

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    task = models.CharField(max_length=200, blank=True)
    metric = models.CharField(max_length=200, blank=True)
    seed = models.BigIntegerField(default=0)
    benchmark = models.ForeignKey(Benchmark, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created = models.DateTimeField(db_default=Now())
    finished = models.DateTimeField(null=True, blank=True)

    class Meta(Leased.Meta):
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.task}, {self.metric}" if self.task else "the list of tasks"

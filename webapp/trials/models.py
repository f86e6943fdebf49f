"""Rows for trials. A trial is of no run: nothing that it finds counts anywhere, and it may be forgotten at any time."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from webapp.leases import Leased
from webapp.trials import results


class Trial(Leased):
    """One recipe that is asked the first few questions of the search split of each of its benchmarks.

    `result` is a list of `results.Tried` as JSON, one for each benchmark, once it is `done`.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=200, help_text="of the model, for its owner")
    recipe = models.JSONField(help_text="merging.recipes.Recipe")
    benchmarks = models.JSONField(help_text="list of merging.benchmarks.BenchmarkSpec")
    n_questions = models.PositiveSmallIntegerField(help_text="of each benchmark, or all where it has fewer")
    stage = models.CharField(max_length=20, blank=True)
    result = models.JSONField(null=True, blank=True)
    seconds = models.FloatField(null=True, blank=True, help_text="of merging and asking together")
    created = models.DateTimeField(db_default=Now())
    finished = models.DateTimeField(null=True, blank=True)

    class Meta(Leased.Meta):
        ordering = ["-created", "id"]
        indexes = [models.Index(fields=["owner", "-created"], name="trial_of_owner")]

    def __str__(self) -> str:
        return f"{self.name} on {', '.join(spec['name'] for spec in self.benchmarks)}"

    @property
    def tried(self) -> list[results.Tried]:
        """What came of it, benchmark by benchmark."""
        return results.read(self.result)

    @property
    def is_unread(self) -> bool:
        """No answer was found in what the model said, on one of its benchmarks."""
        return any(tried.is_unread for tried in self.tried)

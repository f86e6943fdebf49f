"""Rows of the Hub's room: what is being fetched, where a model here was fetched from, and how alike two models are."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone

from webapp.hub.names import Wanted
from webapp.leases import Leased
from webapp.library.models import Parent

MIN_SECONDS = 2.0
"""Of an attempt, before an estimate is worth anything."""


class Download(Leased):
    """A model that somebody wants to have from the Hub, in a process that a worker starts.

    `revision` is what was asked for, `commit` what it stood for when the fetch began, after which nothing else is fetched. A fetch that was
    paused is `dropped`: what has come stays on the disk, and a fetch of the same commit goes on from there.
    """

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    repo = models.CharField(max_length=200)
    revision = models.CharField(max_length=200, blank=True, help_text="empty for the main branch")
    commit = models.CharField(max_length=40, blank=True)
    n_files = models.PositiveIntegerField(default=0)
    n_bytes = models.BigIntegerField(default=0)
    n_done = models.BigIntegerField(default=0, help_text="bytes that are here")
    n_before = models.BigIntegerField(default=0, help_text="bytes that were here when this attempt began")
    begun = models.DateTimeField(null=True, blank=True, help_text="when the first byte of this attempt came")
    stage = models.CharField(max_length=300, blank=True, help_text="for a person")
    parent = models.ForeignKey(Parent, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created = models.DateTimeField(db_default=Now())
    finished = models.DateTimeField(null=True, blank=True)

    class Meta(Leased.Meta):
        ordering = ["-id"]

    def __str__(self) -> str:
        return str(self.wanted)

    @property
    def wanted(self) -> Wanted:
        """As a person names it."""
        return Wanted(self.repo, self.revision)

    @property
    def bytes_per_second(self) -> int | None:
        """Of this attempt; None before that can be said."""
        seconds = (timezone.now() - self.begun).total_seconds() if self.begun else 0.0
        gained = self.n_done - self.n_before
        return round(gained / seconds) if seconds >= MIN_SECONDS and gained > 0 else None

    @property
    def left(self) -> timedelta | None:
        """How long the rest will take at the pace of this attempt."""
        pace = self.bytes_per_second
        return timedelta(seconds=(self.n_bytes - self.n_done) / pace) if pace else None


class Source(models.Model):
    """Where a model of the library was fetched from. The licence and what it was made from are in its card, beside its files."""

    parent = models.OneToOneField(Parent, on_delete=models.CASCADE, related_name="source")
    repo = models.CharField(max_length=200, db_index=True)
    commit = models.CharField(max_length=40)
    licence = models.CharField(max_length=200, blank=True, help_text="what the Hub called it")
    base_models = models.JSONField(default=list, help_text="what the Hub said that it was made from")
    fetched = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return str(Wanted(self.repo, self.commit))

    @property
    def page(self) -> str:
        """Of the commit, here."""
        return Wanted(self.repo, self.commit).page


class Similarity(Leased):
    """How alike what two models learned is: their task vectors, measured from one base. `result` is `merging.similarity.Likeness`."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    base = models.ForeignKey(Parent, on_delete=models.CASCADE, related_name="+")
    first = models.ForeignKey(Parent, on_delete=models.CASCADE, related_name="+")
    second = models.ForeignKey(Parent, on_delete=models.CASCADE, related_name="+")
    progress = models.FloatField(default=0.0, help_text="share in [0, 1]")
    stage = models.CharField(max_length=20, blank=True)
    result = models.JSONField(null=True, blank=True)
    begun = models.DateTimeField(null=True, blank=True)
    created = models.DateTimeField(db_default=Now())
    finished = models.DateTimeField(null=True, blank=True)

    class Meta(Leased.Meta):
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.first} and {self.second}"

    @property
    def left(self) -> timedelta | None:
        """How long the rest will take at the pace so far."""
        spent = timezone.now() - self.begun if self.begun else timedelta()
        return (
            spent * (1 - self.progress) / self.progress
            if self.progress and spent.total_seconds() >= MIN_SECONDS
            else None
        )

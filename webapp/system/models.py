"""Rows for the machinery: the workers that have reported, and what they are doing.

A worker row is a report, not a permission: leases (`webapp.leases`) decide who may write a result.
"""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models


class Worker(models.Model):
    """One supervisor process with one device. `seen` is written by the database's clock at every heartbeat."""

    name = models.CharField(max_length=200, primary_key=True)
    device = models.CharField(
        max_length=200, help_text="what computes, in words: CPU, 2 cores; or the GPU's name and memory"
    )
    code_version = models.CharField(max_length=80)
    algo_versions = ArrayField(
        models.PositiveSmallIntegerField(), default=list, db_default=[1],
        help_text="webapp.runs.versions: of the runs that it may take",
    )  # fmt: skip
    started = models.DateTimeField()
    seen = models.DateTimeField()
    ready = models.BooleanField(default=False, help_text="its device process has loaded and waits for work")
    stopped = models.DateTimeField(null=True, blank=True)
    drained = models.DateTimeField(
        null=True,
        blank=True,
        help_text="since when it takes nothing new, because staff asked for that; also over a restart",
    )
    activity = models.JSONField(
        default=dict, help_text="run, evaluation, stage, done, total of the current work; empty when idle"
    )

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def has_gpu(self) -> bool:
        """By the words of its device, which it says as soon as that has loaded."""
        return bool(self.device) and not self.device.startswith("CPU")

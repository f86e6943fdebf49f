"""Rows for the machinery: which installation this is, the workers that have reported, and what they are doing.

A worker row is a report, not a permission: leases (`webapp.leases`) decide who may write a result.
"""

from __future__ import annotations

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models


class Installation(models.Model):
    """Which installation this database is of: one row. A file in the data folder has the same id, so that whoever sees both can tell that
    they belong together. `version` is of the code that last brought the tables up to date.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    version = models.CharField(max_length=80)

    def __str__(self) -> str:
        return str(self.id)


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
    reach = models.CharField(
        max_length=10,
        blank=True,
        db_default="",
        choices=[
            ("", "the server's own"),
            ("shared", "shares the data folder"),
            ("store", "reaches files by the store"),
        ],
        help_text="of one that joined from another host: how it comes by models and questions",
    )
    refused = models.TextField(blank=True, db_default="", help_text="why it may take nothing: it is of another version")
    trouble = models.TextField(
        blank=True, db_default="", help_text="what it could not get, and of which runs it takes none"
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

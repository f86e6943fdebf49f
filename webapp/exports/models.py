"""Rows for merged models that were built for download."""

from __future__ import annotations

import uuid
from pathlib import Path

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from webapp.leases import Leased
from webapp.runs.models import Candidate


class Export(Leased):
    """One candidate as an ordinary Hugging Face folder under `<data>/exports/<id>/`. Visible files exist only once it is `done`."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="exports")
    candidate = models.OneToOneField(Candidate, on_delete=models.CASCADE, related_name="export")
    n_bytes = models.BigIntegerField(null=True, blank=True)
    stage = models.CharField(max_length=20, blank=True)
    progress = models.FloatField(default=0.0, help_text="share in [0, 1]")
    created = models.DateTimeField(db_default=Now())
    finished = models.DateTimeField(null=True, blank=True)

    class Meta(Leased.Meta):
        ordering = ["-created"]

    def __str__(self) -> str:
        return f"{self.candidate} for download"

    @property
    def folder(self) -> Path:
        """Where its files are once it is `done`."""
        return Path(settings.DATA_DIR) / "exports" / str(self.pk)


class ExportFile(models.Model):
    """One file of an export. The hash is computed while the file is written, and serves as its strong ETag."""

    export = models.ForeignKey(Export, on_delete=models.CASCADE, related_name="files")
    name = models.CharField(max_length=200)
    n_bytes = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["export", "name"], name="export_file_once")]

    def __str__(self) -> str:
        return self.name

"""Rows for what was exported: files to download, what a person decided about the licence, and what was pushed to the Hub."""

from __future__ import annotations

import uuid
from pathlib import Path

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from webapp.exports.checks import Checks
from webapp.exports.kinds import KIND_NAMES, KINDS, Kind
from webapp.leases import UNDER_WAY, Leased
from webapp.runs.models import Candidate

MAX_REPO = 200
MAIN = "main"


class Export(Leased):
    """One candidate in one of the forms of `kinds.KINDS`: files under `<data>/exports/<id>/`, visible only once it is `done`.

    `variant` is how the numbers of a GGUF file are stored, "" for all else. `checks` are what a worker found out about a model before
    and after it was written (`webapp.exports.checks`).
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="exports")
    candidate = models.ForeignKey(Candidate, on_delete=models.CASCADE, related_name="exports")
    kind = models.CharField(max_length=10, default="folder", choices=[(k, k) for k in KIND_NAMES])
    variant = models.CharField(max_length=10, blank=True)
    checks = models.JSONField(default=dict, blank=True)
    n_bytes = models.BigIntegerField(null=True, blank=True)
    stage = models.CharField(max_length=20, blank=True)
    progress = models.FloatField(default=0.0, help_text="share in [0, 1]")
    created = models.DateTimeField(db_default=Now())
    finished = models.DateTimeField(null=True, blank=True)

    class Meta(Leased.Meta):
        ordering = ["-created"]
        constraints = [
            *Leased.Meta.constraints,
            models.CheckConstraint(condition=Q(kind__in=KIND_NAMES), name="export_kind_known"),
            models.UniqueConstraint(fields=["candidate", "kind", "variant"], name="export_once"),
        ]

    def __str__(self) -> str:
        return f"{self.candidate} as {self.title}"

    @property
    def form(self) -> Kind:
        """What kind of export it is."""
        return KINDS[self.kind]

    @property
    def title(self) -> str:
        """`Hugging Face folder`, `GGUF file, Q8_0`."""
        return f"{self.form.title}, {self.variant}" if self.variant else self.form.title

    @property
    def checked(self) -> Checks:
        """What was found out about the model."""
        return Checks.from_json(self.checks)

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


class LicenceDecision(models.Model):
    """Under which licence a person lets a candidate be published; the newest counts, older ones stay. `basis` is what was known of the
    models that it was made from: a list of `{"model", "licence"}`.

    `name` and `link` say what `other` is.
    """

    candidate = models.ForeignKey(Candidate, on_delete=models.CASCADE, related_name="licence_decisions")
    by = models.CharField(max_length=150, help_text="who decided, by user name")
    licence = models.CharField(max_length=80, help_text="as the Hub calls it")
    name = models.CharField(max_length=100, blank=True)
    link = models.URLField(max_length=300, blank=True)
    basis = models.JSONField(default=list)
    created = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-created", "-id"]
        constraints = [
            models.CheckConstraint(condition=~Q(licence="other") | ~Q(name=""), name="licence_other_has_a_name"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.licence})" if self.name else self.licence


class Push(Leased):
    """One export on its way to the Hub, with the token of its owner. What has arrived is not sent again by whoever goes on with it.

    It goes to the branch `branch`, or as a pull request, whose number is `pull_request` once it is open. `url` is where it can be seen.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="pushes")
    export = models.ForeignKey(Export, on_delete=models.CASCADE, related_name="pushes")
    repo = models.CharField(max_length=MAX_REPO)
    is_private = models.BooleanField(default=True)
    branch = models.CharField(max_length=100, default=MAIN)
    as_pull_request = models.BooleanField(default=False)
    pull_request = models.PositiveIntegerField(null=True, blank=True)
    stage = models.CharField(max_length=20, blank=True)
    n_bytes = models.BigIntegerField(help_text="of all files")
    n_bytes_sent = models.BigIntegerField(default=0)
    commit = models.CharField(max_length=40, blank=True)
    url = models.URLField(max_length=400, blank=True)
    created = models.DateTimeField(db_default=Now())
    finished = models.DateTimeField(null=True, blank=True)

    class Meta(Leased.Meta):
        ordering = ["-created", "id"]
        constraints = [
            *Leased.Meta.constraints,
            models.UniqueConstraint(fields=["export"], condition=Q(status__in=UNDER_WAY), name="push_one_at_a_time"),
        ]

    def __str__(self) -> str:
        return f"{self.export} to {self.repo}"

    @property
    def share(self) -> float:
        """Of the bytes that have arrived, in [0, 1]."""
        return self.n_bytes_sent / self.n_bytes if self.n_bytes else 0.0

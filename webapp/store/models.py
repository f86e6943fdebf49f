"""Rows of the store's room: what is in the store, or is asked for and on its way there."""

from __future__ import annotations

from typing import Any, cast

from django.db import models
from django.db.models.functions import Now

from webapp.leases import Leased
from webapp.store.needs import Kind, Need


class Stock(Leased):
    """A model or a benchmark that a worker on another host asked for. A worker that has the data folder puts it into the store, in a
    process of its own; it is in the store when this is `done`.

    `files` says what is there: a list of {name, n_bytes, hash}, by which whoever fetches it checks every file. `doubted` are names of files
    that somebody found missing or wrong in the store: they are put there anew. Unlike other leased rows, one that has ended begins again.
    """

    kind = models.CharField(max_length=10, choices=[("parents", "a model"), ("benchmarks", "questions")])
    digest = models.CharField(max_length=80, help_text="a model's fingerprint, a benchmark's digest")
    name = models.CharField(max_length=200)
    path = models.TextField(help_text="where the server has it")
    files = models.JSONField(default=list)
    doubted = models.JSONField(default=list)
    n_bytes = models.BigIntegerField(default=0)
    n_done = models.BigIntegerField(default=0, help_text="bytes that are in the store")
    created = models.DateTimeField(db_default=Now())
    finished = models.DateTimeField(null=True, blank=True)

    class Meta(Leased.Meta):
        ordering = ["-id"]
        constraints = [
            *Leased.Meta.constraints,
            models.UniqueConstraint(fields=["kind", "digest"], name="stock_once"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def need(self) -> Need:
        """What it is for."""
        return Need(cast(Kind, self.kind), self.digest, self.name, self.path)

    @property
    def hashes(self) -> dict[str, Any]:
        """Bytes and hash of each file, by its name."""
        return {file["name"]: (file["n_bytes"], file["hash"]) for file in self.files}

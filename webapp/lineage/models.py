"""Rows for what comes of a candidate: a parent in the library, and the run that such a parent is for.

    Candidate 1--1 Adoption 1--1 library.Parent
    Run 1--1 Sequel 1--1 Run

Nothing here is work of its own: what is built is an export, what is launched is a run. `progress.py` goes on as soon as either allows.
"""

from __future__ import annotations

from typing import Literal

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from webapp.exports.models import Export
from webapp.library.models import Parent
from webapp.runs.models import LIVE, Candidate, Run

AdoptionState = Literal["building", "registering", "ready", "failed"]
SequelState = Literal["waiting", "halted", "building", "failed", "called off", "launched"]


class Adoption(models.Model):
    """A candidate that somebody wants as a parent: its export is built, and the folder is registered for the owner of its run alone.

    building --export done--> registering --> ready
        `--export failed--> failed <--'            failed --asked again--> building
    """

    candidate = models.OneToOneField(Candidate, on_delete=models.CASCADE, related_name="adoption")
    parent = models.OneToOneField(Parent, null=True, blank=True, on_delete=models.CASCADE, related_name="adoption")
    failure = models.TextField(blank=True, help_text="for a person: why its folder cannot be a parent")
    created = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(failure="") | Q(parent__isnull=True), name="adoption_failed_or_registered"
            )
        ]

    def __str__(self) -> str:
        return f"{self.candidate} as a parent"

    @property
    def export(self) -> Export | None:
        """What is built of the candidate; None when that was never asked for, or is asked for anew."""
        return Export.objects.filter(candidate=self.candidate_id, kind="folder").first()

    @property
    def state(self) -> AdoptionState:
        if self.parent_id is not None:
            return "ready"
        export = self.export
        if self.failure or (export is not None and export.status == "failed"):
            return "failed"
        return "registering" if export is not None and export.status == "done" else "building"

    @property
    def reason(self) -> str:
        """Why it failed."""
        if self.failure:
            return self.failure
        export = self.export
        return export.failure if export else ""


class Sequel(models.Model):
    """A run over layer paths that follows a run over numbers: the winner of `first` becomes its model A.

        waiting --first done--> building --registered--> launched
            `--first stopped or failed--> halted --a person goes on--> building
                                         failed --a person goes on-->--'
        any of these but launched --called off--> called off --a person goes on--> waiting or building

    `config` is complete but for model A, for which a parent of `first` stands in: it has the winner's shape. `run` is set in the
    transaction that launches it, with a key that the database accepts once.
    """

    first = models.OneToOneField(Run, on_delete=models.CASCADE, related_name="sequel")
    run = models.OneToOneField(Run, null=True, blank=True, on_delete=models.CASCADE, related_name="prequel")
    name = models.CharField(max_length=200)
    config = models.JSONField(help_text="webapp.runs.config.RunConfig")
    with_random_search = models.BooleanField(default=False)
    by_hand = models.BooleanField(default=False, help_text="a person wants it although the first run was not done")
    called_off = models.BooleanField(default=False, help_text="a person does not want it any more")
    adoption = models.ForeignKey(Adoption, null=True, blank=True, on_delete=models.SET_NULL, related_name="sequels")
    failure = models.TextField(blank=True, help_text="for a person: why it could not be launched")
    created = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(failure="") | Q(run__isnull=True), name="sequel_failed_or_launched"),
            models.CheckConstraint(
                condition=Q(called_off=False) | Q(run__isnull=True), name="sequel_called_off_or_launched"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def idempotency_key(self) -> str:
        """Of its run: a second launch finds the first."""
        return f"sequel.{self.pk}"

    @property
    def state(self) -> SequelState:
        if self.run_id is not None:
            return "launched"
        if self.called_off:
            return "called off"
        if self.failure or (self.adoption is not None and self.adoption.state == "failed"):
            return "failed"
        if not self.has_first_ended:
            return "waiting"
        return "building" if self.first.state == "done" or self.by_hand else "halted"

    @property
    def has_first_ended(self) -> bool:
        return self.first.state not in LIVE

    @property
    def reason(self) -> str:
        """Why it failed."""
        return self.failure or (self.adoption.reason if self.adoption else "")

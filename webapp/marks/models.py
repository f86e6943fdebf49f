"""Rows for what people make of candidates. A mark is its run's: whoever sees the run sees it, whoever may edit the run may set one."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from webapp.runs.models import Candidate

MAX_NOTE = 4000
MAX_TAG = 40


class Mark(models.Model):
    """One person's star, note and tags on one candidate; gone when nothing of them is left. A star protects: what a candidate with a star
    has on disk is not cleaned up by itself.
    """

    candidate = models.ForeignKey(Candidate, on_delete=models.CASCADE, related_name="marks")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="marks")
    is_starred = models.BooleanField(default=False)
    note = models.TextField(max_length=MAX_NOTE, blank=True)
    tags = ArrayField(models.CharField(max_length=MAX_TAG), default=list, blank=True)
    changed = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["candidate", "owner"], name="mark_once"),
            models.CheckConstraint(
                condition=Q(is_starred=True) | ~Q(note="") | ~Q(tags=[]), name="mark_says_something"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.owner_id} on {self.candidate_id}"

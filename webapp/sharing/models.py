"""Rows for the people that a run is shared with."""

from __future__ import annotations

from typing import Literal, get_args

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from webapp.runs.models import Run

Role = Literal["viewer", "editor"]


class Share(models.Model):
    """One person's role in somebody else's run; `access.py` says what a role allows."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="shares")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="shares")
    role = models.CharField(max_length=10, choices=[(role, role.capitalize()) for role in get_args(Role)])
    created = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["created"]
        constraints = [
            models.UniqueConstraint(fields=["user", "run"], name="share_once"),
            models.CheckConstraint(condition=Q(role__in=get_args(Role)), name="share_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user} as {self.role}"

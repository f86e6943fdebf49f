"""Rows for the people that a run is shared with: one by one, or through a project, whose members have their role in all its runs."""

from __future__ import annotations

import uuid
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


class Project(models.Model):
    """Runs that belong together, and the people who see them. Its owner is a member as editor, always."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=200)
    created = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-created", "id"]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """One person's role in a project, and so in every run of it."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=[(role, role.capitalize()) for role in get_args(Role)])
    created = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["created", "id"]
        constraints = [
            models.UniqueConstraint(fields=["user", "project"], name="membership_once"),
            models.CheckConstraint(condition=Q(role__in=get_args(Role)), name="membership_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user} as {self.role}"


class Placement(models.Model):
    """The one project that a run is in."""

    run = models.OneToOneField(Run, on_delete=models.CASCADE, related_name="placement", primary_key=True)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="placements")
    created = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.run_id} in {self.project}"

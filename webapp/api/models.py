"""Rows for programs: the tokens with which they ask, and what they were answered when they made something."""

from __future__ import annotations

from typing import Final, Literal, get_args

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

Scope = Literal["read", "runs", "exports"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)


class Token(models.Model):
    """What a program may do in its owner's name, until it expires or is revoked, which deletes the row. The token itself is kept nowhere:
    `digest` is its SHA-256.
    """

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=60)
    digest = models.CharField(max_length=64, unique=True)
    scopes = ArrayField(models.CharField(max_length=10))
    created = models.DateTimeField(db_default=Now())
    expires = models.DateTimeField()
    used = models.DateTimeField(null=True, blank=True, help_text="last, to the minute")

    class Meta:
        ordering = ["-created", "-id"]
        constraints = [
            models.CheckConstraint(condition=Q(scopes__contained_by=list(SCOPES)), name="token_scopes_known")
        ]

    def __str__(self) -> str:
        return self.name


class Answer(models.Model):
    """What a program was answered that named its request with an Idempotency-Key: asked again, it is answered the same. `request` is the
    SHA-256 of what it asked. Kept for a day.
    """

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=64)
    request = models.CharField(max_length=64)
    content = models.JSONField(default=dict)
    created = models.DateTimeField(db_default=Now(), db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "key"], name="answered_once")]

    def __str__(self) -> str:
        return self.key

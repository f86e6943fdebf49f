"""Rows about people that Django's own user has no place for."""

from __future__ import annotations

from django.db import models


class Tries(models.Model):
    """How often somebody has tried to sign in since the window opened. The key is a hash: no name or address is kept."""

    key = models.CharField(max_length=64, primary_key=True)
    n = models.PositiveIntegerField()
    opened = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.n} tries since {self.opened:%H:%M:%S}"

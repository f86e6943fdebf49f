"""Rows about people that Django's own user has no place for."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Tries(models.Model):
    """How often somebody has tried to sign in since the window opened. The key is a hash: no name or address is kept."""

    key = models.CharField(max_length=64, primary_key=True)
    n = models.PositiveIntegerField()
    opened = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.n} tries since {self.opened:%H:%M:%S}"


class HubToken(models.Model):
    """A user's token of the Hugging Face Hub: written, used for their fetches and pushes, removed; never shown again."""

    owner = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    sealed = models.TextField(help_text="As webapp.accounts.sealing writes it")
    ending = models.CharField(max_length=4, help_text="Its last characters, by which its owner knows it")
    created = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"hf_…{self.ending}"

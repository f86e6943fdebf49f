"""Rows about people that Django's own user has no place for."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class Tries(models.Model):
    """How often somebody has tried to sign in since the window opened. The key is a hash: no name or address is kept."""

    key = models.CharField(max_length=64, primary_key=True)
    n = models.PositiveIntegerField()
    opened = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.n} tries since {self.opened:%H:%M:%S}"


class Viewer(models.Model):
    """This account may look and change nothing: see `roles`."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="viewer", primary_key=True
    )

    def __str__(self) -> str:
        return f"{self.user} is a viewer"


class Invite(models.Model):
    """Whoever has the address makes one account with it, until it expires or is revoked, which deletes the row. The address is kept
    nowhere: `digest` is the SHA-256 of its secret part.
    """

    digest = models.CharField(max_length=64, unique=True)
    role = models.CharField(max_length=10)
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    created = models.DateTimeField(db_default=Now())
    expires = models.DateTimeField()

    class Meta:
        ordering = ["created", "id"]
        constraints = [
            models.CheckConstraint(condition=Q(role__in=("admin", "member", "viewer")), name="invite_role_known")
        ]

    def __str__(self) -> str:
        return f"an invitation as {self.role}"


class HubToken(models.Model):
    """A user's token of the Hugging Face Hub: written, used for their fetches and pushes, removed; never shown again."""

    owner = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    sealed = models.TextField(help_text="As webapp.accounts.sealing writes it")
    ending = models.CharField(max_length=4, help_text="Its last characters, by which its owner knows it")
    created = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"hf_…{self.ending}"

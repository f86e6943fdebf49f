"""Rows of the trail, which are written once, of what somebody has seen, and of links that show a run to anybody."""

from __future__ import annotations

import uuid
from typing import Literal, get_args

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from webapp.leases import Leased
from webapp.runs.models import Run

ChannelKind = Literal["webhook", "mail"]


class Act(models.Model):
    """Somebody did something to an object. Nothing here points to a row: an act stays when its people and objects are gone, and the
    database refuses to change or remove it.

    `user` and `owner` are the numbers of who did it and of whose the object is; `who` and `name` what they were called then. `token` is
    the name of the token, when a program did it.
    """

    at = models.DateTimeField(db_default=Now())
    user = models.BigIntegerField(null=True)
    who = models.CharField(max_length=150)
    token = models.CharField(max_length=60, blank=True)
    words = models.CharField(max_length=60)
    kind = models.CharField(max_length=20, help_text="of the object: run, export, token, …")
    key = models.CharField(max_length=200, blank=True, help_text="the object's own, as its address has it")
    name = models.CharField(max_length=200, blank=True)
    owner = models.BigIntegerField(null=True)
    detail = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["user", "-id"], name="act_of_user"),
            models.Index(fields=["owner", "-id"], name="act_on_owner"),
        ]

    def __str__(self) -> str:
        return f"{self.who} {self.words} {self.kind} {self.key}"


class Seen(models.Model):
    """Until when somebody has looked at their notices."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", primary_key=True)
    until = models.DateTimeField()

    def __str__(self) -> str:
        return f"until {self.until:%Y-%m-%d %H:%M}"


class Link(models.Model):
    """Whoever has the address may read a run without an account, until it expires or is revoked, which deletes the row. The address is
    kept nowhere: `digest` is the SHA-256 of its secret part.
    """

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="links")
    digest = models.CharField(max_length=64, unique=True)
    created = models.DateTimeField(db_default=Now())
    expires = models.DateTimeField()

    class Meta:
        ordering = ["created", "id"]

    def __str__(self) -> str:
        return f"a link to {self.run_id}"


class Channel(models.Model):
    """Where somebody's notices go besides the bell: `target` is an address of https or of mail. `secret`, sealed, signs what is sent."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="channels")
    kind = models.CharField(max_length=10, choices=[(kind, kind) for kind in get_args(ChannelKind)])
    target = models.CharField(max_length=500)
    secret = models.TextField(help_text="As webapp.accounts.sealing writes it")
    created = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["created", "id"]
        constraints = [models.CheckConstraint(condition=Q(kind__in=get_args(ChannelKind)), name="channel_kind_known")]

    def __str__(self) -> str:
        return self.target


class Delivery(Leased):
    """One piece of news on its way through a channel, noted once. `about` is run, export or test, `key` the object's own."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="deliveries")
    about = models.CharField(max_length=10)
    key = models.CharField(max_length=40)
    what = models.CharField(max_length=40)
    created = models.DateTimeField(db_default=Now())
    finished = models.DateTimeField(null=True, blank=True)

    class Meta(Leased.Meta):
        ordering = ["-created", "id"]
        constraints = [
            *Leased.Meta.constraints,
            models.UniqueConstraint(fields=["channel", "about", "key", "what"], name="delivery_once"),
        ]

    def __str__(self) -> str:
        return f"{self.about} {self.key} {self.what}"

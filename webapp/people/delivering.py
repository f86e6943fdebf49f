"""What the process does that a worker starts for a piece of news: it says what happened, signed, a few times if it must."""

from __future__ import annotations

import hmac
import json
import smtplib
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.core.mail import send_mail
from django.db.models.functions import Now
from django.urls import reverse

from webapp.accounts.sealing import SealError, opened
from webapp.exports.models import Export
from webapp.people.channels import TEST, fail
from webapp.people.egress import EgressError, post
from webapp.people.models import Delivery
from webapp.runs.models import Run

WAITS: Final = (0.0, 5.0, 30.0)
"""Seconds before each try."""
AGENT: Final = "Progeny"


def carry_out(delivery_id: UUID, token: int, sleep: Callable[[float], None] = time.sleep) -> None:
    """Tell it, whatever comes of it; nothing is written when the claim is lost."""
    held = Delivery.objects.filter(pk=delivery_id, status="leased", lease_token=token)
    delivery = held.select_related("channel__owner").first()
    if delivery is None:
        return
    for wait in WAITS:
        sleep(wait)
        try:
            _tell(delivery)
        except EgressError as error:
            if not error.may_pass or wait == WAITS[-1]:
                fail(held, "egress", str(error))
                return
        except SealError as error:
            fail(held, "secret", f"The secret cannot be opened: it was {error}.")
            return
        else:
            held.update(status="done", finished=Now(), lease_until=None)
            return


def content_of(delivery: Delivery) -> dict[str, Any]:
    """What is said: which of one's objects, what happened to it, and what it said itself. `page` begins with the site's address where that
    is known (PROGENY_URL).
    """
    about, key = delivery.about, delivery.key
    said = {
        "id": str(delivery.pk),
        "at": delivery.created.isoformat(),
        "about": about,
        "what": delivery.what.split()[0],
    }
    if about == TEST:
        return said
    name, message = _run(key) if about == "run" else _export(key)
    page = reverse("runs:detail", args=[key]) if about == "run" else reverse("exports:list")
    return said | {"key": key, "name": name, "message": message, "page": f"{settings.PUBLIC_URL}{page}"}


def signature(secret: str, moment: str, body: bytes) -> str:
    """What a receiver computes, too: HMAC-SHA256 with the secret over the moment, a point and the body."""
    return "sha256=" + hmac.new(secret.encode(), moment.encode() + b"." + body, sha256).hexdigest()


def _tell(delivery: Delivery) -> None:
    if settings.OFFLINE:
        raise EgressError("Offline mode is on: nothing leaves this machine.")
    if delivery.channel.kind == "mail":
        _mail(delivery)
        return
    body = json.dumps(content_of(delivery)).encode()
    moment = str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": AGENT,
        "X-Progeny-Delivery": str(delivery.pk),
        "X-Progeny-Timestamp": moment,
        "X-Progeny-Signature": signature(opened(delivery.channel.secret), moment, body),
    }
    post(delivery.channel.target, body, headers)


def _mail(delivery: Delivery) -> None:
    if not settings.EMAIL_HOST:
        raise EgressError(
            "This server sends no mail: who looks after it can say by which server it may (PROGENY_MAIL)."
        )
    said = content_of(delivery)
    subject = f"Progeny: {said.get('name') or 'a test'} – {said['what']}".replace("\n", " ")
    words = "\n\n".join(filter(None, (said.get("message", ""), said.get("page", ""))))
    try:
        send_mail(subject, f"{words or 'So it arrives.'}\n", None, [delivery.channel.target])
    except (smtplib.SMTPException, OSError) as error:
        raise EgressError(f"The mail server did not take it: {error}.", may_pass=True) from error


def _run(key: str) -> tuple[str, str]:
    return Run.objects.filter(pk=key).values_list("name", "message").first() or ("", "")


def _export(key: str) -> tuple[str, str]:
    found = Export.objects.filter(pk=key).select_related("candidate__run").first()
    return (f"{found.candidate.run.name}: {found}", found.failure) if found else ("", "")

"""Made once, however often it is asked for: what was answered to an Idempotency-Key is answered again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from http import HTTPStatus
from typing import Annotated, Final, TypeVar

from django.db import transaction
from django.db.models.functions import Now
from ninja import Header
from pydantic import BaseModel

from webapp.api.models import Answer
from webapp.api.problems import Refusal
from webapp.api.security import Asked

KEPT: Final = timedelta(days=1)
N_FORGOTTEN: Final = 1000
"""Old answers that one request removes at most."""
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=64,
        pattern=r"^[!-~]+$",
        description="A word of your own choice. Sent again within a day with the same body, the same is answered and nothing is made anew.",
    ),
]
Made = TypeVar("Made", bound=BaseModel)


def once(request: Asked, key: str | None, made: type[Made], make: Callable[[], Made]) -> Made:
    """What `make` makes, or made when this key came first. A Refusal with 409 where another body came with the key.

    What could not be made is not kept: it may be asked for again with the same key. Requests with one key wait for each other.
    """
    if key is None:
        return make()
    asked = sha256(f"{request.method} {request.path}\0".encode() + request.body).hexdigest()
    with transaction.atomic():
        _forget_old()
        answer, is_new = Answer.objects.get_or_create(owner=request.user, key=key, defaults={"request": asked})
        if not is_new:
            if answer.request != asked:
                raise Refusal(HTTPStatus.CONFLICT, f"The Idempotency-Key {key} came with another request before.")
            return made.model_validate(answer.content)
        found = make()
        answer.content = found.model_dump(mode="json")
        answer.save(update_fields=["content"])
        return found


def _forget_old() -> None:
    old = Answer.objects.filter(created__lt=Now() - KEPT).select_for_update(skip_locked=True)
    Answer.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:N_FORGOTTEN])).delete()

"""How alike two models here are: who asks, and what the process does that a worker starts for it."""

from __future__ import annotations

import math
import time
from typing import Any, Final

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from merging.errors import MergingError
from merging.similarity import Cells, Likeness, likeness
from webapp.hub.models import Similarity
from webapp.hub.transfers import Stopped
from webapp.leases import UNDER_WAY
from webapp.library.models import Parent
from webapp.quotas import QuotaError, hold

N_AT_ONCE: Final = 5
N_KEPT: Final = 50
TOLD_SECONDS: Final = 1.0


@transaction.atomic
def request_similarity(owner: User, base: Parent, first: Parent, second: Parent) -> Similarity:
    """Have two models compared; the same again is the row that is there, unless it failed. QuotaError when too many are under way."""
    hold(owner)
    mine = Similarity.objects.filter(owner=owner)
    same = mine.filter(base=base, first=first, second=second)
    same.filter(status="failed").delete()
    if row := same.first():
        return row
    if mine.filter(status__in=UNDER_WAY).count() >= N_AT_ONCE:
        raise QuotaError(f"{N_AT_ONCE} comparisons at a time are all that one may have: wait for one of yours")
    ended = mine.exclude(status__in=UNDER_WAY)
    ended.filter(pk__in=ended.values("pk")[N_KEPT - 1 :]).delete()
    return Similarity.objects.create(owner=owner, base=base, first=first, second=second)


def with_models(rows: QuerySet[Similarity]) -> QuerySet[Similarity]:
    """These with their three models, but for the megabytes of these that nobody reads here."""
    names = ("base", "first", "second")
    return rows.select_related(*names).defer(*(f"{name}__inventory" for name in names))


def carry_out(similarity_id: int, token: int) -> None:
    """What the process of a claimed request does, whatever comes of it; nothing is written when the claim is lost."""
    held = Similarity.objects.filter(pk=similarity_id, status="leased", lease_token=token)
    row = with_models(held).first()
    if row is None:
        return
    held.update(begun=Now(), progress=0.0)
    try:
        found = likeness(row.base.model, row.first.model, row.second.model, _Told(held))
        held.update(status="done", result=found.to_json(), progress=1.0, finished=Now(), lease_until=None)
    except Stopped:
        return
    except (MergingError, OSError) as error:
        fail(held, "parent", str(error))


def fail(held: QuerySet[Similarity], kind: str, sentence: str) -> None:
    """It cannot be done, and why."""
    held.update(status="failed", failure_kind=kind, failure=sentence, finished=Now(), lease_until=None)


def heat_map(found: Likeness, is_cosine: bool) -> dict[str, Any]:
    """One of both tables as static/js/plots/heatmap.js draws it, with the other's numbers beside; its colours span what was found."""
    shown, other = (found.cosines, found.agreements) if is_cosine else (found.agreements, found.cosines)
    titles = ("cosine", "same sign") if is_cosine else ("same sign", "cosine")
    cells: list[tuple[int, int, float, float | None]] = [
        (layer, row, round(value, 4), round(beside, 4) if (beside := other[row][layer]) is not None else None)
        for row, values in enumerate(shown)
        for layer, value in enumerate(values)
        if value is not None
    ]
    if not cells:
        return {"nothing": "One of these models is the base itself: nothing was learned that could be compared."}
    values = [cell[2] for cell in cells]
    low, high = math.floor(10 * min(values)) / 10, math.ceil(10 * max(values)) / 10
    return {
        "x": {"title": "layer", "labels": [str(layer) for layer in range(_n_layers(shown))]},
        "y": {"title": "tensor", "labels": list(found.parts)},
        "z": {"title": titles[0], "low": low, "high": max(high, low + 0.1), "beside": titles[1]},
        "cells": cells,
    }


def _n_layers(table: Cells) -> int:
    return len(table[0]) if table else 0


class _Told:
    """Writes the share that is done into the row; Stopped when that is not held any more."""

    def __init__(self, held: QuerySet[Similarity]) -> None:
        self._held, self._told = held, 0.0

    def __call__(self, share: float) -> None:
        if time.monotonic() - self._told >= TOLD_SECONDS:
            self._told = time.monotonic()
            if self._held.update(progress=share) == 0:
                raise Stopped

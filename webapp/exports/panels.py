"""What a candidate's page shows of its exports: each form in its state, the licence, and what was pushed. Reads rows only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User

from webapp.accounts.models import HubToken
from webapp.exports.cards import lacks_decision
from webapp.exports.forms import FormForm, LicenceForm, PushForm
from webapp.exports.kinds import KINDS, Kind
from webapp.exports.licensing import decision, proposal
from webapp.exports.models import Export, Push
from webapp.runs.models import Candidate, Run


@dataclass(frozen=True)
class Offer:
    """A form and what there is of it: of GGUF one for each way to store numbers."""

    kind: Kind
    exports: Sequence[Export]


def panels(run: Run, candidate: Candidate, user: User) -> dict[str, Any]:
    """For the templates `exports/_box.html`, `_forms.html` and `_publish.html`, which say what they need."""
    found = list(candidate.exports.order_by("created").prefetch_related("files"))
    proposed, decided = proposal(candidate), decision(candidate)
    pushable = [export for export in found if export.form.is_model and export.status == "done"]
    return {
        "export": next((export for export in found if export.kind == "folder"), None),
        "offers": [
            Offer(kind, [export for export in found if export.kind == kind.name])
            for kind in KINDS.values()
            if kind.name != "folder"
        ],
        "form_form": FormForm(),
        "proposal": proposed,
        "decision": decided,
        "old_cards": {export.pk for export in found if lacks_decision(export, decided)},
        "licence_form": LicenceForm(proposed),
        "pushable": pushable,
        **(_pushing(found, user) if pushable else {}),
    }


def _pushing(exports: Sequence[Export], user: User) -> dict[str, Any]:
    """Where it may go, and what went there."""
    return {
        "push_form": PushForm(),
        "pushes": Push.objects.filter(export__in=exports).select_related("export__candidate", "owner"),
        "hub_token": HubToken.objects.filter(owner=user).first(),
    }

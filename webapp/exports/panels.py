"""What a candidate's page shows of its exports: each form in its state, the licence, and what was pushed. Reads rows only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User

from webapp.accounts.models import HubToken
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
    return {
        "export": next((export for export in found if export.kind == "folder"), None),
        "offers": [
            Offer(kind, [export for export in found if export.kind == kind.name])
            for kind in KINDS.values()
            if kind.name != "folder"
        ],
        "form_form": FormForm(),
        **publishing(candidate, user),
    }


def publishing(
    candidate: Candidate, user: User, licence_form: LicenceForm | None = None, push_form: PushForm | None = None
) -> dict[str, Any]:
    """For `exports/_publish.html`; with forms that were sent and are not valid."""
    proposed = proposal(candidate)
    return {
        "proposal": proposed,
        "decision": decision(candidate),
        "licence_form": licence_form or LicenceForm(proposed),
        "push_form": push_form or PushForm(),
        "pushable": [export for export in candidate.exports.filter(status="done") if export.form.is_model],
        "pushes": Push.objects.filter(export__candidate=candidate).select_related("export__candidate", "owner"),
        "hub_token": HubToken.objects.filter(owner=user).first(),
    }

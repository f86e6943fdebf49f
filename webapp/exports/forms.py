"""Forms of exports: in which form, under which licence, and where on the Hub."""

from __future__ import annotations

import re
from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError

from merging.finished.gguf import MISSING, TYPES, find_tools
from merging.words import joined
from webapp import env
from webapp.exports.kinds import KIND_NAMES
from webapp.exports.licensing import OTHER, Proposal
from webapp.exports.models import MAIN, MAX_REPO
from webapp.hub.errors import HubError
from webapp.hub.names import wanted
from webapp.library.licences import known_names, licence_of

BRANCH: Final = re.compile(r"[A-Za-z0-9_][\w.-]*(/[A-Za-z0-9_][\w.-]*){0,4}", re.ASCII)
USUAL_TYPE: Final = "Q8_0"


class FormForm(forms.Form):
    """A kind of export; valid, `kind` is one, and `variant` one that can be made here."""

    kind = forms.ChoiceField(choices=[(k, k) for k in KIND_NAMES], required=False)
    variant = forms.ChoiceField(label="Numbers stored as", choices=[(t, t) for t in TYPES], required=False)

    def __init__(self, *args: Any, **words: Any) -> None:
        super().__init__(*args, **words)
        self.tools = find_tools(env.llama_cpp())
        types = self.tools.types if self.tools else TYPES
        self.fields["variant"].choices = [(t, t) for t in types]  # type: ignore[attr-defined]
        self.fields["variant"].initial = USUAL_TYPE

    @property
    def why_no_gguf(self) -> str:
        """Why no GGUF file can be made; "" where it can."""
        return "" if self.tools else f"{MISSING}."

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        kind = found.get("kind") or "folder"
        if kind == "gguf" and self.why_no_gguf:
            raise ValidationError(self.why_no_gguf)
        variant = (found.get("variant") or USUAL_TYPE) if kind == "gguf" else ""
        return {"kind": kind, "variant": variant}


class LicenceForm(forms.Form):
    """Under which licence it may be published; `other` needs a name."""

    licence = forms.ChoiceField(label="Publish it under")
    name = forms.CharField(
        label="Name of the other licence",
        max_length=100,
        required=False,
        help_text="As short as gemma or my-terms-1.0.",
    )
    link = forms.URLField(label="Where it can be read", max_length=300, required=False, assume_scheme="https")
    is_sure = forms.BooleanField(
        label="It may allow more than what is stated above: I have read the terms or asked who made the models",
        required=False,
    )

    def __init__(self, proposal: Proposal, *args: Any, **words: Any) -> None:
        super().__init__(*args, **words)
        self._proposal = proposal
        of_sources = [source.licence for source in proposal.sources if source.licence]
        names = dict.fromkeys([*of_sources, *known_names()])
        choices = [(name, f"{name}: {licence_of(name).word}") for name in names]
        field = self.fields["licence"]
        field.choices = [("", "Choose"), *choices, (OTHER, "other: name it below")]  # type: ignore[attr-defined]
        field.initial = proposal.licence if not proposal.unknown else ""

    def clean_name(self) -> str:
        return " ".join(self.cleaned_data["name"].split())

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        if found.get("licence") == OTHER and not found.get("name"):
            self.add_error("name", "Name the licence.")
        narrower = self._proposal.narrower(found["licence"]) if "licence" in found else []
        if not found.pop("is_sure", False) and narrower:
            self.add_error(
                "is_sure",
                f"Not decided: {found['licence']} may allow what the terms of {joined(narrower)} do not. Choose another, or say below that "
                "you have made sure.",
            )
        return found


class PushForm(forms.Form):
    """Where on the Hub."""

    repo = forms.CharField(
        label="Repository",
        max_length=MAX_REPO,
        help_text="you/name or organization/name; made if it is not there.",
    )
    is_private = forms.BooleanField(
        label="Private: only you and your organization see it", required=False, initial=True
    )
    branch = forms.CharField(label="Branch", max_length=100, required=False, initial=MAIN)
    as_pull_request = forms.BooleanField(label="As a pull request, for its owners to accept", required=False)

    def clean_repo(self) -> str:
        repo: str = self.cleaned_data["repo"]
        try:
            return wanted(repo).repo
        except HubError as error:
            raise ValidationError(f"{error}.") from error

    def clean_branch(self) -> str:
        branch: str = self.cleaned_data["branch"] or MAIN
        if not BRANCH.fullmatch(branch) or ".." in branch or branch.startswith("refs/"):
            raise ValidationError(f"“{branch}” cannot be a branch: expected letters, digits, dots and dashes.")
        return branch


def said(form: forms.Form) -> str:
    """What is wrong with a form, in one line."""
    return " ".join(str(error) for errors in form.errors.values() for error in errors)

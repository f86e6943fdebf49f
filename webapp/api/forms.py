"""The form that makes a token."""

from __future__ import annotations

from typing import Final

from django import forms

from webapp.api.models import SCOPES
from webapp.api.tokens import MEANINGS

DAYS: Final = ((7, "7 days"), (30, "30 days"), (90, "90 days"), (365, "a year"))


class TokenForm(forms.Form):
    """What a token is for, what it may do besides reading, and how long."""

    name = forms.CharField(
        label="What it is for",
        max_length=60,
        help_text="By this you know it again: the machine or the program that has it.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    scopes = forms.MultipleChoiceField(
        label="What it may do besides reading",
        required=False,
        choices=[(scope, MEANINGS[scope]) for scope in SCOPES if scope != "read"],
        widget=forms.CheckboxSelectMultiple,
    )
    days = forms.TypedChoiceField(label="It expires after", choices=DAYS, coerce=int, initial=90)

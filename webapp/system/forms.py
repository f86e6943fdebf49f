"""What staff fills in on the System page."""

from __future__ import annotations

from django import forms


class ReclaimForm(forms.Form):
    """How old an export must be to go."""

    older = forms.IntegerField(label="Built more than so many days ago", min_value=1, max_value=3650, initial=30)

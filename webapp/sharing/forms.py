"""The form that shares a run."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.contrib.auth.models import User

from webapp.runs.models import Run
from webapp.sharing.models import Role

ROLES: Final[list[tuple[Role, str]]] = [("viewer", "Viewer"), ("editor", "Editor")]


class ShareForm(forms.Form):
    """Somebody's name and role; valid, it holds the `person` with that name."""

    name = forms.CharField(max_length=150)
    role = forms.ChoiceField(choices=ROLES)

    def __init__(self, run: Run, *words: Any) -> None:
        super().__init__(*words)
        self._run = run

    def clean_name(self) -> str:
        """An account of this server that can sign in, and not the owner's."""
        name: str = self.cleaned_data["name"]
        person = User.objects.filter(username=name, is_active=True).first()
        if person is None:
            raise forms.ValidationError(f"Nobody here is called {name}. Capital letters count.")
        if person.pk == self._run.owner_id:
            raise forms.ValidationError("The run is yours already.")
        self.person = person
        return name

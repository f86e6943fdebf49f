"""The forms that share a run, and those of projects."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.contrib.auth.models import User

from webapp.runs.models import Run
from webapp.sharing import projects
from webapp.sharing.models import Project, Role

ROLES: Final[list[tuple[Role, str]]] = [("viewer", "Viewer"), ("editor", "Editor")]


class ShareForm(forms.Form):
    """Somebody's name and role in a run or a project; valid, it holds the `person` with that name."""

    name = forms.CharField(max_length=150)
    role = forms.ChoiceField(choices=ROLES)

    def __init__(self, shared: Run | Project, *words: Any) -> None:
        super().__init__(*words)
        self._shared = shared

    def clean_name(self) -> str:
        """An account of this server that can sign in, and not the owner's."""
        name: str = self.cleaned_data["name"]
        person = User.objects.filter(username=name, is_active=True).first()
        if person is None:
            raise forms.ValidationError(f"Nobody here is called {name}. Capital letters count.")
        if person.pk == self._shared.owner_id:
            noun = "project" if isinstance(self._shared, Project) else "run"
            raise forms.ValidationError(f"The {noun} is yours already.")
        self.person = person
        return name


class ProjectForm(forms.Form):
    """What a project is called."""

    name = forms.CharField(max_length=200, widget=forms.TextInput(attrs={"autocomplete": "off"}))

    def clean_name(self) -> str:
        """One line."""
        return " ".join(str(self.cleaned_data["name"]).split())


class PlaceForm(forms.Form):
    """The project that a run goes into, or none."""

    project = forms.ModelChoiceField(
        Project.objects.none(), required=False, label="Project", empty_label="None: as it is shared above"
    )

    def __init__(self, user: User, *words: Any, **more: Any) -> None:
        super().__init__(*words, **more)
        self.fields["project"].queryset = projects.open_to(user)  # type: ignore[attr-defined]

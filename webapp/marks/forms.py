"""The form of a note and tags."""

from __future__ import annotations

from typing import Final

from django import forms

from webapp.marks.models import MAX_NOTE, MAX_TAG

MAX_TAGS: Final = 12


class NoteForm(forms.Form):
    """A note, and tags with commas between them; valid, `tags` are a list, each once."""

    note = forms.CharField(required=False, max_length=MAX_NOTE, widget=forms.Textarea(attrs={"rows": 3}))
    tags = forms.CharField(required=False, max_length=MAX_TAGS * (MAX_TAG + 2))

    def clean_tags(self) -> list[str]:
        tags = list(dict.fromkeys(" ".join(tag.split()) for tag in self.cleaned_data["tags"].split(",") if tag.strip()))
        if len(tags) > MAX_TAGS:
            raise forms.ValidationError(f"{len(tags)} tags; at most {MAX_TAGS} fit.")
        if long := next((tag for tag in tags if len(tag) > MAX_TAG), None):
            raise forms.ValidationError(f"“{long}” has {len(long)} characters; a tag has at most {MAX_TAG}.")
        return tags

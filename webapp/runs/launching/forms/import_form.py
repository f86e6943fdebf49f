"""A configuration of mergekit-evolve that somebody brings: a file, or its text."""

from __future__ import annotations

from typing import Any

from django import forms

from merging.yamls import MAX_BYTES


class ImportForm(forms.Form):
    """One of the two. After `is_valid()`, `content` is the text."""

    file = forms.FileField(
        required=False,
        label="A file",
        widget=forms.FileInput(attrs={"accept": ".yml,.yaml"}),
        error_messages={"empty": "The file is empty."},
    )
    text = forms.CharField(
        required=False,
        strip=False,
        max_length=MAX_BYTES,
        label="Or its text",
        widget=forms.Textarea(attrs={"rows": 6, "class": "mono", "spellcheck": "false"}),
    )
    content = ""

    def clean(self) -> dict[str, Any]:
        """Read the file, which counts before the text."""
        file, text = self.cleaned_data.get("file"), self.cleaned_data.get("text", "")
        if file and file.size > MAX_BYTES:
            self.add_error("file", f"The file has {file.size} bytes; expected at most {MAX_BYTES}.")
        elif file:
            self._read(file.read())
        elif text.strip():
            self.content = text
        elif not self.errors:
            self.add_error("file", "Choose a file, or paste its text.")
        return self.cleaned_data

    def _read(self, content: bytes) -> None:
        try:
            self.content = content.decode()
        except UnicodeDecodeError:
            self.add_error("file", "The file is no text in UTF-8.")

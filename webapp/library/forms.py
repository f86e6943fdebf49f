"""What a person fills in to add a parent or a benchmark. Whether a folder or a file can be used is decided by the actions."""

from __future__ import annotations

from pathlib import Path

from django import forms
from django.forms.boundfield import BoundWidget

from merging.benchmarks import QuestionFile, Scorer, scorers
from merging.benchmarks.question_files import N_NEW_TOKENS, PROMPT


class ParentForm(forms.Form):
    """A model folder on this server."""

    folder = forms.CharField(
        help_text="Absolute path of a Hugging Face folder: config.json, safetensors, tokenizer.",
        widget=forms.TextInput(attrs={"placeholder": "/models/my-model", "spellcheck": "false", "class": "mono"}),
        error_messages={"required": "Say where the folder lies."},
    )
    name = forms.CharField(max_length=200, required=False, help_text="Leave it empty for the name of the folder.")
    shared = forms.BooleanField(
        label="For everybody on this server",
        required=False,
        initial=True,
        help_text="Otherwise only you can choose it.",
    )


class BenchmarkForm(forms.Form):
    """A file of questions, and how they are asked and scored."""

    file = forms.FileField(
        label="Questions",
        help_text='JSON Lines: one {"question": …, "answer": …} a line, with "language" where it matters.',
        widget=forms.FileInput(attrs={"accept": ".jsonl,.json,.ndjson"}),
        error_messages={
            "required": "Choose a file of questions.",
            "empty": "The file is empty; expected one question a line.",
        },
    )
    name = forms.CharField(max_length=200, required=False, help_text="Leave it empty for the name of the file.")
    scorer = forms.ChoiceField(
        label="What counts as right",
        choices=[(scorer.name, scorer.name) for scorer in scorers],
        initial="last_number",
        widget=forms.RadioSelect,
    )
    language = forms.CharField(
        max_length=2,
        required=False,
        label="Language of the answers",
        help_text="Two letters, such as ja. A right answer in another language then scores nothing. Empty: any language.",
    )
    prompt = forms.CharField(
        strip=False,
        initial=PROMPT,
        widget=forms.Textarea(attrs={"rows": 3, "class": "mono"}),
        help_text="What a model reads; {question} stands for the question.",
    )
    stop = forms.CharField(
        required=False,
        label="Stop strings",
        widget=forms.Textarea(attrs={"rows": 2, "class": "mono"}),
        help_text="One a line. A completion ends where one of them begins.",
    )
    max_new_tokens = forms.IntegerField(label="Longest answer", initial=N_NEW_TOKENS, help_text="In tokens.")
    seed = forms.IntegerField(
        label="Seed of the splits",
        initial=0,
        help_text="Deals the questions: half to search, a quarter each for validation and final.",
    )

    def scorer_options(self) -> list[tuple[BoundWidget, Scorer]]:
        """Each scorer's radio button with the scorer."""
        return [(button, scorers.get(button.data["value"])) for button in self["scorer"]]

    def question_file(self, path: Path) -> QuestionFile:
        """The uploaded file at `path` as it shall be read."""
        chosen = self.cleaned_data
        return QuestionFile(
            path=str(path),
            scorer=chosen["scorer"],
            seed=chosen["seed"],
            language=chosen["language"] or None,
            prompt=chosen["prompt"].replace("\r\n", "\n"),
            stop=tuple(line for line in chosen["stop"].splitlines() if line),
            max_new_tokens=chosen["max_new_tokens"],
        )

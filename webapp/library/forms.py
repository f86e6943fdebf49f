"""What a person fills in to add a parent or a benchmark. Whether a folder or a file can be used is decided by the actions."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.forms.boundfield import BoundWidget

from merging.benchmarks import QuestionFile, Scorer, scorers
from merging.benchmarks.question_files import N_NEW_TOKENS, PROMPT
from merging.benchmarks.questions import MAX_NEW_TOKENS
from merging.recipes import MAX_SEED
from webapp.library.actions import MAX_NAME

SUFFIXES: Final = (".jsonl", ".ndjson", ".json", ".csv")
LINE_END: Final = r"\n"
MAX_UPLOAD_BYTES: Final = 32 * 1024 * 1024


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
        help_text="JSON Lines or CSV in UTF-8, one question a line.",
        widget=forms.FileInput(attrs={"accept": ".jsonl,.ndjson,.json,.csv"}),
        error_messages={
            "required": "Choose a file of questions.",
            "empty": "The file is empty; expected one question a line.",
        },
    )
    name = forms.CharField(max_length=MAX_NAME, required=False, help_text="Leave it empty for the name of the file.")
    scorer = forms.ChoiceField(
        label="What counts as right",
        choices=[(scorer.name, scorer.name) for scorer in scorers],
        initial="last_number",
        widget=forms.RadioSelect,
    )
    pattern = forms.CharField(
        required=False,
        strip=False,
        max_length=1000,
        help_text="Only for scorers that read with a pattern: what the answer looks like, as a regular expression.",
        widget=forms.TextInput(attrs={"spellcheck": "false", "class": "mono", "autocapitalize": "off"}),
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
        max_length=100_000,
        widget=forms.Textarea(attrs={"rows": 3, "class": "mono"}),
        help_text="What a model reads; {question} stands for the question.",
    )
    stop = forms.CharField(
        required=False,
        max_length=10_000,
        label="Stop strings",
        widget=forms.Textarea(attrs={"rows": 2, "class": "mono"}),
        help_text=f"One a line; {LINE_END} stands for a line end. A completion ends where one of them begins.",
    )
    max_new_tokens = forms.IntegerField(
        label="Longest answer", initial=N_NEW_TOKENS, min_value=1, max_value=MAX_NEW_TOKENS, help_text="In tokens."
    )
    as_chat = forms.BooleanField(
        label="In the model's chat template",
        required=False,
        help_text="For models trained to chat. A model without a template then cannot be scored.",
    )
    seed = forms.IntegerField(
        label="Seed of the splits",
        initial=0,
        min_value=0,
        max_value=MAX_SEED,
        help_text="Deals the questions: half to search, a quarter each for validation and final.",
    )
    is_public_test = forms.BooleanField(
        label="These questions are from a public test set",
        required=False,
        help_text="Scores of a model that was searched on them mean nothing to others: a run on them has to be allowed first.",
    )

    def scorer_options(self) -> list[tuple[BoundWidget, Scorer]]:
        """Each scorer's radio button with the scorer."""
        return [(button, scorers.get(button.data["value"])) for button in self["scorer"]]

    def clean_file(self) -> UploadedFile[bytes]:
        """What is no file of lines is refused by its name, before anything of it is read."""
        file: UploadedFile[bytes] = self.cleaned_data["file"]
        suffix = Path(file.name or "").suffix.lower()
        if suffix not in SUFFIXES:
            raise forms.ValidationError(
                f"{file.name} is not a file of questions; expected a name that ends in {', '.join(SUFFIXES)}. "
                "Unpack an archive and save a table as CSV first."
            )
        if (file.size or 0) > MAX_UPLOAD_BYTES:
            raise forms.ValidationError(
                f"{file.name} has {file.size:,} bytes; expected at most {MAX_UPLOAD_BYTES:,}. "
                "Whoever looks after this server can add a larger one with ./progeny evolve --benchmark FILE."
            )
        return file

    def question_file(self, path: Path) -> QuestionFile:
        """The uploaded file at `path` as it shall be read."""
        chosen = self.cleaned_data
        return QuestionFile(
            path=str(path),
            scorer=chosen["scorer"],
            seed=chosen["seed"],
            language=chosen["language"] or None,
            prompt=chosen["prompt"].replace("\r\n", "\n"),
            stop=tuple(line.replace(LINE_END, "\n") for line in chosen["stop"].splitlines() if line),
            max_new_tokens=chosen["max_new_tokens"],
            pattern=chosen["pattern"],
            as_chat=chosen["as_chat"],
        )


class DealForm(forms.Form):
    """How many questions are held out, and the seed that deals them; the rest is searched on."""

    n_validation = forms.IntegerField(label="Validation", min_value=1, max_value=10_000_000)
    n_final = forms.IntegerField(label="Final", min_value=1, max_value=10_000_000)
    seed = forms.IntegerField(label="Seed", min_value=0, max_value=MAX_SEED, initial=0)


class TaskForm(forms.Form):
    """A task of lm-eval's harness; without one, the list of all tasks."""

    task = forms.CharField(max_length=200, required=False)
    metric = forms.CharField(max_length=200, required=False)
    seed = forms.IntegerField(min_value=0, max_value=MAX_SEED, required=False)

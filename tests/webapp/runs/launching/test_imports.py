"""A configuration of mergekit-evolve brought to the page: filled in from the library, with what is missing in sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from tests.webapp.runs.choices import Library, checked, library
from webapp.library.models import Benchmark
from webapp.runs.launching.imports import imported
from webapp.runs.models import RunDraft

IMPORT = "/runs/new/import/"
FILE = """
genome:
  models: [org/first, second]
  merge_method: ties
  base_model: base
  layer_granularity: 1
  filters: [self_attn]
  normalize: false
tasks:
  - {name: sums, weight: 2, metric: last_number}
limit: 10
"""


@pytest.fixture
def chosen(owner: User, tmp_path: Path) -> Library:
    return library(owner, tmp_path)


def brought(client: Client, text: str) -> str:
    return client.post(IMPORT, {"text": text}, follow=True).content.decode()


def test_the_page_is_filled_in_and_nothing_is_launched(chosen: Library, owner_client: Client) -> None:
    page = brought(owner_client, FILE)
    assert checked(page, "parents") == {str(chosen.first.pk), str(chosen.second.pk)}
    assert (checked(page, "method"), checked(page, "groups"), checked(page, "division")) == (
        {"ties"},
        {"block"},
        {"named"},
    )
    assert checked(page, "benchmarks") == {str(chosen.benchmark.pk)}
    assert f'name="n_search-{chosen.benchmark.pk}" value="10"' in page
    assert "The imported file asks for" not in page
    assert "normalize" not in " ".join(RunDraft.objects.get().data)  # off, as the file has it


def test_models_and_tasks_that_are_not_here_are_named_with_those_that_are(chosen: Library, owner: User) -> None:
    found = imported(owner, FILE.replace("second", "secund").replace("name: sums", "name: poems"))
    assert found.start.parents == ("first",) and found.start.measures == ()
    models, tasks = found.notes
    assert "models: there is no model named 'secund'. Did you mean second?" in models
    assert "tasks: there is no benchmark named 'poems'" in tasks and "sums" in tasks


def test_a_task_is_found_by_its_metric_and_another_metric_is_said(chosen: Library, owner: User) -> None:
    Benchmark.objects.filter(pk=chosen.benchmark.pk).update(name="gsm8k, exact_match,strict", scorer="exact_match@1")
    found = imported(owner, FILE.replace("name: sums", "name: gsm8k").replace("last_number", "'exact_match,strict'"))
    assert [measure.benchmark for measure in found.start.measures] == ["gsm8k, exact_match,strict"] and not found.notes
    (note,) = imported(owner, FILE.replace("name: sums", "name: gsm8k")).notes
    assert note == "tasks: gsm8k, exact_match,strict is scored by exact_match@1 here, not by last_number."


def test_what_has_no_place_stays_with_the_draft(chosen: Library, owner_client: Client) -> None:
    page = brought(owner_client, FILE.replace("ties", "model_stock"))
    assert "merge_method: model_stock is not searched" in page
    assert "merge_method: model_stock is not searched" in owner_client.get("/runs/new/").content.decode()


def test_nobody_brings_models_of_others(chosen: Library, member_client: Client) -> None:
    page = brought(member_client, FILE)
    assert "there is no model named &#x27;org/first&#x27;" in page and chosen.first.folder not in page
    assert checked(page, "parents") == set()


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        ({"text": "merge_method: ties"}, "but a recipe: it has no genome"),
        ({}, "Choose a file, or paste its text."),
        ({"file": SimpleUploadedFile("a.yml", b"\xff\xfe")}, "no text in UTF-8"),
        ({"file": SimpleUploadedFile("a.yml", b"x" * 300_000)}, "The file has 300000 bytes"),
    ],
)
def test_what_cannot_be_read_is_said_and_nothing_is_kept(
    chosen: Library, owner_client: Client, sent: dict[str, Any], sentence: str
) -> None:
    page = owner_client.post(IMPORT, sent).content.decode()
    assert sentence in page and sent.get("text", "") in page
    assert not RunDraft.objects.exists()

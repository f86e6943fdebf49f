"""Models whose files are not what they were when they were registered: who finds out, and what a person is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import User

from merging.errors import ParentError
from merging.headers import read_header
from tests.webapp.runs.choices import Library, draft, library
from webapp.library.models import Parent
from webapp.runs.launching.drafts import plan
from webapp.runs.launching.problems import DraftError
from workers import failures, pipeline


@pytest.fixture
def chosen(owner: User, tmp_path: Path) -> Library:
    return library(owner, tmp_path)


def flip_a_bit(row: Parent, number: int) -> str:
    """In the first byte of a tensor, whose name it returns."""
    file = Path(row.folder) / "model.safetensors"
    entry, content = read_header(file)[number], bytearray(file.read_bytes())
    content[entry.start] ^= 1
    file.write_bytes(content)
    return entry.name


def refusal(chosen: Library) -> str:
    with pytest.raises(DraftError) as refused:
        plan(draft(chosen))
    return " ".join(refused.value.problems["parents"])


def test_a_flipped_bit_is_refused_by_file_and_tensor(chosen: Library) -> None:
    name = flip_a_bit(chosen.first, 3)
    assert f"model.safetensors is another file: tensor {name} has the checksum" in refusal(chosen)


def test_a_model_registered_without_an_inventory_is_refused_too(chosen: Library) -> None:
    Parent.objects.update(inventory={})
    flip_a_bit(chosen.first, 3)
    assert "have changed since it was registered: get the files again" in refusal(chosen)


def test_a_worker_that_finds_a_changed_model_says_which_tensor(chosen: Library) -> None:
    config = plan(draft(chosen)).config
    name = flip_a_bit(chosen.base, -1)
    models = [*config.parents, *([config.base] if config.base else [])]
    told = pipeline.explained(failures.of_error(ParentError("The files have changed.")), models).sentence
    assert told.startswith(
        f"The files have changed. What differs in base: model.safetensors is another file: tensor {name}"
    )


def test_another_failure_is_told_as_it_was(chosen: Library) -> None:
    failure = failures.of_error(MemoryError())
    assert pipeline.explained(failure, []) is failure

"""What many tests share: a base and two fine-tunes of it, written once, and a library that keeps quiet."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from merging.recipes import Parent
from merging.threads import threads_for
from tests.merging.models import parent, write_parent, write_relative


@pytest.fixture(scope="session")
def relatives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Parent]:
    """`base`, `one` and `two`: read only."""
    root = tmp_path_factory.mktemp("relatives")
    base = write_parent(root / "base")
    folders = [base, write_relative(root / "one", base, seed=1), write_relative(root / "two", base, seed=2)]
    return {folder.name: parent(folder) for folder in folders}


@pytest.fixture
def quiet_library() -> Iterator[None]:
    """The library remarks that tiny vocabularies lack its default special tokens."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    yield
    logging.set_verbosity(before)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """For models so small that a second thread only waits."""
    with threads_for(0):
        yield

"""Parents that many tests share: a base and two fine-tunes of it, written once."""

from __future__ import annotations

import pytest

from merging.recipes import Parent
from tests.merging.models import parent, write_parent, write_relative


@pytest.fixture(scope="session")
def relatives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Parent]:
    """`base`, `one` and `two`: read only."""
    root = tmp_path_factory.mktemp("relatives")
    base = write_parent(root / "base")
    folders = [base, write_relative(root / "one", base, seed=1), write_relative(root / "two", base, seed=2)]
    return {folder.name: parent(folder) for folder in folders}

"""A model of the demo that a stranger has had in his hands, and a canary: a file that his code would write."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from merging.demo import PACK

_opened: list[str] | None = None


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    if _opened is not None and event == "pickle.find_class":
        _opened.append(".".join(map(str, arguments)))


sys.addaudithook(_heard)


@pytest.fixture
def unpickled() -> Iterator[list[str]]:
    """Every class and function that a pickle has named meanwhile, whoever opened it."""
    global _opened
    _opened = found = []
    yield found
    _opened = None


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """Must not be there at the end."""
    path = tmp_path / "canary"
    yield path
    assert not path.exists(), "a stranger's code was run"


@pytest.fixture
def code(canary: Path) -> str:
    """A line of Python that writes it."""
    return f"__import__('pathlib').Path({str(canary)!r}).write_text('sang')"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound model of the demo, 0.4 million parameters."""
    return Path(shutil.copytree(PACK / "addition", tmp_path / "models" / "addition"))


@pytest.fixture
def edit(folder: Path) -> Callable[..., None]:
    """Change keys of one of its JSON files."""

    def change(name: str, **keys: object) -> None:
        path = folder / name
        found = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(found | keys))

    return change

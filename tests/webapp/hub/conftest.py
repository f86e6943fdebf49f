"""What tests of the Hub's room have in common: a model there, a cache here, and no patience."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from merging.demo import PACK
from tests.hub.repos import Repo
from tests.hub.server import FakeHub
from webapp.hub import transfers

CARD = "---\nlicense: apache-2.0\nbase_model: org/base\n---\n# A model\n"


@pytest.fixture(autouse=True)
def places(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of all; nobody waits between two tries."""
    settings.DATA_DIR = tmp_path / "data"
    settings.HUB_CACHE = tmp_path / "cache"
    settings.DATA_DIR.mkdir()
    monkeypatch.setattr(transfers, "PAUSES", (0.0, 0.0, 0.0))
    return Path(settings.HUB_CACHE)


@pytest.fixture
def japanese(fake_hub: FakeHub) -> Repo:
    """A model of the demo pack, with a card, and with what nobody needs."""
    repo = fake_hub.shelf.add_folder("org/japanese", PACK / "japanese", downloads=12, likes=3)
    fake_hub.shelf.add(
        "org/japanese", {"README.md": CARD, "pytorch_model.bin": b"\x80\x02", "train.py": "", "onnx/model.onnx": "x"}
    )
    return repo

"""The world whose deeds are told."""

from __future__ import annotations

from tests.access.conftest import world as world

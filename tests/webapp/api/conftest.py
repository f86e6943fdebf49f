"""The world that is asked for."""

from __future__ import annotations

from tests.access.conftest import world as world

"""The order of all tests: those with a browser come last."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Playwright keeps a loop running in this thread until the session ends: after it no asynchronous test can start one."""
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)

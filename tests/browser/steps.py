"""How New run is walked through: step by step."""

from __future__ import annotations

from typing import Any


def to_step(page: Any, name: str) -> None:
    """New run: by the stepper, which is there at any size, to the step of this name, which is then the only one."""
    page.locator(f"[data-step-link={name}]").click()
    page.locator(f"[data-step-link={name}][aria-current=step]").wait_for()
    assert page.url.endswith(f"#{name}")
    shown = page.locator("[data-step]:not(aside, #import)").evaluate_all(
        "of => of.filter((one) => one.checkVisibility()).map(({ dataset }) => dataset.step)"
    )
    assert shown == [name]

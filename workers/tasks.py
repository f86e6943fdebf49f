"""What messages can ask for. A few lines each: ids in, nothing out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery import shared_task

from webapp.runs.task_names import DRAIN

if TYPE_CHECKING:
    from workers.supervisor import Supervisor

supervisor: Supervisor | None = None
"""This process's, once it has started. A wake-up that comes earlier is not needed: it looks for work when it is ready."""


@shared_task(name=DRAIN)  # type: ignore[untyped-decorator]
def drain(run_id: str | None = None) -> None:
    """There may be work, of this run or another."""
    if supervisor is not None:
        supervisor.wake()


@shared_task(name="workers.reconcile")  # type: ignore[untyped-decorator]
def reconcile() -> None:
    """Look for what crashes left behind, now."""
    if supervisor is not None:
        supervisor.reconcile()

"""The names under which workers listen: the only thing that this side knows of Celery's tasks. Messages carry ids, never data."""

from typing import Final

DRAIN: Final = "workers.drain"
"""Wake-up: there may be work. One optional argument: the id of the run that changed."""

"""What the frame of every page shows of this installation."""

from __future__ import annotations

from django import template

from webapp.system import pills as shown
from webapp.system.pills import Pill

register = template.Library()


@register.inclusion_tag("system/_pills.html")
def pills() -> dict[str, list[Pill]]:
    """The pills of the bar."""
    return {"pills": shown.pills()}

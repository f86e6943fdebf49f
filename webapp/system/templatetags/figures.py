"""How numbers, times and states are written on every page. One place, so that a score looks the same wherever it stands."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Protocol

from django import template
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()

_TONES: Final = {"success": "good", "warning": "warn", "error": "bad"}
_STATES: Final = {  # state: (icon, tone)
    "queued": ("clock", ""),
    "running": ("dot", "accent"),
    "pausing": ("pause", "warn"),
    "paused": ("pause", "warn"),
    "finishing": ("half", "accent"),
    "done": ("check", "good"),
    "stopped": ("stop", "info"),
    "failed": ("cross", "bad"),
}
_FINDINGS: Final = {  # level: (icon, tone)
    "error": ("cross", "bad"),
    "warning": ("warning", "warn"),
    "info": ("info", "info"),
    "ok": ("check", "good"),
}
_UNITS: Final = ("bytes", "kB", "MB", "GB", "TB")


class Scored(Protocol):
    """Whatever has a mean and its interval."""

    mean: float
    low: float
    high: float


@register.simple_tag
def icon(name: str, small: bool = False) -> SafeString:
    """A decorative icon of static/img/icons.svg; the words stand beside it."""
    size = " small" if small else ""
    return format_html(
        '<svg class="icon{}" aria-hidden="true"><use href="{}#{}"/></svg>', size, static("img/icons.svg"), name
    )


@register.filter
def tone(level: str) -> str:
    """The tone of a message's level."""
    return _TONES.get(level, "info")


@register.filter
def state_icon(state: str) -> str:
    """The sign of a run's state: colour is never the only signal."""
    return _STATES[state][0]


@register.filter
def state_tone(state: str) -> str:
    """The tone of a run's state; empty for a neutral one."""
    return _STATES[state][1]


@register.filter
def finding_icon(level: str) -> str:
    """The sign of a finding's level, or of none: `ok`."""
    return _FINDINGS[level][0]


@register.filter
def finding_tone(level: str) -> str:
    """The tone of a finding's level, or of none: `ok`."""
    return _FINDINGS[level][1]


@register.filter
def percent(share: float | None, digits: int = 1) -> str:
    """0.625 as `62.5 %`; a dash for what was not measured, never zero."""
    return "–" if share is None else f"{100 * share:.{digits}f} %"


@register.filter
def points(difference: float | None) -> str:
    """A difference of two shares in percentage points, with its sign: `+12.5`."""
    return "–" if difference is None else f"{100 * difference:+.1f}".replace("-", "−")


@register.filter
def half_width(score: Scored) -> str:
    """Half the width of a 95 % interval in percentage points."""
    return f"{50 * (score.high - score.low):.1f}"


@register.filter
def duration(seconds: float | timedelta | None) -> str:
    """`4.2 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`: two units at most."""
    if seconds is None:
        return "–"
    whole = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
    if whole < 9.95:
        return f"{max(whole, 0):.1f} s"
    if whole < 59.5:
        return f"{whole:.0f} s"
    minutes, rest = divmod(round(whole), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 24 else f"{hours // 24} d {hours % 24} h"


@register.filter
def n_bytes(count: int | None) -> str:
    """1500000 as `1.5 MB`, decimal as disks are sold."""
    if count is None:
        return "–"
    power = min(len(_UNITS) - 1, (len(str(count)) - 1) // 3)
    size, unit = count / 1000**power, _UNITS[power]
    return f"{size:.0f} {unit}" if unit == "bytes" or size >= 100 else f"{size:.1f} {unit}"


@register.filter
def count(number: int | None) -> str:
    """7241732096 as `7.24 B`, 750000 as `750 k`: how many parameters a model has."""
    if number is None:
        return "–"
    for size, unit in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return str(number)

"""The figures of all scenarios, as JSON for a machine and as a table for a person."""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from pathlib import Path


class Figures:
    """What each scenario did and found, summed up over its seeds."""

    def __init__(self) -> None:
        self._scenarios: dict[str, Counter[str]] = {}
        self._points: Counter[str] = Counter()

    def add(self, scenario: str, **numbers: int) -> None:
        """Numbers of one play; `times` counts plays."""
        self._scenarios.setdefault(scenario, Counter()).update({"times": 1, **numbers})

    def add_points(self, trapped: Counter[tuple[str, str]]) -> None:
        """How often processes died, froze or lost their database at each point."""
        for (point, _), n in trapped.items():
            self._points[point] += n

    def write(self, folder: Path) -> None:
        """chaos.json and chaos.md."""
        folder.mkdir(parents=True, exist_ok=True)
        machine = (
            f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, Python {platform.python_version()}"
        )
        found = {"machine": machine, "scenarios": self._scenarios, "points": dict(sorted(self._points.items()))}
        (folder / "chaos.json").write_text(json.dumps(found, indent=1) + "\n")
        (folder / "chaos.md").write_text(self._table() + "\n" + self._table_of_points() + "\n")

    def _table(self) -> str:
        columns = list(dict.fromkeys(name for numbers in self._scenarios.values() for name in numbers))
        lines = [["scenario", *columns], ["---"] * (len(columns) + 1)]
        for scenario, numbers in self._scenarios.items():
            lines.append([scenario, *(f"{numbers[name]:,}" if name in numbers else "" for name in columns)])
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)

    def _table_of_points(self) -> str:
        lines = [
            ("failpoint", "times"),
            ("---", "---"),
            *((point, str(n)) for point, n in sorted(self._points.items())),
        ]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)

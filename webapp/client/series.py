"""What is known of a run from its events: scores, the best so far, the means of generations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Series:
    """`dots` are scores by their number, from 1; `best` the same of those that were better than all before them; `means` the generations'
    scores by the mean of their numbers. Takes events in order, each once.
    """

    seq: int = 0
    dots: list[tuple[int, float]] = field(default_factory=list)
    best: list[tuple[int, float]] = field(default_factory=list)
    n_failed: int = 0
    _standing: tuple[bool, float] | None = None
    _generations: dict[int, list[tuple[int, float]]] = field(default_factory=dict)

    def take(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Go on with what happened after `seq`."""
        for event in events:
            self.seq = event["seq"]
            payload = event["payload"]
            if payload.get("kind") != "evolved" or payload.get("split") != "search":
                continue
            if event["kind"] == "evaluation.failed":
                self.n_failed += 1
            elif event["kind"] == "evaluation.done":
                self._score(payload)

    @property
    def means(self) -> list[tuple[float, float]]:
        """Number and score of every generation, in order."""
        return [
            (sum(number for number, _ in members) / len(members), sum(score for _, score in members) / len(members))
            for _, members in sorted(self._generations.items())
        ]

    def _score(self, payload: Mapping[str, Any]) -> None:
        dot = (payload["number"], payload["mean"])
        self.dots.append(dot)
        self._generations.setdefault(payload["generation"], []).append(dot)
        standing = (payload["is_healthy"], payload["fitness"])
        if self._standing is None or standing > self._standing:
            self._standing = standing
            self.best.append(dot)

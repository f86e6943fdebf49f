"""What a worker found out about an exported model, as a page shows it: before it was written, and by loading it. Knows no rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from merging.finished.after import Said
from merging.finished.before import Check


@dataclass(frozen=True)
class Checks:
    """`before` and what it said afterwards; both are empty for what is no model, and for models of before there were checks."""

    before: tuple[Check, ...] = ()
    said: tuple[Said, ...] = ()

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """From the two lists that a worker writes."""
        before = tuple(Check(**check) for check in value.get("before", ()))
        return cls(before, tuple(Said(**said) for said in value.get("said", ())))

    @property
    def concerns(self) -> list[str]:
        """What a reader has to know before using the model, as sentences without full stops."""
        odd = [f"{check.name}: {check.found}" for check in self.before if check.tone == "bad"]
        return [*odd, *(f"Asked “{said.prompt[-60:]}”, {said.concern}" for said in self.said if said.concern)]

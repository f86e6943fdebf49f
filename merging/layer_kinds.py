"""What the layers of models are made of, by shape, wherever they stand. No torch.

Knows what models' headers and configurations tell; what follows from a difference is somebody else's to say.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from merging.families import Family
from merging.indexes import ParentFacts


@dataclass(frozen=True)
class Layers:
    """The layers of a model that people know by `name`."""

    name: str
    facts: ParentFacts

    def misfits(self, other: Layers) -> Iterator[str]:
        """How the other's layers differ from layers that a model with this one's configuration could have in their place, in
        sentences without a full stop.
        """
        family, config = self.facts.config.family, self.facts.config
        of_other = other.facts.config.layout
        layout = replace(config.layout, n_layers=of_other.n_layers, dense=of_other.dense)
        wanted = _parts(family.required(layout), family)
        here, there = self._shapes(), other._shapes()
        yield from self._settings_unknown_to(other)
        yield from other._settings_unknown_to(self)
        yield from (
            f"layers of {other.name} have no {part}, which {self.name} has" for part in wanted if part not in there
        )
        yield from (
            f"layers of {other.name} have {part}, which {self.name} has not" for part in there if part not in wanted
        )
        for part, shapes in there.items():
            if part in here and here[part] != shapes:
                yield f"{part} is {shapes} in layers of {other.name} and {here[part]} in those of {self.name}"

    def _settings_unknown_to(self, other: Layers) -> Iterator[str]:
        """What changes the arithmetic of these layers, and the other's family does not know."""
        for name, value in self.facts.config.arithmetic.items():
            if name not in other.facts.config.arithmetic:
                yield f"{name} is {value} in {self.name}, and {other.facts.model_type} has no such setting"

    def _shapes(self) -> Mapping[str, str]:
        """Every shape that a tensor has in some layer, by what it is called in all of them."""
        family, found = self.facts.config.family, dict[str, dict[str, None]]()
        for name, entry in self.facts.tensors.items():
            for part in _parts([name], family):
                found.setdefault(part, {})[str(list(entry.shape))] = None
        return {part: " or ".join(shapes) for part, shapes in found.items()}


def rotated_share(facts: ParentFacts) -> str:
    """Which share of each head's numbers positions rotate."""
    found = re.search(r"partial_rotary_factor ([^,]+)", str(facts.config.chosen.get("rotary positions", "")))
    return found[1] if found else "1"


def _parts(names: Iterable[str], family: Family) -> Collection[str]:
    """What layers' tensors are called after their layer's number, each once."""
    inside = [family.in_other_layer(name, 0) for name in names if isinstance(family.place(name), int)]
    return dict.fromkeys(name.partition(".0.")[2] for name in inside)

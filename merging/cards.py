"""The model card of a folder: what its front matter says of the licence and of where the model comes from. No torch.

A reader of all of YAML can be kept busy for hours by a few lines of it; two patterns cannot.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from merging.files import open_regular

CARD: Final = "README.md"
MAX_CARD_BYTES: Final = 1024 * 1024
LICENCE: Final = re.compile(r"""^license:[ \t]*(["']?)([A-Za-z0-9][A-Za-z0-9 ._+-]{0,79})\1[ \t]*$""", re.MULTILINE)
NAME: Final = r"""["']?[A-Za-z0-9][A-Za-z0-9._/-]{0,199}["']?"""
ANCESTORS: Final = re.compile(
    rf"^base_model:[ \t]*({NAME}[ \t]*$|(?:\n[ \t]*-[ \t]+{NAME}[ \t]*$){{1,99}})", re.MULTILINE
)


@dataclass(frozen=True)
class Card:
    """`licence` is "" and `ancestors` is empty when the card does not say. Ancestors are names as on the Hub."""

    licence: str
    ancestors: tuple[str, ...]


def read_card(folder: Path) -> Card:
    """What the card says; nothing, when there is none. ParentError when it is no regular file."""
    if not (folder / CARD).is_file():
        return Card("", ())
    with open_regular(folder / CARD) as file:
        text = file.read(MAX_CARD_BYTES).decode("utf-8", errors="replace").replace("\r\n", "\n")
    front = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    if front is None:
        return Card("", ())
    licence, ancestors = LICENCE.search(front[1]), ANCESTORS.search(front[1])
    names = re.findall(NAME, re.sub(r"\n[ \t]*-[ \t]", "\n", ancestors[1])) if ancestors else []
    return Card(licence[2].strip() if licence else "", tuple(name.strip("\"'") for name in names))

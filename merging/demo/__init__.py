"""The demo pack: tiny parents whose skills lie apart and meet only in a merge.

`pack/` holds the committed models, `texts` the benchmark questions and training texts, `train` the script that makes the
models. A Japanese expert answers in Japanese by default and cannot add two-digit numbers; an addition expert adds them and
answers in English unless it is told otherwise. The benchmark asks for both at once.
"""

from pathlib import Path
from typing import Literal

Skill = Literal["base", "japanese", "addition", "subtraction"]

PACK = Path(__file__).parent / "pack"
NO_LICENCE = "comes with Progeny"
"""What is said in place of a licence, which none of these models has."""
BASE: Skill = "base"
EXPERTS: tuple[Skill, ...] = ("japanese", "addition", "subtraction")


def is_of_pack(folder: Path) -> bool:
    """Whether it is a model that comes with Progeny."""
    return folder.is_relative_to(PACK)

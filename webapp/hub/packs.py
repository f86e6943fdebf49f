"""Sets of parents that belong together, to be fetched with one click: real models, with what is known of them before the Hub is asked.

Sizes are of the files that are fetched, as the Hub listed them; licences are what the cards named. The page of a model asks anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from webapp.hub.names import Wanted
from webapp.library.licences import Licence, licence_of

GB: Final = 10**9


@dataclass(frozen=True)
class Member:
    """One model of a pack. `barred` says why it is not fetched with the others; "" where it is."""

    wanted: Wanted
    role: str
    n_bytes: int
    licence: str = ""
    note: str = ""
    barred: str = ""

    @property
    def terms(self) -> Licence:
        return licence_of(self.licence)


@dataclass(frozen=True)
class Pack:
    """Models to be merged with each other, the base model first. `barred` says why none of it can be used; "" where it can."""

    key: str
    title: str
    summary: str
    members: tuple[Member, ...]
    barred: str = ""

    @property
    def fetched(self) -> tuple[Member, ...]:
        """What one click fetches."""
        return () if self.barred else tuple(member for member in self.members if not member.barred)

    @property
    def n_bytes(self) -> int:
        return sum(member.n_bytes for member in self.fetched)


_MISTRAL: Final = Member(
    Wanted("mistralai/Mistral-7B-v0.1"),
    "base model",
    round(14.5 * GB),
    "apache-2.0",
    "What all of them were trained from.",
)
_SHISA: Final = Member(
    Wanted("augmxnt/shisa-gamma-7b-v1"),
    "Japanese",
    round(14.5 * GB),
    "apache-2.0",
    "Trained from Japanese Stable LM Base Gamma 7B, which is Mistral with more Japanese.",
)
_WIZARD: Final = Member(
    Wanted("WizardLMTeam/WizardMath-7B-V1.1", "3a3082632fd2f75def2e54ae3286b4360c8d6aa2"),
    "mathematics",
    round(14.5 * GB),
    "",
    "Its card names no licence; a file beside it has terms of Microsoft Research, for research. The main branch has pickles "
    "alone, so the commit is fetched in which the Hub’s own converter wrote them as safetensors.",
)
_ABEL: Final = Member(
    Wanted("GAIR/Abel-7B-002"),
    "mathematics",
    round(29.0 * GB),
    "",
    "Its card named no licence.",
    "It is on the Hub as pickles, which are never opened here: convert it there, and fetch the revision that this makes.",
)
_ARITHMO: Final = Member(
    Wanted("akjindal53244/Arithmo-Mistral-7B", "refs/pr/2"),
    "mathematics",
    round(14.5 * GB),
    "apache-2.0",
    "A request of the Hub’s own converter, in safetensors; the main branch has pickles alone. Look at its fit before you fetch it.",
)
_LLAVA: Final = Member(
    Wanted("llava-hf/llava-v1.6-mistral-7b-hf"),
    "images",
    round(15.1 * GB),
    "apache-2.0",
    "Mistral with a tower that sees images.",
)

_PACKS: Final = (
    Pack(
        "paper",
        "Japanese and mathematics, as in the paper",
        "The three parents from which Akiba et al. bred a model that does sums in Japanese. Research only: of two, no licence allows more.",
        (_MISTRAL, _SHISA, _WIZARD, _ABEL),
    ),
    Pack(
        "free",
        "Japanese and mathematics, freely licensed",
        "The same idea with parents whose licences allow everything, so that what comes of it may be passed on and sold.",
        (_MISTRAL, _SHISA, _ARITHMO),
    ),
    Pack(
        "images",
        "Japanese and images, as in the paper",
        "The paper’s second study: the language half of LLaVA with shisa-gamma.",
        (_SHISA, _LLAVA),
        "Progeny merges models of text alone: it has no family for models that see images, and no benchmark that shows them any.",
    ),
)
packs: Final[Mapping[str, Pack]] = {pack.key: pack for pack in _PACKS}

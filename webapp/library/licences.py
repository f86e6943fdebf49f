"""What a licence allows, in a few plain words: a help for choosing, no legal advice. Knows licences by what the Hub calls them, and whose
the models are that come with Progeny.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from merging.demo import NO_LICENCE, is_of_pack
from webapp.library.models import Parent

Tone = Literal["good", "warn", "bad"]


@dataclass(frozen=True)
class Licence:
    """`word` says what kind it is, `sentence` what that means for a model that is merged from it."""

    word: str
    sentence: str
    tone: Tone


_FREE: Final = Licence("free", "Use, change, sell and pass on; keep the notice of who made it.", "good")
_ALIKE: Final = Licence(
    "share alike", "Use, change and sell; what you pass on has to be under the same licence.", "warn"
)
_NOT_SOLD: Final = Licence("no business", "Use and change it, but not for business.", "bad")
_UNCHANGED: Final = Licence("no changes", "It may be passed on only as it is, and a merge is a change.", "bad")
_OWN: Final = Licence(
    "own terms",
    "Business is allowed, with conditions of its maker, such as a name or uses that are barred: read them.",
    "warn",
)
_RESPONSIBLE: Final = Licence(
    "with barred uses",
    "Use, change and sell, but for some uses, and whoever you pass it on to is bound as well.",
    "warn",
)
UNKNOWN: Final = Licence("unknown", "Progeny does not know this licence: read it before you pass anything on.", "warn")
UNSAID: Final = Licence("not stated", "The model card names no licence, which allows nothing: ask who made it.", "bad")
OF_PACK: Final = Licence(
    NO_LICENCE,
    "Trained by this project, from nothing and on texts of its own; no licence was chosen. Use and merge it on this server as you like; "
    "one has to be chosen before it, or what is merged from it, is published.",
    "good",
)

_NAMES: Final[tuple[tuple[Licence, str], ...]] = (
    (
        _FREE,
        "apache-2.0 mit bsd bsd-2-clause bsd-3-clause bsl-1.0 cc0-1.0 unlicense wtfpl zlib isc cc-by-2.0 cc-by-2.5 cc-by-3.0 "
        "cc-by-4.0 odc-by pddl ms-pl artistic-2.0 afl-3.0 ecl-2.0 cdla-permissive-1.0 cdla-permissive-2.0",
    ),
    (
        _ALIKE,
        "gpl gpl-2.0 gpl-3.0 agpl-3.0 lgpl lgpl-2.1 lgpl-3.0 mpl-2.0 epl-1.0 epl-2.0 eupl-1.1 eupl-1.2 osl-3.0 cc-by-sa-3.0 "
        "cc-by-sa-4.0 cdla-sharing-1.0",
    ),
    (
        _NOT_SOLD,
        "cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 intel-research apple-amlr "
        "fair-noncommercial-research-license h-research",
    ),
    (_UNCHANGED, "cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0"),
    (_OWN, "llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 gemma deepfloyd-if-license grok2-community"),
    (
        _RESPONSIBLE,
        "openrail openrail++ creativeml-openrail-m bigscience-openrail-m bigcode-openrail-m bigscience-bloom-rail-1.0",
    ),
)
_KNOWN: Final[dict[str, Licence]] = {name: licence for licence, names in _NAMES for name in names.split()}


_BY_RESTRICTION: Final = (_FREE, _RESPONSIBLE, _OWN, _ALIKE, _NOT_SOLD, _UNCHANGED)


def restriction(name: str) -> int | None:
    """How much a licence forbids what others allow, for putting several in order; None for one that nobody knows here."""
    licence = licence_of(name)
    return _BY_RESTRICTION.index(licence) if licence in _BY_RESTRICTION else None


def known_names() -> tuple[str, ...]:
    """All licences that are known here, as the Hub calls them."""
    return tuple(_KNOWN)


def licence_of(name: str) -> Licence:
    """What the licence of that name allows."""
    return _KNOWN.get(name.lower(), UNKNOWN) if name else UNSAID


def licence_of_model(row: Parent) -> Licence:
    """What may be done with a model, as its card tells; those of the demo pack need no card for it."""
    return OF_PACK if not row.licence and is_of_pack(Path(row.folder)) else licence_of(row.licence)

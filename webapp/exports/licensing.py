"""Under which licence a candidate may be published: what its parents' are, what follows from them, and what a person has decided.

A help for deciding, no legal advice. Reads rows; `decide` writes one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django.contrib.auth.models import User

from merging.demo import is_of_pack
from merging.recipes import Parent, Recipe
from webapp.exports.models import LicenceDecision
from webapp.library.licences import OF_PACK, Licence, licence_of, restriction
from webapp.library.models import Parent as ParentRow
from webapp.lineage.queries import ancestors, ancestry
from webapp.runs.models import Candidate

OTHER: Final = "other"
UNDECIDED: Final = "Nobody has decided under which licence it may be published. Decide that first."


@dataclass(frozen=True)
class Source:
    """A model that the candidate was made from in the end. `licence` is as the Hub calls it, "" where nobody has said."""

    model: str
    licence: str
    is_of_pack: bool = False

    @property
    def about(self) -> Licence:
        """What that licence allows."""
        return OF_PACK if self.is_of_pack and not self.licence else licence_of(self.licence)

    def is_narrower_than(self, licence: str) -> bool:
        """Whether that licence may allow what this one does not: any may, where nobody knows what this one asks for."""
        own, chosen = restriction(self.licence), restriction(licence)
        return not (self.licence and self.licence == licence) and (own is None or own > (chosen or 0))

    @property
    def is_known(self) -> bool:
        """Whether it is known here what the licence asks for."""
        return restriction(self.licence) is not None


@dataclass(frozen=True)
class Proposal:
    """What follows from the licences of all sources."""

    sources: tuple[Source, ...]

    @property
    def unknown(self) -> list[str]:
        """The models of which nobody here knows what their licence asks for."""
        return [source.model for source in self.sources if not source.is_known]

    @property
    def unchosen(self) -> list[str]:
        """Those of the unknown for which this project has chosen none."""
        return [source.model for source in self.sources if not source.licence and source.is_of_pack]

    @property
    def unread(self) -> list[str]:
        """The other unknown ones."""
        return [model for model in self.unknown if model not in self.unchosen]

    @property
    def licence(self) -> str:
        """The most restrictive of those that are known; "" when none is. Of equals the one that comes first."""
        known = [source.licence for source in self.sources if source.is_known]
        return max(known, key=lambda name: restriction(name) or 0, default="")

    def narrower(self, licence: str) -> list[str]:
        """The models whose terms may forbid what this licence would allow, each with its terms."""
        return [
            f"{one.model} ({one.licence or one.about.word})" for one in self.sources if one.is_narrower_than(licence)
        ]

    @property
    def may_be_exceeded(self) -> bool:
        """Whether any licence would allow more than those of the sources do."""
        return any(restriction(source.licence) != 0 for source in self.sources)


def proposal(candidate: Candidate) -> Proposal:
    """From what the library knows of the licences of the candidate's parents, and of what these were bred from."""
    models = list(Recipe.from_json(candidate.recipe).models)
    older = ancestors(models, ancestry(models, candidate.run.owner))
    return Proposal(tuple(_sources(older)))


def licences_of(models: list[Parent]) -> dict[str, str]:
    """What is known of each model's licence, by fingerprint."""
    rows = ParentRow.objects.filter(fingerprint__in=[model.fingerprint for model in models]).exclude(licence="")
    return dict(rows.values_list("fingerprint", "licence"))


def stated(models: list[Parent]) -> dict[str, str]:
    """The licence of every model by fingerprint, in a word where none is named."""
    found = zip(models, _sources(models), strict=True)
    return {one.fingerprint: source.licence or source.about.word for one, source in found}


def _sources(models: list[Parent]) -> list[Source]:
    """What is known of each model, in their order."""
    rows = ParentRow.objects.filter(fingerprint__in=[model.fingerprint for model in models])
    facts = list(rows.values_list("fingerprint", "licence", "folder"))
    known = {found: licence for found, licence, _ in facts if licence}
    ours = {found for found, _, folder in facts if is_of_pack(Path(folder))}
    return [Source(one.name, known.get(one.fingerprint, ""), one.fingerprint in ours) for one in models]


def decision(candidate: Candidate) -> LicenceDecision | None:
    """What was decided last; None while nobody has."""
    return candidate.licence_decisions.first()


def decide(candidate: Candidate, person: User, licence: str, name: str = "", link: str = "") -> LicenceDecision:
    """Write down what a person has decided, and what was known then. `name` and `link` say what `other` is."""
    basis = [{"model": source.model, "licence": source.licence} for source in proposal(candidate).sources]
    own = {"name": name, "link": link} if licence == OTHER else {}
    return LicenceDecision.objects.create(
        candidate=candidate, by=person.get_username(), licence=licence, basis=basis, **own
    )

"""Under which licence a candidate may be published: what its parents' are, what follows from them, and what a person has decided.

A help for deciding, no legal advice. Reads rows; `decide` writes one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.contrib.auth.models import User

from merging.recipes import Parent, Recipe
from webapp.exports.models import LicenceDecision
from webapp.library.licences import Licence, licence_of, restriction
from webapp.library.models import Parent as ParentRow
from webapp.lineage.queries import ancestors, ancestry
from webapp.runs.models import Candidate

OTHER: Final = "other"


@dataclass(frozen=True)
class Source:
    """A model that the candidate was made from in the end. `licence` is as the Hub calls it, "" where nobody has said."""

    model: str
    licence: str

    @property
    def about(self) -> Licence:
        """What that licence allows."""
        return licence_of(self.licence)

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
    def licence(self) -> str:
        """The most restrictive of those that are known; "" when none is. Of equals the one that comes first."""
        known = [source.licence for source in self.sources if source.is_known]
        return max(known, key=lambda name: restriction(name) or 0, default="")


def proposal(candidate: Candidate) -> Proposal:
    """From what the library knows of the licences of the candidate's parents, and of what these were bred from."""
    models = list(Recipe.from_json(candidate.recipe).models)
    older = ancestors(models, ancestry(models, candidate.run.owner))
    known = licences_of(older)
    return Proposal(tuple(Source(model.name, known.get(model.fingerprint, "")) for model in older))


def licences_of(models: list[Parent]) -> dict[str, str]:
    """What is known of each model's licence, by fingerprint."""
    rows = ParentRow.objects.filter(fingerprint__in=[model.fingerprint for model in models]).exclude(licence="")
    return dict(rows.values_list("fingerprint", "licence"))


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

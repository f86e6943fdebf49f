"""What each layer is worth: how much lower a model scores without it, from the probes that are scored so far. Reads rows.

The wholes are the run's parents and its best path, and of other paths those that somebody has probed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final, Literal

from django.db.models import Avg, Count, F, Q, QuerySet

from merging.hops import Hop
from merging.probes import Probe
from merging.recipes import Parent, Recipe
from merging.statistics import Interval, paired_mover
from webapp.runs import outcomes, probes
from webapp.runs.board.standing import by_split
from webapp.runs.config import RunConfig
from webapp.runs.models import Candidate, Evaluation, Run
from webapp.runs.pictures import bars
from webapp.system.status import workers
from webapp.system.templatetags.figures import percent, points

KEPT: Final = 64
RECENT: Final = 100
"""Scored models from which the time of a probe is taken."""

State = Literal["unasked", "waiting", "failed", "scored"]
_STATES: Final[Mapping[str, State]] = {
    "pending": "waiting", "leased": "waiting", "done": "scored", "failed": "failed", "dropped": "unasked",
}  # fmt: skip


@dataclass(frozen=True)
class Lack:
    """A model without one layer or hop, by its recipe's digest, and whose layer that is."""

    digest: str
    number: int
    parent: Parent
    name: str


@dataclass(frozen=True)
class Worth:
    """What a layer or hop adds to the score, in shares of 1, with its 95 % interval. `without` is the score of the model that lacks it.
    `is_clear`: the difference is unlikely to be luck.
    """

    value: float
    low: float
    high: float
    without: float
    p_words: str
    is_clear: bool


@dataclass(frozen=True)
class Part:
    """A layer or a hop of a whole: `number` as people count it, layers from 0 and hops from 1; `sign` is its parent's, counted from 1.

    `worth` is None until both models are scored; `failure` says why a probe failed.
    """

    number: int
    sign: int
    name: str
    state: State
    worth: Worth | None
    failure: str

    @property
    def words(self) -> str:
        """All that is known of it."""
        known = {"unasked": "not measured", "waiting": "on its way", "failed": f"failed, {self.failure}"}
        found = self.worth
        if found is None:
            return f"{self.name}: {known.get(self.state, 'scored, the whole is not yet')}"
        worth = f"{points(found.value)} points [{points(found.low)}, {points(found.high)}]"
        return f"{self.name}: {percent(found.without)} without it, worth {worth}, {found.p_words}"


@dataclass(frozen=True)
class Whole:
    """A model of which something is left out; `noun` is what: layer or hop. `evaluation` is its own search score, None before it is known.

    `seconds` is about how long a probe takes with the workers there are, None where nothing of the kind was measured.
    """

    candidate: Candidate
    noun: str
    evaluation: Evaluation | None
    parts: list[Part]
    probe_seconds: float | None

    @cached_property
    def picture(self) -> bars.Picture:
        return bars.picture([part.worth for part in self.parts], [part.number for part in self.parts])

    @property
    def drawn(self) -> list[tuple[Part, bars.Bar]]:
        return list(zip(self.parts, self.picture.bars, strict=True))

    @property
    def n_scored(self) -> int:
        return self._count("scored")

    @property
    def n_waiting(self) -> int:
        return self._count("waiting")

    @property
    def n_failed(self) -> int:
        return self._count("failed")

    @property
    def n_to_ask(self) -> int:
        """What nobody has asked for, or what came to nothing."""
        return self._count("unasked") + self.n_failed

    @property
    def is_asked(self) -> bool:
        return self._count("unasked") < len(self.parts)

    @property
    def failure(self) -> str:
        """Why one of the failed ones failed."""
        return next((part.failure for part in self.parts if part.state == "failed"), "")

    @property
    def seconds(self) -> float | None:
        """How long what can be asked for will take, about."""
        return None if self.probe_seconds is None else self.n_to_ask * self.probe_seconds

    @property
    def sentence(self) -> str:
        """Where it matters most, and how much cannot be told from luck; empty before anything is known."""
        known = [(part, part.worth) for part in self.parts if part.worth]
        if not known:
            return ""
        most, worth = max(known, key=lambda pair: pair[1].value)
        n_unclear = sum(not found.is_clear for _, found in known)
        words = f"Worth most is {most.name}: {100 * worth.value:.1f} points. " if worth.is_clear else ""
        return f"{words}{n_unclear} of {len(known)} {self.noun}s cannot be told from worth nothing."

    def _count(self, state: State) -> int:
        return sum(part.state == state for part in self.parts)


def wholes(run: Run, config: RunConfig, best: Candidate | None) -> list[Whole]:
    """The parents, then paths that were probed, the best path last."""
    asked = list(_probes(run).select_related("candidate").order_by("candidate__index"))
    probed = {evaluation.candidate.probe_of_id for evaluation in asked}
    best_pk = best.pk if best else None
    chosen = run.candidates.filter(Q(kind="parent") | Q(pk=best_pk) | Q(pk__in=probed)).order_by("index")
    candidates = sorted(chosen, key=lambda candidate: (candidate.kind != "parent", candidate.pk == best_pk))
    own = by_split(Evaluation.objects.filter(candidate__in=candidates, status="done").exclude(split="probe"))
    scored = {candidate: own.get((candidate.pk, "search")) for candidate in candidates}
    read = _Reader(config, asked, [evaluation for evaluation in scored.values() if evaluation])
    seconds = _seconds(run)
    return [
        Whole(candidate, "layer" if candidate.kind == "parent" else "hop", evaluation, parts, seconds)
        for candidate, evaluation in scored.items()
        if (parts := read.parts(candidate, evaluation))
    ]


def key(run: Run, best: Candidate | None) -> str:
    """Differs when what `wholes` says may differ."""
    counts = _probes(run).order_by("status").values_list("status").annotate(n=Count("pk"))
    return " ".join([run.state, str(best.pk if best else ""), *(f"{status} {n}" for status, n in counts)])


def n_waiting(run: Run) -> int:
    """Probes that are not through."""
    return _probes(run).filter(status__in=("pending", "leased")).count()


class _Reader:
    """What is known of the parts of any whole of one run."""

    def __init__(self, config: RunConfig, asked: Sequence[Evaluation], own: Sequence[Evaluation]) -> None:
        self._config = config
        self._asked = {(e.candidate.probe_of_id, e.candidate.recipe_digest): e for e in asked}
        self._cards = outcomes.cards(e.pk for e in (*asked, *own) if e.status == "done")

    def parts(self, whole: Candidate, own: Evaluation | None) -> list[Part]:
        return [self._part(lack, own, self._asked.get((whole.pk, lack.digest))) for lack in _lacks(whole.pk)]

    def _part(self, lack: Lack, own: Evaluation | None, asked: Evaluation | None) -> Part:
        return Part(
            number=lack.number,
            sign=self._config.parents.index(lack.parent) + 1,
            name=lack.name,
            state=_STATES[asked.status] if asked else "unasked",
            worth=self._worth(own, asked) if own and asked and asked.status == "done" else None,
            failure=(asked.failure or asked.failure_kind) if asked else "",
        )

    def _worth(self, own: Evaluation, without: Evaluation) -> Worth | None:
        """The whole less what lacks the part, on the samples that both were asked; None where there are none."""
        cards, weights = (self._cards[own.pk], self._cards[without.pk]), self._config.weights
        compared = outcomes.compare(*cards, weights)
        if not compared.n:
            return None
        means = own.mean or 0.0, without.mean or 0.0
        intervals = _interval(own), _interval(without)
        found = paired_mover(means, intervals, outcomes.correlated(*cards, weights))
        shift = compared.difference - (means[0] - means[1])  # where the whole was asked less
        return Worth(
            value=compared.difference,
            low=found.low + shift,
            high=found.high + shift,
            without=without.mean or 0.0,
            p_words=compared.p_words,
            is_clear=compared.is_clear,
        )


@lru_cache(maxsize=KEPT)
def _lacks(candidate_id: int) -> tuple[Lack, ...]:
    """What can be left out of a candidate. That never changes, and to make and name the recipes of 80 hops takes 100 ms."""
    whole = Candidate.objects.get(pk=candidate_id)
    recipe = Recipe.from_json(whole.recipe)
    return tuple(_lack(recipe, probe) for probe in probes.probes_of(whole))


def _lack(recipe: Recipe, probe: Probe) -> Lack:
    hop = recipe.path.hops[probe.position] if recipe.path else Hop(0, probe.position)
    parent, number = recipe.parents[hop.parent], probe.position + (recipe.path is not None)
    name = f"hop {number}, layer {hop.layer} of {parent.name}" if recipe.path else f"layer {number}"
    return Lack(probe.recipe.digest(), number, parent, name)


def _interval(evaluation: Evaluation) -> Interval:
    return Interval(evaluation.low or 0.0, evaluation.high or 0.0)


def _probes(run: Run) -> QuerySet[Evaluation]:
    return run.evaluations.filter(split="probe")


def _seconds(run: Run) -> float | None:
    """How long one probe takes, as models of this run took on the search split, with the workers that report now."""
    scored = run.evaluations.filter(status="done", split__in=("search", "probe")).order_by("-finished")[:RECENT]
    mean = scored.aggregate(mean=Avg(F("merge_seconds") + F("evaluate_seconds")))["mean"]
    return None if mean is None else mean / max(1, sum(seen.alive for seen in workers()))

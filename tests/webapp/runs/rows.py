"""Runs as workers would have written them, without workers: rows that obey the ledger's constraints, scores from a known generator."""

from __future__ import annotations

import json
import math
import random
import statistics
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from merging.benchmarks import BenchmarkSpec, QuestionFile
from merging.genomes import parameter_space
from merging.objectives import Objective
from merging.recipes import Parent, Recipe, passthrough_recipe, uniform_average
from merging.statistics import wilson
from webapp.runs.config import RunConfig
from webapp.runs.models import Candidate, Evaluation, Event, Generation, Outcomes, Run, Score
from webapp.runs.outcomes import packed

BASE = Parent("demo/base", "/models/base", "sha256:" + "0" * 64)
PARENTS = (
    Parent("demo/japanese", "/models/japanese", "sha256:" + "1" * 64),
    Parent("demo/addition", "/models/addition", "sha256:" + "2" * 64),
)
REFERENCES = (("parent", 0.04), ("parent", 0.0), ("baseline", 0.21), ("baseline", 0.33))


@cache
def benchmark() -> BenchmarkSpec:
    """A file of Japanese sums: 200 questions to search, 100 for each of the other splits."""
    path = Path(settings.DATA_DIR) / "sums.jsonl"
    lines = [
        {
            "question": f"りんごが{a}個、みかんが{b}個あります。合わせて何個ですか。",
            "answer": str(a + b),
            "language": "ja",
        }
        for a, b in ((11 + i % 79, 12 + i // 79) for i in range(400))
    ]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return BenchmarkSpec.of_file("japanese-sums", QuestionFile(str(path), "last_number", seed=1))


def make_config(n_samples: int, budget: int) -> RunConfig:
    return RunConfig(
        parents=PARENTS,
        base=BASE,
        objectives=(Objective(benchmark(), 1.0, n_samples, n_samples, n_samples),),
        method="dare_ties",
        groups="block",
        settings=(("lambda", 1.0), ("normalize", False)),
        search="cma_es",
        population_size=None,
        budget=budget,
        seed=1,
        dtype="float32",
    )


@dataclass
class Writer:
    """Writes one run in the order of time. A sample is right when the candidate's skill exceeds its difficulty, give or take some luck.

    Evaluations and events are there after `flush`, all at once: row by row they would take longer than most tests.
    """

    run: Run
    luck: random.Random
    n_samples: int
    at: datetime
    seq: int = 0
    number: int = 0
    evaluations: list[Evaluation] = field(default_factory=list)
    scores: list[tuple[Score, Outcomes]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def event(self, kind: str, payload: dict[str, Any]) -> None:
        self.seq += 1
        self.events.append(Event(run=self.run, seq=self.seq, kind=kind, payload=payload))

    def flush(self) -> None:
        """Write what was gathered, and the number of the run's next event."""
        Evaluation.objects.bulk_create(self.evaluations)
        for row, _ in self.scores:
            row.evaluation = row.evaluation  # whose number is known now
        Score.objects.bulk_create([row for row, _ in self.scores])
        for row, outcomes in self.scores:
            outcomes.score = row
        Outcomes.objects.bulk_create([outcomes for _, outcomes in self.scores])
        Event.objects.bulk_create(self.events)
        Run.objects.filter(pk=self.run.pk).update(next_seq=self.seq + 1)
        for gathered in (self.evaluations, self.scores, self.events):
            gathered.clear()

    def score(self, candidate: Candidate, split: str, skill: float, seconds: float = 0.7) -> Evaluation:
        """A done evaluation with its outcomes and its event."""
        self.at += timedelta(seconds=seconds)
        samples = [self.outcome("search" if split == "probe" else split, i, skill) for i in range(self.n_samples)]
        right = sum(sample["score"] for sample in samples)
        bounds = wilson(int(right), self.n_samples)
        mean = right / self.n_samples
        evaluation = Evaluation(
            run=self.run,
            candidate=candidate,
            split=split,
            status="done",
            lease_token=1,
            fitness=None if split == "final" else mean + 0.1 * skill,
            mean=mean,
            low=bounds.low,
            high=bounds.high,
            n=self.n_samples,
            merge_seconds=0.02,
            evaluate_seconds=seconds,
            created=self.at,
            finished=self.at,
        )
        row = Score(
            evaluation=evaluation,
            index=0,
            benchmark=benchmark().name,
            digest=benchmark().digest,
            scorer="last_number@1",
            mean=mean,
            low=bounds.low,
            high=bounds.high,
            n=self.n_samples,
            right=mean,
            in_language=1.0,
            seconds=seconds,
        )
        self.evaluations.append(evaluation)
        self.scores.append((row, Outcomes(score=row, **packed(samples))))
        evolved_search = candidate.kind == "evolved" and split == "search"
        self.number += evolved_search
        payload = {"candidate": candidate.pk, "name": candidate.name, "kind": candidate.kind, "split": split}
        payload |= {"generation": candidate.generation.number if candidate.generation else None}
        payload |= {"index": candidate.index, "fitness": evaluation.fitness, "mean": mean, "low": bounds.low}
        payload |= {"high": bounds.high, "n": self.n_samples, "seconds": seconds, "is_healthy": True}
        self.event("evaluation.done", payload | {"number": self.number if evolved_search else None})
        return evaluation

    def outcome(self, split: str, i: int, skill: float) -> dict[str, Any]:
        sample = benchmark().load().samples[split][i]
        is_right = skill + self.luck.gauss(0, 0.05) > random.Random(sample.id).random()
        number = int(sample.answer) - (0 if is_right else 10)
        is_japanese = is_right or i % 3 > 0
        return {
            "id": sample.id,
            "prompt_hash": "0" * 16,
            "completion": f"答えは{number}個です。" if is_japanese else f"The answer is {sample.answer}.",
            "extracted": str(number if is_japanese else sample.answer),
            "language": "ja" if is_japanese else "en",
            "right": is_right or not is_japanese,
            "score": float(is_right),
            "n_tokens": 9,
            "seconds": 0.01,
            "finished": True,
            "error": None,
        }


def make_run(
    owner: User,
    *,
    state: str = "running",
    n_generations: int = 3,
    population: int = 8,
    budget: int = 60,
    n_samples: int = 50,
    n_failed: int = 0,
    name: str = "Japanese sums",
    ending: bool = False,
    n_layers: int = 4,
) -> Run:
    """A run with its references, `n_generations` of evolved candidates and, when `ending`, the winner's validation and final scores."""
    start = timezone.now() - timedelta(seconds=0.7 * population * n_generations + 20)
    run = Run.objects.create(
        owner=owner,
        name=name,
        state=state,
        config=make_config(n_samples, budget).to_json(),
        config_digest=make_config(n_samples, budget).digest(),
        seed=1,
        budget=budget,
        created=start,
        started=start,
        ended=timezone.now() if state in ("done", "stopped", "failed") else None,
        examined=timezone.now() if ending and state != "finishing" else None,
    )
    writer = Writer(run, random.Random(1), n_samples, start)
    writer.event("run.state", {"state": "running", "message": "", "stopping": False})
    references = make_references(writer)
    space = parameter_space(
        method="dare_ties",
        parents=PARENTS,
        base=BASE,
        n_layers=n_layers,
        groups="block",
        settings={},
        seed=1,
        dtype="float32",
    )
    centre = [0.5] * space.n_genes
    for number in range(n_generations):
        centre = make_generation(writer, number, population, space, centre, n_failed if number == 1 else 0)
    if ending:
        end(writer, references)
    writer.flush()
    run.refresh_from_db()
    return run


def make_references(writer: Writer) -> list[Candidate]:
    recipes = [*map(passthrough_recipe, PARENTS), uniform_average(PARENTS), uniform_average(PARENTS)]
    names = [*(parent.name for parent in PARENTS), "uniform average", "starting point"]
    made = []
    for index, ((kind, skill), recipe, name) in enumerate(zip(REFERENCES, recipes, names, strict=True)):
        candidate = make_candidate(writer.run, None, kind, index, name, recipe, None)
        writer.score(candidate, "search", skill)
        made.append(candidate)
    return made


def make_candidate(
    run: Run,
    generation: Generation | None,
    kind: str,
    index: int,
    name: str,
    recipe: Recipe,
    genome: list[float] | None,
) -> Candidate:
    made = new_candidate(run, generation, kind, index, name, recipe, genome)
    made.save()
    return made


def new_candidate(
    run: Run,
    generation: Generation | None,
    kind: str,
    index: int,
    name: str,
    recipe: Recipe,
    genome: list[float] | None,
) -> Candidate:
    """One that is not in the database yet."""
    return Candidate(
        run=run,
        generation=generation,
        kind=kind,
        index=index,
        name=name,
        genome=genome,
        recipe=recipe.to_json(),
        recipe_digest=recipe.digest(),
    )


def make_generation(
    writer: Writer, number: int, population: int, space: Any, centre: list[float], n_failed: int
) -> list[float]:
    """Candidates around `centre`; returns the mean of the better half, as an evolution strategy would."""
    sigma = 0.17 * 0.93**number
    generation = Generation.objects.create(run=writer.run, number=number, population_digest=f"p{number}", sigma=sigma)
    writer.event("generation.opened", {"number": number, "n_candidates": population, "sigma": sigma})
    genomes = [[min(1.0, max(0.0, writer.luck.gauss(gene, sigma))) for gene in centre] for _ in range(population)]
    recipes = [space.decode(tuple(genome)) for genome in genomes]
    candidates = Candidate.objects.bulk_create(
        new_candidate(writer.run, generation, "evolved", index, f"g{number}.{index}", recipe, genome)
        for index, (recipe, genome) in enumerate(zip(recipes, genomes, strict=True))
    )
    for candidate in candidates[:n_failed]:
        fail(writer, candidate)
    scored = [
        (writer.score(candidate, "search", skill_of(genome)).fitness or 0.0, genome)
        for candidate, genome in zip(candidates[n_failed:], genomes[n_failed:], strict=True)
    ]
    fitnesses = [fitness for fitness, _ in scored]
    payload = {"number": number, "best": max(fitnesses), "mean": statistics.fmean(fitnesses)}
    writer.event("generation.closed", payload | {"spread": statistics.pstdev(fitnesses)})
    better = [genome for _, genome in sorted(scored, reverse=True)[: max(1, len(scored) // 2)]]
    return [statistics.fmean(genes) for genes in zip(*better, strict=True)]


def skill_of(genome: list[float]) -> float:
    """A smooth hill with its top away from the middle."""
    tops = [0.72 if i % 3 else 0.35 for i in range(len(genome))]
    distance = math.sqrt(statistics.fmean((gene - top) ** 2 for gene, top in zip(genome, tops, strict=True)))
    return 0.85 * math.exp(-((distance / 0.26) ** 2))


def fail(writer: Writer, candidate: Candidate) -> None:
    sentence = "The merged model gave no finite numbers in layer 2: its weights are too large. Nothing to do; the search avoids them."
    failed = {"status": "failed", "failure_kind": "not finite", "failure": sentence, "finished": writer.at}
    writer.evaluations.append(Evaluation(run=writer.run, candidate=candidate, split="search", **failed))
    payload = {"candidate": candidate.pk, "name": candidate.name, "kind": "evolved", "split": "search"}
    writer.event("evaluation.failed", payload | {"failure_kind": "not finite", "failure": sentence})


def end(writer: Writer, references: list[Candidate]) -> None:
    """The best candidate becomes the winner; it and the references are scored on the other splits."""
    writer.flush()
    best = Evaluation.objects.filter(run=writer.run, split="search", candidate__kind="evolved", status="done")
    winner = best.order_by("-fitness", "candidate__generation__number", "candidate__index")[0].candidate
    Run.objects.filter(pk=writer.run.pk).update(winner=winner)
    writer.event("run.winner", {"candidate": winner.pk})
    skills = [skill_of(list(winner.genome or ())), *(skill for _, skill in REFERENCES)]
    for split in ("validation", "final"):
        for candidate, skill in zip([winner, *references], skills, strict=True):
            writer.score(candidate, split, 0.95 * skill)


def rewrite(evaluations: QuerySet[Evaluation], **values: object) -> None:
    """What is done never changes, but here."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        evaluations.update(**values)
        cursor.execute("SET LOCAL session_replication_role = origin")

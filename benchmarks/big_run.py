"""The pages of a big run: 10,000 candidates with 200 samples each, in a database of its own.

    .venv/bin/python -m benchmarks.big_run [candidates] [samples] >> docs/evaluation.md

Every sample of every candidate is stored, as workers store it: completions are those of the demo's questions, of candidates of every skill.
Times are of the server alone, from request to response, the page rendered: the first with nothing kept from before, then the median and
the fastest of ten, and the processor time of the web process in one. On a busy machine the fastest is nearest to what an idle one takes.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

N_TIMES = 10
POPULATION = 20


def main(n_candidates: int, n_samples: int) -> None:
    """Fill a database, ask for the pages, print a Markdown table."""
    with tempfile.TemporaryDirectory(prefix="progeny-big-run-") as folder:
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "webapp.settings",
            "PROGENY_DATA": folder,
            "PROGENY_HOSTS": "testserver",
        }
        import django

        django.setup()
        from webapp.system.embedded import Postgres, create_socket_folder

        data = Path(folder)
        (data / "logs").mkdir()
        server = Postgres(data, create_socket_folder(data)).start(data / "logs" / "postgres.log", lambda: False)
        try:
            _measure(n_candidates, n_samples)
        finally:
            if server:
                server.stop()


def _measure(n_candidates: int, n_samples: int) -> None:
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client

    call_command("migrate", verbosity=0)
    owner = User.objects.create_user("owner")
    began = time.perf_counter()
    run, best = fill(owner, n_candidates, n_samples)
    print(f"filled in {time.perf_counter() - began:.0f} s", file=sys.stderr)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        cursor.execute(
            "SELECT pg_total_relation_size('runs_outcomes'), sum(length(rest)), sum(4 * cardinality(scores)) FROM runs_outcomes"
        )
        on_disk, n_rest, n_scores = cursor.fetchone()
    client = Client()
    client.force_login(owner)
    print(
        f"\n{n_candidates:,} candidates with {n_samples} samples each; made by `.venv/bin/python -m benchmarks.big_run`.\n"
    )
    print(f"Load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.\n")
    print(
        "| page | queries | first, nothing kept | median of ten | fastest | processor, web | size |\n|---|---|---|---|---|---|---|"
    )
    pages = {
        "live page": f"/runs/{run.pk}/",
        "its parts, asked for every second (`?part=live`)": f"/runs/{run.pk}/?part=live",
        "live page, the best 50": f"/runs/{run.pk}/?rows=all",
        "history of the chart (`history.json`)": f"/runs/{run.pk}/history.json",
        "candidate": f"/runs/{run.pk}/candidates/{best.pk}/",
        "runs list": "/",
    }
    for name, address in pages.items():
        print(f"| {name} | {' | '.join(_timed(client, address))} |")
    n_all = n_candidates * n_samples
    print(
        f"\nThe outcomes take {on_disk / 1e6:.0f} MB on disk: {n_rest / n_all:.1f} bytes a sample compressed, of "
        f"{_json_bytes():.0f} as JSON, and {n_scores / n_all:.0f} for its score."
    )


def _timed(client: Any, address: str) -> list[str]:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from webapp.runs import outcomes

    outcomes._kept.clear()
    first = _seconds(client, address)[0]
    with CaptureQueriesContext(connection) as queries:
        _seconds(client, address)
        n_queries = len(queries)
    began = time.process_time()
    times = [_seconds(client, address) for _ in range(N_TIMES)]
    processor, size = (time.process_time() - began) / N_TIMES, times[0][1]
    seconds = [found for found, _ in times]
    shown = [f"{1000 * found:.0f} ms" for found in (first, statistics.median(seconds), min(seconds), processor)]
    return [str(n_queries), *shown, f"{size / 1000:.0f} kB"]


def _seconds(client: Any, address: str) -> tuple[float, int]:
    began = time.perf_counter()
    answer = client.get(address)
    seconds = time.perf_counter() - began
    if answer.status_code != 200:
        raise RuntimeError(f"{address} answered {answer.status_code}")
    return seconds, len(answer.content)


def fill(owner: Any, n_candidates: int, n_samples: int) -> tuple[Any, Any]:
    """A run as workers would have written it: means wander upwards, outcomes are drawn to match."""
    from merging.benchmarks import BenchmarkSpec
    from merging.objectives import Objective
    from merging.recipes import Parent
    from webapp.library.actions import install_demo_pack
    from webapp.library.models import Parent as ParentRow
    from webapp.runs import actions
    from webapp.runs.config import RunConfig
    from webapp.runs.models import Candidate, Generation, Run

    install_demo_pack()
    rows = [ParentRow.objects.get(name=f"demo/{skill}") for skill in ("base", "japanese", "addition")]
    base, *parents = (Parent(row.name, row.folder, row.fingerprint) for row in rows)
    spec = BenchmarkSpec.of_builtin("japanese-sums")
    config = RunConfig(
        parents=tuple(parents), base=base, objectives=(Objective(spec, 1.0, n_samples, n_samples, n_samples),),
        method="dare_ties", groups="block", settings=(), search="cma_es", population_size=POPULATION,
        budget=n_candidates, seed=1, dtype="float32",
    )  # fmt: skip
    run = actions.launch(owner, config, "Big run")
    Run.objects.filter(pk=run.pk).update(state="running")
    writer, luck, space = Writer(spec, n_samples), random.Random(1), config.space()
    for evaluation in list(run.evaluations.filter(split="search")):
        evaluation.delete()
        writer.add(evaluation.candidate, 0.1)
    best = (0.0, run.candidates.first())
    for number in range(n_candidates // POPULATION):
        generation = Generation.objects.create(run=run, number=number, population_digest="p", environment={})
        genomes = [tuple(luck.random() for _ in range(space.n_genes)) for _ in range(POPULATION)]
        recipes = [space.decode(genome) for genome in genomes]
        made = Candidate.objects.bulk_create(
            Candidate(run=run, generation=generation, kind="evolved", index=i, name=f"g{number}.{i}", genome=list(genome),
                      recipe=recipe.to_json(), recipe_digest=recipe.digest())
            for i, (genome, recipe) in enumerate(zip(genomes, recipes, strict=True))
        )  # fmt: skip
        scored = []
        for candidate in made:
            skill = min(0.95, max(0.0, luck.gauss(0.2 + 0.6 * number * POPULATION / n_candidates, 0.1)))
            scored.append((writer.add(candidate, skill), candidate))
        first = max(scored, key=lambda pair: pair[0])
        writer.add(first[1], first[0], "validation")
        best = max(best, first, key=lambda pair: pair[0])
        writer.flush()
    return run, best[1]


class Writer:
    """Makes done evaluations with their scores and outcomes, many at a time."""

    def __init__(self, spec: Any, n_samples: int) -> None:
        self._spec, self._luck = spec, random.Random(2)
        self._samples: Sequence[Any] = spec.load().take("search", n_samples)
        self._made: list[tuple[Any, Any, dict[str, Any]]] = []

    def add(self, candidate: Any, skill: float, split: str = "search") -> float:
        """Its mean."""
        from django.utils import timezone

        from merging.statistics import wilson
        from webapp.runs.models import Evaluation, Score
        from webapp.runs.outcomes import packed

        samples = list(self._answers(skill))
        n, right = len(samples), float(sum(sample["score"] for sample in samples))
        mean, bounds = right / n, wilson(int(right), n)
        shares = {"mean": mean, "low": bounds.low, "high": bounds.high, "n": n}
        evaluation = Evaluation(run_id=candidate.run_id, candidate=candidate, split=split, rank=20, status="done", lease_token=1,
                                fitness=mean, merge_seconds=0.1, evaluate_seconds=1.0, finished=timezone.now(), **shares)  # fmt: skip
        score = Score(index=0, benchmark=self._spec.name, digest=self._spec.digest, scorer="last_number@1",
                      right=mean, in_language=1.0, seconds=1.0, **shares)  # fmt: skip
        self._made.append((evaluation, score, packed(samples)))
        return mean

    def flush(self) -> None:
        from webapp.runs.models import Evaluation, Outcomes, Score

        Evaluation.objects.bulk_create(evaluation for evaluation, _, _ in self._made)
        for evaluation, score, _ in self._made:
            score.evaluation = evaluation
        Score.objects.bulk_create(score for _, score, _ in self._made)
        Outcomes.objects.bulk_create(Outcomes(score=score, **found) for _, score, found in self._made)
        self._made = []

    def _answers(self, skill: float) -> Iterator[dict[str, Any]]:
        for sample in self._samples:
            is_right = self._luck.random() < skill
            number = int(sample.answer) + (0 if is_right else self._luck.randrange(1, 40))
            is_japanese = is_right or self._luck.random() < 0.6
            yield {
                "id": sample.id,
                "prompt_hash": f"{self._luck.getrandbits(64):016x}",
                "completion": f"答えは{number}個です。" if is_japanese else f"The answer is {number} apples.",
                "extracted": str(number),
                "language": "ja" if is_japanese else "en",
                "right": is_right,
                "score": float(is_right),
                "n_tokens": self._luck.randrange(6, 14),
                "seconds": round(self._luck.random() / 50, 5),
                "finished": True,
                "error": None,
            }


def _json_bytes() -> float:
    """Of one such outcome, on average."""
    import json

    from merging.benchmarks import BenchmarkSpec

    samples = list(Writer(BenchmarkSpec.of_builtin("japanese-sums"), 200)._answers(0.5))
    return statistics.fmean(len(json.dumps(sample, ensure_ascii=False).encode()) for sample in samples)


if __name__ == "__main__":
    main(*(int(word) for word in (sys.argv[1:] or ["10000", "200"])))

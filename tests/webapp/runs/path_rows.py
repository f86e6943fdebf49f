"""Runs that search for a path, as workers would have written them: see `rows`. Later ones are better."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

from django.contrib.auth.models import User
from django.utils import timezone

from merging.paths import Hop, LayerPath, path_recipe
from tests.webapp.runs.rows import PARENTS, Writer, end, make_candidate, make_config, make_references
from webapp.library.models import Parent as ParentRow
from webapp.runs.config import PathSettings, RunConfig
from webapp.runs.models import Generation, Run

N_LAYERS = 4
REPEATS = 2


def path(*hops: tuple[int, int] | tuple[int, int, float]) -> LayerPath:
    return LayerPath(tuple(Hop(*hop) for hop in hops))


def random_path(
    luck: random.Random, n_layers: int = N_LAYERS, repeats: int = REPEATS, scaled: bool = True
) -> LayerPath:
    """A's own layers mostly, some of B's, some again."""
    hops = [
        Hop(parent, layer, round(luck.uniform(0.7, 1.3), 3) if scaled else 1.0)
        for time in range(repeats)
        for parent in (0, 1)
        for layer in range(n_layers)
        if luck.random() < (0.9 if (time, parent) == (0, 0) else 0.3)
    ]
    return LayerPath((Hop(0, 0), *hops, Hop(0, n_layers - 1)))


def make_path_config(n_samples: int = 50, budget: int = 60, repeats: int = REPEATS) -> RunConfig:
    settings = PathSettings(repeats, scales="slot", max_hops=4 * N_LAYERS)
    plain = make_config(n_samples, budget)
    return replace(plain, method="passthrough", base=None, groups="model", settings=(), path=settings)


def make_path_run(
    owner: User,
    *,
    state: str = "running",
    n_generations: int = 3,
    population: int = 6,
    n_layers: int = N_LAYERS,
    repeats: int = REPEATS,
    ending: bool = False,
    name: str = "Paths of Japanese sums",
) -> Run:
    """A run with its references and `n_generations` of paths; the library knows how many layers its parents have."""
    for parent in PARENTS:
        facts = {
            "folder": parent.folder,
            "fingerprint": parent.fingerprint,
            "model_type": "llama",
            "n_layers": n_layers,
        }
        sizes = dict.fromkeys(("hidden_size", "vocab_size", "n_parameters", "n_bytes"), 1)
        ParentRow.objects.get_or_create(owner=None, name=parent.name, defaults={**facts, **sizes, "dtype": "float32"})
    config = make_path_config(repeats=repeats)
    start = timezone.now() - timedelta(minutes=5)
    run = Run.objects.create(
        owner=owner,
        name=name,
        state=state,
        config=config.to_json(),
        config_digest=config.digest(),
        seed=1,
        budget=config.budget,
        created=start,
        started=start,
        ended=timezone.now() if state in ("done", "stopped", "failed") else None,
    )
    writer = Writer(run, random.Random(1), 50, start)
    writer.event("run.state", {"state": "running", "message": "", "stopping": False})
    references = make_references(writer)
    for number in range(n_generations):
        make_path_generation(writer, number, population, n_layers, repeats)
    if ending:
        end(writer, references)
    Run.objects.filter(pk=run.pk).update(next_seq=writer.seq + 1)
    run.refresh_from_db()
    return run


def make_path_generation(
    writer: Writer, number: int, population: int, n_layers: int = N_LAYERS, repeats: int = REPEATS
) -> None:
    generation = Generation.objects.create(run=writer.run, number=number, population_digest=f"p{number}", sigma=0.2)
    writer.event("generation.opened", {"number": number, "n_candidates": population, "sigma": 0.2})
    for index in range(population):
        recipe = path_recipe(PARENTS, random_path(writer.luck, n_layers, repeats))
        candidate = make_candidate(
            writer.run, generation, "evolved", index, f"g{number}.{index}", recipe, [writer.luck.random()] * 4
        )
        writer.score(candidate, "search", 0.2 + 0.1 * number + 0.02 * index)

"""Runs that search for a path, as workers would have written them: see `rows`. Later ones are better."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

from django.contrib.auth.models import User
from django.utils import timezone

from merging.hops import Hop, LayerPath
from merging.path_genomes import PathSpace
from tests.webapp.runs.rows import PARENTS, Writer, end, make_candidate, make_config, make_references
from webapp.library.models import Parent as ParentRow
from webapp.runs.config import PathSettings, RunConfig
from webapp.runs.models import Candidate, Evaluation, Generation, Run
from webapp.runs.pictures import paths
from workers.ledger.searches import n_passed

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


def make_path_config(n_samples: int = 50, budget: int = 60, repeats: int = REPEATS, max_hops: int = 100) -> RunConfig:
    settings = PathSettings(repeats, scales="slot", max_hops=max_hops)
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
    paths._known.update(
        {parent.fingerprint: n_layers for parent in PARENTS}
    )  # of one process, where a model never changes
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
        make_path_generation(writer, number, population)
    if ending:
        end(writer, references)
    writer.flush()
    run.refresh_from_db()
    return run


def make_path_generation(writer: Writer, number: int, population: int) -> None:
    """Switches start with A's own path likely, and settle on it and every third layer of B."""
    space = paths.space_of(RunConfig.from_json(writer.run.config))
    assert space is not None
    genomes = [tuple(genome_of(space, number, writer.luck)) for _ in range(population)]
    generation = Generation.objects.create(
        run=writer.run, number=number, population_digest=f"p{number}", sigma=0.2, passed=n_passed(space, genomes)
    )
    writer.event("generation.opened", {"number": number, "n_candidates": population, "sigma": 0.2})
    for index, genome in enumerate(genomes):
        name = f"g{number}.{index}"
        candidate = make_candidate(writer.run, generation, "evolved", index, name, space.decode(genome), list(genome))
        writer.score(candidate, "search", min(0.9, 0.2 + 0.1 * number + 0.02 * index))


def genome_of(space: PathSpace, number: int, luck: random.Random) -> Iterator[float]:
    for slot in space.slots[1:-1]:
        start = 0.98 if (slot.parent, slot.number) == (0, 0) else 0.5
        aim = (slot.parent, slot.number) == (0, 0) or (slot.parent, slot.layer % 3) == (1, 2)
        share = start + (aim - start) * min(1.0, number / 10)
        yield luck.uniform(0.55, 1.0) if luck.random() < share else luck.uniform(0.0, 0.45)
    for _ in range(space.n_genes - space.n_switches):
        yield luck.uniform(0.2, 0.8)


def score_probes(run: Run, whole: Candidate, skills: Sequence[float | None]) -> None:
    """The probes that are asked for of a candidate, in their order, score so; those of None stay as they are."""
    writer = Writer(run, random.Random(7), 50, timezone.now(), seq=run.next_seq - 1)
    asked = list(whole.probes.order_by("index"))
    for probe, skill in zip(asked, skills, strict=False):
        if skill is not None:
            Evaluation.objects.filter(candidate=probe).delete()
            writer.score(probe, "probe", skill)
    writer.flush()
    run.refresh_from_db()

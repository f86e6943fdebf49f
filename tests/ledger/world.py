"""A small world for the ledger: parents that nobody computes with, runs launched as people launch them, scores that are a
function of the recipe and deliberately tied, and the invariants that must hold at every instant.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from django.contrib.auth.models import User
from django.db import connection, transaction
from safetensors.numpy import save_file

from merging.benchmarks import BenchmarkSpec, QuestionFile
from merging.families import Layout, families
from merging.objectives import Objective
from merging.recipes import Parent
from merging.search import searches
from tests.ledger.scores import N_SAMPLES, score, share
from webapp.runs import actions
from webapp.runs.config import RunConfig
from webapp.runs.models import ENDED, Attempt, Evaluation, Generation, Run
from workers.ledger import claims, generations, results
from workers.ledger.claims import Claim
from workers.ledger.searches import Searches, population_digest

VOCAB, HIDDEN, N_LAYERS = 4, 2, 2


def parent(folder: Path, name: str) -> Parent:
    """A folder that has everything that is read before a merge."""
    path = folder / name
    path.mkdir(parents=True, exist_ok=True)
    config = {
        "model_type": "llama",
        "num_hidden_layers": N_LAYERS,
        "hidden_size": HIDDEN,
        "vocab_size": VOCAB,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "intermediate_size": 2,
        "tie_word_embeddings": True,
    }
    (path / "config.json").write_text(json.dumps(config))
    layout = Layout(N_LAYERS, tied_embeddings=True, switches={"attention_bias": False, "mlp_bias": False})
    tensors = {name: np.zeros(1, np.float32) for name in families.get("llama").required(layout)}
    tensors["model.embed_tokens.weight"] = np.zeros((VOCAB, HIDDEN), np.float32)
    save_file(tensors, path / "model.safetensors")
    return Parent(name, str(path), f"sha256:{name}")


def config(folder: Path, **changes: Any) -> RunConfig:
    """Three parents, three genes, populations of four."""
    questions = folder / "questions.jsonl"
    questions.write_text("".join(json.dumps({"question": f"{n} + 1?", "answer": str(n + 1)}) + "\n" for n in range(60)))
    spec = BenchmarkSpec.of_file("sums", QuestionFile(str(questions), scorer="last_number", seed=0))
    chosen: dict[str, Any] = {
        "parents": tuple(parent(folder, name) for name in ("a", "b", "c")),
        "base": None,
        "objectives": (Objective(spec, 1.0, N_SAMPLES, N_SAMPLES, N_SAMPLES),),
        "method": "linear",
        "groups": "model",
        "settings": (("normalize", True),),
        "search": "cma_es",
        "population_size": 4,
        "budget": 12,
        "seed": 7,
        "dtype": "float32",
    }
    return RunConfig(**(chosen | changes))


def launch(owner: User, folder: Path, **changes: Any) -> Run:
    return actions.launch(owner, config(folder, **changes), "a run")


def take(worker: str = "w1") -> Claim:
    """A claim, of which there must be one."""
    claim = claims.claim(worker, "test")
    assert claim is not None, "nothing was claimable"
    return claim


def finish(claim: Claim, mean: float | None = None) -> bool:
    """The result that a device would have brought."""
    return results.finish(claim, result(claim, share(claim.recipe) if mean is None else mean))


def result(claim: Claim, *means: float, completion: str = "2") -> results.Scored:
    """These scores, one for each of the run's objectives."""
    objectives = RunConfig.from_json(claim.config).objectives
    measured = [score(claim.split, mean, completion) for mean in means]
    return results.scored(objectives, measured, 0.01, 0.01)


def work(run: Run, searches: Searches | None = None, n: int = 10_000) -> Run:
    """One worker without a device: claim, finish, advance, at most `n` times, until nothing is left."""
    memory = searches or Searches()
    for _ in range(n):
        claim = claims.claim("w1", "test")
        if claim is not None:
            finish(claim)
        if not generations.advance(run.pk, memory) and claim is None:
            break
    run.refresh_from_db()
    return run


def populations(run: Run) -> list[str]:
    """The digests of all generations, in order."""
    return list(run.generations.order_by("number").values_list("population_digest", flat=True))


def uninterrupted(run: Run) -> list[str]:
    """The populations of the same run in one process without any row: the oracle."""
    frozen = RunConfig.from_json(run.config)
    space = frozen.space()
    search = searches.get(frozen.search).start(space.axes, frozen.seed, frozen.population_size)
    digests, n_left = [], frozen.budget
    while n_left > 0:
        genomes = search.ask(len(digests))
        digests.append(population_digest(genomes[:n_left]))
        n_left -= len(genomes)
        if n_left > 0:
            search.tell(genomes, [share(space.decode(genome).to_json()) for genome in genomes])
    return digests


def check(run: Run) -> None:
    """The invariants of a run, whatever happened to it, as of one instant."""
    whole = connection.in_atomic_block
    with transaction.atomic():
        if not whole:
            connection.cursor().execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        run.refresh_from_db()
        _check_generations(run)
        _check_attempts(run)
        _check_events(run)
        if run.state in ENDED:
            open_ones = run.evaluations.filter(status__in=("pending", "leased"))
            assert not open_ones.exclude(split="probe").exists()


def _check_generations(run: Run) -> None:
    stood = list(run.generations.order_by("number").prefetch_related("candidates__evaluations"))
    assert [g.number for g in stood] == list(range(len(stood)))
    assert sum(g.closed is None for g in stood) <= 1
    for generation in stood:
        candidates = sorted(generation.candidates.all(), key=lambda c: c.index)
        assert [c.index for c in candidates] == list(range(len(candidates)))
        assert generation.population_digest == population_digest([tuple(c.genome or ()) for c in candidates])
        if generation is not stood[-1]:
            assert all(_search_status(generation, c.pk) in ("done", "failed", "dropped") for c in candidates)
    assert run.candidates.filter(kind="evolved").count() <= run.budget


def _search_status(generation: Generation, candidate: int) -> str:
    return Evaluation.objects.get(candidate=candidate, split="search").status


def _check_attempts(run: Run) -> None:
    accepted = Counter(
        Attempt.objects.filter(evaluation__run=run, outcome="accepted").values_list("evaluation_id", flat=True)
    )
    for evaluation in run.evaluations.all():
        assert accepted[evaluation.pk] == (evaluation.status == "done"), evaluation
        if evaluation.status == "done":
            token = Attempt.objects.get(evaluation=evaluation, outcome="accepted").token
            assert token == evaluation.lease_token
        assert evaluation.attempts <= claims.MAX_ATTEMPTS


def _check_events(run: Run) -> None:
    stood = list(run.events.order_by("seq").values_list("seq", "kind"))
    assert [seq for seq, _ in stood] == list(range(1, run.next_seq))
    n_done = run.evaluations.filter(status="done").count()
    assert sum(kind == "evaluation.done" for _, kind in stood) == n_done

"""A small world for the ledger: parents that nobody computes with, runs launched as people launch them, scores that are a
function of the recipe and deliberately tied, and the invariants that must hold at every instant.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from django.contrib.auth.models import User
from safetensors.numpy import save_file

from merging.benchmarks import BenchmarkSpec, QuestionFile
from merging.families import Layout, families
from merging.objectives import Objective
from merging.recipes import Parent
from merging.search import searches
from merging.spaces import population_digest
from merging.steady import ahead, n_asked
from tests.ledger.scores import score
from tests.ledger.shares import N_SAMPLES, share
from webapp.runs import actions, invariants
from webapp.runs.config import RunConfig
from webapp.runs.models import Run
from workers.ledger import claims, generations, results
from workers.ledger.claims import Claim
from workers.ledger.searches import Searches

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
    """The populations of the same run in one process: the oracle. All that it knows of the rows is which candidates failed; they count as
    the worst of their generation.
    """
    failed = set(
        run.evaluations.filter(split="search", status="failed", candidate__kind="evolved").values_list(
            "candidate__name", flat=True
        )
    )
    frozen = RunConfig.from_json(run.config)
    space = frozen.space()
    search = searches.get(frozen.search).start(space.axes, frozen.seed, frozen.population_size)
    n_told, n_ahead = search.population_size, ahead(search.population_size) if frozen.steady else 0
    digests, n_left, waiting = [], frozen.budget, []
    while n_left > 0:
        number = len(digests)
        genomes = search.ask(number, n_asked(n_told, n_ahead, number))
        digests.append(population_digest(genomes[:n_left]))
        n_left -= len(genomes)
        waiting += [(genome, f"g{number}.{index}" in failed) for index, genome in enumerate(genomes)]
        if n_left > 0:
            due, waiting = waiting[:n_told], waiting[n_told:]
            scores = [None if gone else share(space.decode(genome).to_json()) for genome, gone in due]
            worst = min(score for score in scores if score is not None)
            search.tell([genome for genome, _ in due], [worst if score is None else score for score in scores])
    return digests


def check(run: Run) -> None:
    """The invariants of the whole ledger, whatever happened to it, as of one instant. The run's row is read again."""
    found = invariants.deep_violations()
    assert not found, "\n".join(map(str, found))
    run.refresh_from_db()

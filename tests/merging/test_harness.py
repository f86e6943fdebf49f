"""Frozen tasks of the harness against the harness itself: its own `hf` model on the same checkpoints and documents.

Tasks and data are in `harness_tasks`.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers.processors import TemplateProcessing
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from merging.benchmarks.harness import HarnessBenchmark, freeze
from merging.benchmarks.sealed import new_key
from merging.errors import BenchmarkError, EvaluationError, UnknownNameError
from merging.harness import index
from tests.merging.models import tokenizer
from tests.merging.slow_tokens import SlowTokens

ROOT = Path(__file__).resolve().parents[2]
TASKS = Path(__file__).resolve().parent / "harness_tasks"
DEMO = ROOT / "merging" / "demo" / "pack" / "addition"
SEED = 7
KINDS = ["local_choices", "local_sums", "local_last_word", "local_prose", "local_blanks", "local_own_scores"]

Freeze = Callable[..., HarnessBenchmark]


def tiny_llama() -> SlowTokens:
    """Random tensors; a tokenizer that puts BOS before every text."""
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=259,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=96,
        initializer_range=0.3,
        bos_token_id=256,
        eos_token_id=257,
    )
    words = tokenizer()
    words.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", words.bos_token_id)]
    )
    return SlowTokens(LlamaForCausalLM(config).eval(), words)


def demo() -> SlowTokens:
    """Without the limit of new tokens in its folder, which the library would put before the task's."""
    model = AutoModelForCausalLM.from_pretrained(DEMO).eval()
    model.generation_config.max_new_tokens = None
    return SlowTokens(model, AutoTokenizer.from_pretrained(DEMO))


@pytest.fixture(scope="module", params=[tiny_llama, demo], ids=["tiny llama", "demo pack"])
def model(request: pytest.FixtureRequest) -> SlowTokens:
    return request.param()


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Of such small models, several threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", autouse=True)
def local_tasks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The harness's folder of tasks is ours, its data sets are cached in a folder of the test's, and nothing is fetched."""
    import datasets

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "tasks_folder", lambda: TASKS)
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("datasets"))
        patch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
        patch.chdir(ROOT)
        yield


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory, local_tasks: None) -> Path:
    folder = tmp_path_factory.mktemp("index")
    index.make_index(folder)
    return folder


@pytest.fixture
def frozen(cache: Path, tmp_path: Path) -> Freeze:
    """Freeze a local task in this process, and read it."""
    from merging.benchmarks.harness import folder_of
    from merging.harness import freezing

    def make(name: str, metric: str, key: str | None = None, seed: int = SEED, opened: bool = True) -> HarnessBenchmark:
        folder = tmp_path / f"{name}-{metric}-{seed}-{key is None}"
        if not folder.exists():
            freezing.freeze(index.read_index(cache).get(name), metric, folder, seed, key)
        return folder_of(folder).read(name, key if opened else None)

    return make


def by_the_harness(lm: Any, names: list[str], **choices: Any) -> dict[str, Any]:
    """The harness's own run."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    from merging.harness.scoring import undisturbed

    manager = TaskManager(include_path=str(TASKS), include_defaults=False)
    with undisturbed():
        found = simple_evaluate(
            lm, tasks=names, task_manager=manager, torch_random_seed=None, bootstrap_iters=0, **choices
        )
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def expected(model: SlowTokens) -> dict[str, Any]:
    """What the harness's own `hf` model makes of all local tasks."""
    from lm_eval.models.huggingface import HFLM

    tokens = HFLM(pretrained=model.model, tokenizer=model.tokenizer, batch_size=1, max_length=model.max_length)
    return by_the_harness(tokens, KINDS)


def test_metrics_and_responses_equal_the_harness_own_model(model: SlowTokens, expected: dict[str, Any]) -> None:
    from merging.harness.adaptor import EngineLM

    found = by_the_harness(EngineLM(model), KINDS)
    assert found["results"] == expected["results"]
    assert found["samples"] == expected["samples"]


FINAL = [
    ("local_choices", "acc,none"),
    ("local_choices", "acc_norm,none"),
    ("local_sums", "exact_match,strict-match"),
    ("local_sums", "exact_match,flexible-extract"),
    ("local_last_word", "acc,none"),
]


@pytest.mark.parametrize(("name", "metric"), FINAL)
def test_scores_of_a_frozen_task_equal_the_harness_own_model(
    name: str, metric: str, model: SlowTokens, frozen: Freeze, expected: dict[str, Any]
) -> None:
    benchmark = frozen(name, metric)
    samples = benchmark.take("final")
    outcomes = benchmark.ask(model, samples)
    measure, filter_name = metric.split(",")
    rows = {f"test:{row['doc_id']}": row for row in expected["samples"][name] if row["filter"] == filter_name}
    assert [o.id for o in outcomes] == [s.id for s in samples]
    assert {o.id: o.score for o in outcomes} == {o.id: float(rows[o.id][measure]) for o in outcomes}
    assert [benchmark.rendered(s) for s in samples] == [rows[s.id]["arguments"][0][0] for s in samples]
    assert all(o.error is None and o.prompt_hash == rows[o.id]["prompt_hash"][:16] for o in outcomes)
    if not benchmark.is_public_test:
        assert len(samples) == len(rows)

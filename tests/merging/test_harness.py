"""Frozen tasks of the harness against the harness itself: its own `hf` model on the same checkpoints and documents.

Tasks and data are in `harness_tasks`.
"""

from __future__ import annotations

import json
import math
import random
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers.processors import TemplateProcessing
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from merging.benchmarks.harness import HarnessBenchmark, freeze
from merging.benchmarks.sealed import new_key
from merging.engines import Completion, Likelihood
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
    """In float32, because the harness sums the log-probabilities of a bfloat16 model in bfloat16 and we do not; and
    without the limit of new tokens in its folder, which the library would put before the task's."""
    model = AutoModelForCausalLM.from_pretrained(DEMO, dtype=torch.float32).eval()
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


@pytest.fixture(scope="module")
def frozen(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Freeze:
    """Freeze a local task in this process, once, and read it."""
    from merging.benchmarks.harness import folder_of
    from merging.harness import freezing

    root = tmp_path_factory.mktemp("frozen")

    def make(name: str, metric: str, key: str | None = None, seed: int = SEED, opened: bool = True) -> HarnessBenchmark:
        folder = root / f"{name} {metric} {seed} {key}"
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


@pytest.mark.parametrize("name", ["local_choices", "local_sums"])
def test_exported_results_equal_those_the_harness_writes(
    name: str, model: SlowTokens, frozen: Freeze, expected: dict[str, Any], tmp_path: Path
) -> None:
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.result_schema import EvalResults, SampleResult
    from pydantic import TypeAdapter

    from merging.harness.results import write_results

    benchmark = frozen(name, {"local_choices": "acc,none", "local_sums": "exact_match,strict-match"}[name])
    outcomes = benchmark.ask(model, benchmark.take("final"))
    paths = write_results(
        benchmark, outcomes, "org/winner", {"method": "ties"}, tmp_path / "ours", began=1.5, seconds=2.0
    )
    tracker = EvaluationTracker(output_path=str(tmp_path / "theirs"))
    tracker.general_config_tracker.log_experiment_args("hf", "pretrained=org/winner", None, None, False)
    samples = {name: json.loads(json.dumps(expected["samples"][name], default=str))}
    tracker.save_results_aggregated({key: expected[key] for key in expected if key != "samples"}, samples)
    tracker.save_results_samples(name, samples[name])
    ours, theirs = [sorted((tmp_path / who / "org__winner").iterdir()) for who in ("ours", "theirs")]
    assert paths == ours and [path.name.split("_2")[0] for path in ours] == ["results", f"samples_{name}"]
    mine, other = json.loads(ours[0].read_text()), json.loads(theirs[0].read_text())
    mine_of, other_of = mine.pop("configs")[name], other.pop("configs")[name]  # its own break its declared type
    assert mine_of.pop("metadata")["version"] == other_of.pop("metadata")["version"]
    assert mine_of == other_of
    TypeAdapter(EvalResults).validate_python(mine)
    assert mine["results"][name].keys() == other["results"][name].keys()
    assert {key: value for key, value in mine["results"][name].items() if "_stderr" not in key} == {
        key: value for key, value in other["results"][name].items() if "_stderr" not in key
    }  # where the harness's run made no standard errors
    for part in ("versions", "n-shot", "higher_is_better", "n-samples"):
        assert mine[part][name] == other[part][name]
    assert mine["task_hashes"].keys() == {name}
    assert (mine["date"], mine["config"]["model_args"]) == (1.5, {"pretrained": "org/winner", "method": "ties"})
    lines = [[json.loads(line) for line in path[1].read_text().splitlines()] for path in (ours, theirs)]
    assert lines[0] == lines[1]
    for line in lines[0]:
        TypeAdapter(SampleResult).validate_python(line)


def ids(benchmark: HarnessBenchmark) -> dict[str, list[str]]:
    return {split: [sample.id for sample in samples] for split, samples in benchmark.samples.items()}


def test_search_and_validation_come_from_splits_of_their_own(frozen: Freeze) -> None:
    benchmark = frozen("local_choices", "acc,none")
    sources = {split: {id.partition(":")[0] for id in found} for split, found in ids(benchmark).items()}
    assert sources == {"search": {"train"}, "validation": {"validation"}, "final": {"test"}}
    assert not benchmark.is_public_test and benchmark.has_binary_scores and not benchmark.language_gate
    assert benchmark.scorer == "acc,none@1.0/lm-eval-0.4.13"


def test_a_document_of_two_splits_is_left_out_of_the_later(frozen: Freeze) -> None:
    benchmark = frozen("local_choices", "acc,none")
    questions = [(s.question, s.choices) for found in benchmark.samples.values() for s in found]
    assert benchmark.task.n_left_out == 1 and len(set(questions)) == len(questions)


def test_one_other_split_is_shared_by_search_and_validation(frozen: Freeze) -> None:
    found = ids(frozen("local_sums", "exact_match,strict-match"))
    assert [len(found[split]) for split in ("search", "validation", "final")] == [24, 12, 10]
    assert {id.partition(":")[0] for id in found["search"] + found["validation"]} == {"train"}


def test_a_test_set_alone_is_dealt_and_called_public(frozen: Freeze) -> None:
    benchmark = frozen("local_last_word", "acc,none")
    assert benchmark.is_public_test
    assert sorted(id for found in ids(benchmark).values() for id in found) == sorted(f"test:{i}" for i in range(12))


def test_the_seed_deals(frozen: Freeze) -> None:
    name, metric = "local_last_word", "acc,none"
    assert ids(frozen(name, metric, seed=1)) != ids(frozen(name, metric, seed=2))
    assert frozen(name, metric, seed=1).digest != frozen(name, metric, seed=2).digest


def test_no_sample_is_among_its_own_shots(frozen: Freeze) -> None:
    benchmark = frozen("local_choices", "acc,none")
    for sample in benchmark.take("search"):
        assert benchmark.rendered(sample).count(sample.question) == 1


def test_shots_of_a_test_set_alone_never_show_the_search_what_the_final_exam_asks(frozen: Freeze) -> None:
    benchmark = frozen("local_blanks", "acc,none")
    docs = {split: [benchmark.records[s.id].doc for s in found] for split, found in benchmark.samples.items()}
    for split in ("search", "validation"):
        for sample in benchmark.take(split):
            shot = benchmark.rendered(sample).split("\n\n")[0]
            shown = [doc for doc in docs["search"] if doc["sentence"].split("_")[0] in shot]
            assert len(shown) == 1 and shown != [benchmark.records[sample.id].doc]


def test_a_sealed_final_split_opens_with_its_key_alone(frozen: Freeze) -> None:
    key = new_key()
    sealed = frozen("local_sums", "exact_match,strict-match", key=key, opened=False)
    assert set(sealed.samples) == {"search", "validation"}
    with pytest.raises(BenchmarkError, match="final split of local_sums is sealed here"):
        sealed.take("final")
    opened = frozen("local_sums", "exact_match,strict-match", key=key)
    assert opened.digest == sealed.digest and len(opened.take("final")) == 10


def test_another_key_and_a_changed_file_are_refused(cache: Path, tmp_path: Path) -> None:
    from merging.benchmarks.harness import folder_of
    from merging.harness import freezing

    path = tmp_path / "frozen"
    freezing.freeze(index.read_index(cache).get("local_last_word"), "acc,none", path, SEED, new_key())
    with pytest.raises(BenchmarkError, match="does not open with this key"):
        folder_of(path).read("mine", new_key())
    (path / "search.jsonl").write_text("")
    with pytest.raises(BenchmarkError, match=r"the search split in .* is not what was frozen"):
        folder_of(path).read("mine")


@pytest.mark.parametrize(
    ("name", "metric", "reason"),
    [
        ("local_unsafe", "exact_match,none", "runs code that the model writes"),
        ("local_remote", "exact_match,none", "trust_remote_code"),
        ("local_pictures", "exact_match,none", "shows pictures"),
        ("local_sampling", "exact_match,none", "samples its completions"),
        ("local_made", "exact_match,none", "makes its data set by a program"),
        ("local_fetched", "meteor,none", "a program that would be fetched from the Hub"),
        ("local_prose", "bits_per_byte,none", "bits_per_byte,none is not a mean over samples"),
        ("local_group", "acc,none", "is a group of 2 tasks: choose among them.*: local_choices, local_sums"),
        ("local_tag", "acc,none", "is a tag of 2 tasks"),
        ("local_choices", "acc", "has no metric 'acc'; expected one of acc,none, acc_norm,none"),
        ("local_last_word", "perplexity,none", "is not a mean over samples but perplexity.*acc,none"),
        ("local_own_scores", "percent,none", "percent of one sample is .*expected a number from 0 to 1"),
        ("local_own_scores", "bleu,none", "is not a mean over samples but bleu of all of them"),
    ],
)
def test_what_cannot_be_a_score_is_refused_by_name(name: str, metric: str, reason: str, frozen: Freeze) -> None:
    with pytest.raises(BenchmarkError, match=reason):
        frozen(name, metric)


def test_files_of_a_user_are_no_tasks(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="no task of the harness named"):
        freeze(str(TASKS / "choices.yaml"), "acc,none", tmp_path / "frozen", cache=cache, seed=1)


def test_a_metric_that_is_better_when_lower_is_turned_round(model: SlowTokens, frozen: Freeze) -> None:
    share, distance = (frozen("local_own_scores", f"{name},none") for name in ("share", "distance"))
    samples = share.take("search")
    found = [benchmark.ask(model, samples) for benchmark in (share, distance)]
    assert not share.has_binary_scores
    for one, other in zip(*found, strict=True):
        assert one.error or one.score + other.score == pytest.approx(1)


class Parrot(SlowTokens):
    """Completes with these texts, one after the other."""

    def __init__(self, texts: Iterable[str]) -> None:
        super().__init__(demo().model, tokenizer())
        self.max_length = 4096
        self._texts = iter(texts)

    def complete_tokens(self, rows: Any, *args: Any, **kwargs: Any) -> list[Completion]:
        return [Completion(next(self._texts), 1, True) for _ in rows]


def test_a_sample_that_makes_the_scoring_fail_scores_0_and_the_others_count(frozen: Freeze) -> None:
    benchmark = frozen("local_own_scores", "share,none")
    outcomes = benchmark.ask(Parrot(["abc", "!", "abc"]), benchmark.take("search")[:3])
    assert [outcome.score for outcome in outcomes] == [0.3, 0, 0.3]
    assert [outcome.error for outcome in outcomes] == [
        None,
        "RuntimeError: this function cannot read an exclamation mark",
        None,
    ]


class Broken(SlowTokens):
    """Finds every text as likely as this number."""

    def __init__(self, log_probability: float) -> None:
        super().__init__(demo().model, demo().tokenizer)
        self._log_probability = log_probability

    def likelihoods_of_tokens(self, rows: Any, *args: Any, **kwargs: Any) -> list[Likelihood]:
        return [Likelihood(self._log_probability, 1, False) for _ in rows]


@pytest.mark.parametrize("log_probability", [math.nan, -math.inf])
def test_a_model_whose_likelihoods_are_no_numbers_scores_nothing(log_probability: float, frozen: Freeze) -> None:
    for benchmark in (frozen("local_choices", "acc,none"), frozen("local_last_word", "acc,none")):
        outcomes = benchmark.ask(Broken(log_probability), benchmark.take("search"))
        assert {(o.score, o.right, o.extracted) for o in outcomes} == {(0.0, False, None)}
        assert all(o.error and "likelihoods" in o.error for o in outcomes)


def test_asking_leaves_global_random_generators_as_they_were(model: SlowTokens, frozen: Freeze) -> None:
    benchmark = frozen("local_sums", "exact_match,strict-match")
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    benchmark.ask(model, benchmark.take("search", 2))
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before[:2]
    assert torch.equal(torch.get_rng_state(), before[2])


def test_a_prompt_does_not_depend_on_what_else_is_asked(model: SlowTokens, frozen: Freeze) -> None:
    benchmark = frozen("local_choices", "acc,none")
    samples = benchmark.take("final")
    assert [o.completion for o in benchmark.ask(model, samples[3:1:-1])] == [
        o.completion for o in benchmark.ask(model, samples[:4])[:1:-1]
    ]


def test_a_completion_longer_than_the_positions_is_refused(frozen: Freeze, model: SlowTokens) -> None:
    from lm_eval.api.instance import Instance

    from merging.harness.adaptor import EngineLM

    asked = Instance("generate_until", {}, ("x", {"until": ["\n"], "max_gen_toks": 4096}), 0)
    with pytest.raises(EvaluationError, match=r"4096 new tokens and the model has \d+ positions"):
        EngineLM(model).generate_until([asked])
    sampled = Instance("generate_until", {}, ("x", {"do_sample": True, "temperature": 1.0}), 0)
    with pytest.raises(EvaluationError, match="samples its completions"):
        EngineLM(model).generate_until([sampled])


def test_another_version_of_the_harness_is_refused(frozen: Freeze, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark = frozen("local_sums", "exact_match,strict-match")
    monkeypatch.setattr(index, "harness_version", lambda: "0.5")
    with pytest.raises(BenchmarkError, match=r"frozen with lm-eval 0\.4\.13 and this machine has 0\.5"):
        benchmark.ask(demo(), benchmark.take("search"))


def test_the_index_is_made_once_and_read_without_the_harness(cache: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom merging.harness import index\n"
        f"assert 'local_sums' in index.read_index(Path({str(cache)!r})).entries\n"
        "import merging.benchmarks.harness\n"
        "assert not {'lm_eval', 'datasets', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    with pytest.raises(BenchmarkError, match="has not been made yet"):
        index.read_index(tmp_path)


@pytest.fixture
def real_tasks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache with an index of two tasks of the harness itself."""
    import lm_eval

    folder = Path(str(lm_eval.__file__)).parent / "tasks"
    monkeypatch.setattr(index, "tasks_folder", lambda: folder)
    rows = [
        ["gsm8k", "task", "gsm8k/gsm8k.yaml", ["exact_match,strict-match"], [], ""],
        ["mgsm_direct_ja", "task", "mgsm/direct/mgsm_direct_ja.yaml", ["exact_match,flexible-extract"], [], ""],
    ]
    (tmp_path / f"lm-eval-{index.harness_version()}.json").write_text(json.dumps(rows))
    return tmp_path


def gsm8k_like(n: int, start: int) -> Any:
    from datasets import Dataset

    numbers = range(start, start + n)
    return Dataset.from_list(
        [
            {"question": f"{i} and 2?", "answer": f"It is {i + 2}.\n#### {i + 2}", "answer_number": i + 2}
            for i in numbers
        ]
    )


@pytest.mark.parametrize(
    ("name", "metric", "n_train", "says", "public"),
    [
        ("gsm8k", "exact_match,strict-match", 60, "Sum: 12\n#### {}", False),
        ("mgsm_direct_ja", "exact_match,flexible-extract", 8, "答えは {} です", True),
    ],
)
def test_gsm8k_and_mgsm_are_frozen_by_their_names_from_documents_like_theirs(
    name: str,
    metric: str,
    n_train: int,
    says: str,
    public: bool,
    real_tasks: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import io

    import datasets

    from merging.benchmarks.harness import folder_of
    from merging.harness import freezing

    splits = {"train": gsm8k_like(n_train, 100), "test": gsm8k_like(8, 10)}
    monkeypatch.setattr(datasets, "load_dataset", lambda **kwargs: splits)
    asked = {
        "name": name,
        "metric": metric,
        "cache": str(real_tasks),
        "folder": str(tmp_path / "f"),
        "seed": 1,
        "key": None,
    }
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(asked)))
    freezing.main()
    benchmark = folder_of(tmp_path / "f").read("mine")
    samples = benchmark.take("final")
    parrot = Parrot(says.format(benchmark.records[sample.id].doc["answer_number"]) for sample in samples)
    assert benchmark.is_public_test == public
    assert [o.score for o in benchmark.ask(parrot, samples)] == [1.0] * len(samples)
    assert benchmark.rendered(samples[0]).count("Answer:") == (6 if name == "gsm8k" else 1)


@pytest.mark.slow
def test_results_are_written_in_a_process_of_their_own(
    real_tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    from merging.benchmarks.harness import export_results, folder_of
    from merging.harness import freezing

    splits = {"train": gsm8k_like(60, 100), "test": gsm8k_like(8, 10)}
    monkeypatch.setattr(datasets, "load_dataset", lambda **kwargs: splits)
    key = new_key()
    entry = index.read_index(real_tasks).get("gsm8k")
    freezing.freeze(entry, "exact_match,strict-match", tmp_path / "frozen", SEED, key)
    folder = folder_of(tmp_path / "frozen")
    benchmark = folder.read("mine", key)
    outcomes = benchmark.ask(Parrot(["#### 12", "I do not know"]), benchmark.take("final", 2))
    found = export_results(folder, key, outcomes, "run 3/winner", {"method": "ties"}, began=1.0, seconds=2.0)
    [results, samples] = found
    assert results.startswith("results_") and samples.startswith("samples_gsm8k_")
    assert json.loads(found[results])["n-samples"] == {"gsm8k": {"original": 8, "effective": 2}}
    with pytest.raises(BenchmarkError, match=r"cannot be written: sample test:.* is not in what can be read"):
        export_results(folder, None, outcomes, "winner", {}, began=1.0, seconds=2.0)


@pytest.mark.slow
def test_data_that_cannot_be_had_is_a_plain_error(
    real_tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "empty"))
    with pytest.raises(BenchmarkError, match=r"gsm8k cannot be frozen: .* not in this machine's cache"):
        freeze("gsm8k", "exact_match,strict-match", tmp_path / "frozen", cache=real_tasks, seed=1)
    assert not (tmp_path / "frozen").exists()


def test_a_folder_that_exists_is_refused(real_tasks: Path) -> None:
    with pytest.raises(BenchmarkError, match="exists already"):
        freeze("gsm8k", "exact_match,strict-match", real_tasks, cache=real_tasks, seed=1)


def test_freezing_is_stopped_after_its_time(real_tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(BenchmarkError, match="was not fetched and frozen in 0 s"):
        freeze("gsm8k", "exact_match,strict-match", tmp_path / "frozen", cache=real_tasks, seed=1, seconds=0.01)


def test_a_hub_that_does_not_answer_counts_as_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    from merging.benchmarks import harness

    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(harness, "HUB_SECONDS", 0.1)
        for name in harness.OFFLINE:
            monkeypatch.delenv(name, raising=False)
        assert harness._is_offline()
    monkeypatch.setenv("HF_ENDPOINT", "hub.example")
    assert harness._is_offline()


@pytest.mark.parametrize(("name", "metric"), FINAL)
def test_the_transformers_engine_scores_as_the_harness_own_model(
    name: str, metric: str, model: SlowTokens, frozen: Freeze, expected: dict[str, Any]
) -> None:
    """Scores and texts are the same; log-probabilities up to the order of float additions, of some hundred terms."""
    from merging.engines.transformers import TransformersEngine
    from merging.harness.asking import responses_of

    benchmark = frozen(name, metric)
    outcomes = benchmark.ask(TransformersEngine(model.model, model.tokenizer), benchmark.take("final"))
    measure, filter_name = metric.split(",")
    rows = {f"test:{row['doc_id']}": row for row in expected["samples"][name] if row["filter"] == filter_name}
    assert [o.score for o in outcomes] == [rows[o.id][measure] for o in outcomes]
    for outcome in outcomes:
        found = responses_of(benchmark.task, outcome.completion)
        for response, [theirs] in zip(found, rows[outcome.id]["resps"], strict=True):
            if isinstance(response, str):
                assert response == theirs
            else:
                assert response == (pytest.approx(theirs[0], abs=1e-4), theirs[1])


def test_progress_counts_what_is_asked(model: SlowTokens, frozen: Freeze) -> None:
    benchmark = frozen("local_sums", "exact_match,strict-match")
    told: list[tuple[int, int]] = []
    benchmark.ask(model, benchmark.take("search", 3), lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]

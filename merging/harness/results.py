"""What a model scored on a frozen task, in the files that the harness itself would have written.

From what is stored alone: the responses are filtered and scored again by the harness's own functions, under all of its
filters and metrics, and written by its own tracker. Imports the harness: run it outside the web process.
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from lm_eval.api.instance import Instance
from lm_eval.defaults import DEFAULT_OTHER_SEED, DEFAULT_RANDOM_SEED
from lm_eval.evaluator_utils import _process_results
from lm_eval.loggers import EvaluationTracker
from lm_eval.utils import handle_non_serializable, hash_string, sanitize_model_name

from merging.benchmarks.harness import HarnessBenchmark, HarnessFolder
from merging.errors import BenchmarkError
from merging.harness import asking, scoring
from merging.harness.frozen import Frozen
from merging.outcomes import SampleOutcome

SOURCE: Final = "progeny"
N_BOOTSTRAPS: Final = 1000
"""For standard errors of metrics over all samples; the harness's own 100,000 take minutes."""


def write_results(
    benchmark: HarnessBenchmark,
    outcomes: Sequence[SampleOutcome],
    model: str,
    settings: Mapping[str, Any],
    folder: Path,
    *,
    began: float,
    seconds: float,
) -> list[Path]:
    """Write `results_<time>.json` and `samples_<task>_<time>.jsonl` into a folder named after the model; returns both.

    `outcomes` are of samples of one split. `settings` say what the model is (parents, method, search), as JSON; `began`
    is when the evaluation did, in seconds of Unix time, and `seconds` how long it took. BenchmarkError for outcomes
    that are not of this benchmark.
    """
    with scoring.undisturbed():
        results = _results(benchmark, outcomes)
    rows = results.pop("samples")
    results["config"] = {
        "model": SOURCE,
        "model_args": {"pretrained": model, **settings},
        "batch_size": None,
        "batch_sizes": [],
        "device": None,
        "use_cache": None,
        "limit": None,
        "bootstrap_iters": N_BOOTSTRAPS,
        "gen_kwargs": None,
        "random_seed": DEFAULT_RANDOM_SEED,
        "numpy_seed": DEFAULT_OTHER_SEED,
        "torch_seed": DEFAULT_OTHER_SEED,
        "fewshot_seed": DEFAULT_OTHER_SEED,
    }
    results |= {"git_hash": "", "date": began, "lm_eval_version": benchmark.task.lm_eval}
    tracker = EvaluationTracker(output_path=str(folder))
    config = tracker.general_config_tracker
    config.model_source, config.model_name, config.model_name_sanitized = SOURCE, model, sanitize_model_name(model)
    config.fewshot_as_multiturn = False
    config.start_time = time.perf_counter() - seconds
    tracker.save_results_aggregated(results, rows)
    for task_name, of_task in rows.items():
        tracker.save_results_samples(task_name, of_task)
    return _written(folder / config.model_name_sanitized)


def _results(benchmark: HarnessBenchmark, outcomes: Sequence[SampleOutcome]) -> dict[str, Any]:
    """`EvalResults` of the harness's `evaluate`, samples included."""
    if unknown := [outcome.id for outcome in outcomes if outcome.id not in benchmark.records]:
        raise BenchmarkError(
            f"sample {unknown[0]} is not in what can be read of {benchmark.name}; open its splits first"
        )
    task = benchmark.task
    pairs = sorted(((_doc_id(one.id), benchmark.records[one.id], one) for one in outcomes), key=lambda pair: pair[0])
    ours = scoring.task_of(task, pairs[0][1])
    split = pairs[0][2].id.rpartition(":")[0]
    rows, values = [], defaultdict(list)
    for filter_name in [ensemble.name for ensemble in ours._filters]:
        for doc_id, record, outcome in pairs:
            instances = scoring.instances_of(ours, record, doc_id)
            for instance, response in zip(instances, asking.responses_of(task, outcome.completion), strict=True):
                instance.resps.append(response)
            verdict = scoring.judge(ours, instances, filter_name)
            metrics = verdict.metrics or {task.metric.split(",")[0]: 0.0 if task.higher_is_better else 1.0}
            rows.append(_row(ours, doc_id, record, instances, filter_name, verdict) | dict(metrics))
            for name, value in metrics.items():
                values[name, filter_name].append(value)
    made = _process_results(
        {task.task: {"task": ours, "raw_metrics": values, "logged_samples": rows}}, {}, N_BOOTSTRAPS
    )
    results: dict[str, Any] = made._to_eval_results(samples=made.samples)
    results["n-samples"][task.task]["original"] = task.n_docs[split]
    results["configs"][task.task]["test_split"] = split  # where these documents are, whichever of our splits was asked
    return results


def _row(
    ours: scoring.FrozenTask,
    doc_id: int,
    record: Frozen,
    instances: Sequence[Instance],
    filter_name: str,
    verdict: scoring.Verdict,
) -> dict[str, Any]:
    """One document under one filter, as the harness's `evaluate` logs it."""
    target = ours.doc_to_target(record.doc)
    text = json.dumps(record.doc, indent=2, default=handle_non_serializable, ensure_ascii=False)
    return {
        "doc_id": doc_id,
        "doc": record.doc,
        "target": target,
        "arguments": [instance.args for instance in instances],
        "resps": [instance.resps for instance in instances],
        "filtered_resps": list(verdict.filtered),
        "filter": filter_name,
        "metrics": list(verdict.metrics),
        "doc_hash": hash_string(text),
        "prompt_hash": hash_string(instances[0].args[0]),
        "target_hash": hash_string(str(target)),
    }


def _doc_id(sample_id: str) -> int:
    return int(sample_id.rpartition(":")[2])


def _written(folder: Path) -> list[Path]:
    """The tracker's two newest files; it logs what goes wrong and says nothing."""
    found = [
        max(folder.glob(pattern), default=None, key=lambda path: path.name) for pattern in ("results_*", "samples_*")
    ]
    written = [path for path in found if path is not None]
    if len(written) < len(found):
        raise BenchmarkError(f"the harness wrote no results in {folder}; expected results_*.json and samples_*.jsonl")
    return written


def main() -> None:
    """Write what standard input says, in JSON; errors are left to the interpreter, whose last line names them."""
    asked = json.load(sys.stdin)
    benchmark = HarnessFolder.from_json(asked["folder"]).read(asked["model"], asked["key"])
    write_results(
        benchmark,
        [SampleOutcome.from_json(outcome) for outcome in asked["outcomes"]],
        asked["model"],
        asked["settings"],
        Path(asked["to"]),
        began=asked["began"],
        seconds=asked["seconds"],
    )


if __name__ == "__main__":
    main()

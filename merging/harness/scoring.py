"""Frozen documents through the harness's own filters and metrics.

What a task's functions do to Python's and numpy's global random generators is undone.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks._yaml_loader import load_yaml

from merging.errors import BenchmarkError
from merging.harness import frozen, index
from merging.harness.frozen import Frozen

STRUCTURAL: Final = ("tag", "group", "task_list")
"""Fields of a task's file that are no configuration of the task; the harness drops them too."""
INVALID: Final = "[invalid]"
"""What the harness's filters return where they find no answer."""


class Docs(list[Mapping[str, Any]]):
    """Documents with the names of their columns, which is all that the harness asks of a data set."""

    def __init__(self, docs: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
        super().__init__(docs)
        self.features = dict.fromkeys(columns)


class FrozenTask(ConfigurableTask):  # type: ignore[misc]  # the harness has no types
    """A task of the harness whose documents are given: it fetches nothing, and prompts come with its documents."""

    def __init__(self, config: dict[str, Any], docs: Docs) -> None:
        self._docs = docs
        super().__init__(config=config)

    def download(self, *args: object, **kwargs: object) -> None:
        self.dataset = None

    def fewshot_docs(self) -> None:
        """None: shots are in the frozen prompts."""

    @property
    def eval_docs(self) -> Docs:
        return self._docs


@dataclass(frozen=True)
class Verdict:
    """What the harness made of one document's responses: the filtered ones, and its metrics by name. `error`: why not."""

    filtered: tuple[Any, ...]
    metrics: Mapping[str, Any]
    error: str | None


@contextmanager
def undisturbed() -> Iterator[None]:
    """Global random generators are afterwards as they were."""
    of_python, of_numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)


def config_of(path: str) -> dict[str, Any]:
    """A task's configuration as the harness reads it from its own folder, functions resolved."""
    file = index.tasks_folder() / path
    config: dict[str, Any] = deepcopy(load_yaml(file, resolve_func=True))
    for field in STRUCTURAL:
        config.pop(field, None)
    found = config.get("metadata") or {}
    config["metadata"] = {**(found if isinstance(found, dict) else {"_metadata": found}), "config_source": path}
    return config


def task_of(task: frozen.Task, first: Frozen) -> FrozenTask:
    """The harness's task, ready to score; `first` is any document of it. BenchmarkError for another harness than it was
    frozen with. Kept in memory."""
    if task.lm_eval != (here := index.harness_version()):
        raise BenchmarkError(
            f"{task.task} was frozen with lm-eval {task.lm_eval} and this machine has {here}, whose metrics may differ: "
            "add the benchmark again"
        )
    found = _task(task.path, json.dumps(first.doc), task.columns)
    found.multiple_target, found.multiple_input = task.multiple_target, task.multiple_input
    return found


@lru_cache(maxsize=8)
def _task(path: str, doc: str, columns: tuple[str, ...]) -> FrozenTask:
    config = config_of(path)
    config["num_fewshot"] = config.get("num_fewshot") or 0
    return FrozenTask(config, Docs([json.loads(doc)], columns))


def instances_of(task: FrozenTask, found: Frozen, doc_id: int = 0) -> list[Instance]:
    """What the harness asks about a document, from its frozen prompts."""
    metadata = (task.config.task, doc_id, 1)
    return [
        Instance(request_type=kind, doc=found.doc, arguments=arguments, idx=i, metadata=metadata)
        for i, (kind, arguments) in enumerate(_requests(task, found))
    ]


def judge(task: FrozenTask, instances: Sequence[Instance], filter_name: str) -> Verdict:
    """Filter the responses of one document's instances and compute its metrics.

    A task's functions come from many hands and fail on odd texts in every way; whatever they raise is this document's
    error, for every model alike.
    """
    try:
        ensemble = next(one for one in task._filters if one.name == filter_name)
        ensemble.apply(instances)
        filtered = [instance.filtered_resps[filter_name] for instance in instances]
        return Verdict(tuple(filtered), task.process_results(instances[0].doc, filtered), None)
    except Exception as error:  # see above
        return Verdict((), {}, f"{type(error).__name__}: {error}")


def score_of(verdict: Verdict, metric: str, higher_is_better: bool) -> float:
    """The metric of a document in [0, 1], higher being better. BenchmarkError when it is no such number."""
    if metric not in verdict.metrics:
        raise BenchmarkError(
            f"{metric} is not computed for every sample; found {', '.join(verdict.metrics) or 'nothing'}"
        )
    value = verdict.metrics[metric]
    if not isinstance(value, bool | int | float | np.number | np.bool_) or not math.isfinite(value):
        raise BenchmarkError(
            f"{metric} of one sample is {str(value)[:80]}; expected a number: it is made over all samples"
        )
    if not 0 <= value <= 1:
        raise BenchmarkError(f"{metric} of one sample is {float(value)}; expected a number from 0 to 1")
    return float(value) if higher_is_better else 1 - float(value)


def _requests(task: FrozenTask, found: Frozen) -> Iterator[tuple[str, tuple[Any, ...]]]:
    if task.OUTPUT_TYPE == "generate_until":
        yield "generate_until", (found.contexts[0], deepcopy(task.config.generation_kwargs))
    elif task.OUTPUT_TYPE == "loglikelihood_rolling":
        yield "loglikelihood_rolling", (found.contexts[0],)
    else:
        for number, text in found.continuations:
            yield "loglikelihood", (found.contexts[number], text)

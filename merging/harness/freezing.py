"""Fetch a task's data set once and freeze it: prompts, documents and splits, as the harness makes them.

Runs in a process of its own, started by `merging.benchmarks.harness.freeze`: the harness, its data sets and its tasks'
own programs take seconds to import, seed and warn as they like, and may have to be stopped.

Prompts are those of the harness in a run over a whole split with its default seeds, so that a sample's prompt does not
depend on which others are asked.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from lm_eval.api.task import ConfigurableTask
from lm_eval.defaults import DEFAULT_OTHER_SEED, DEFAULT_RANDOM_SEED

from merging.benchmarks.samples import SPLITS, Sample, Split, normalised
from merging.errors import BenchmarkError
from merging.harness import frozen, index, scoring
from merging.harness.frozen import Frozen, Task
from merging.harness.scoring import Docs

MAX_SAMPLES: Final[Mapping[Split, int]] = {"search": 2000, "validation": 1000, "final": 10_000}
"""Frozen of larger data sets, drawn by the seed."""
MIN_DOCS: Final = 30
"""Of a split that samples are taken from; a smaller one holds shots, as the 8 documents of MGSM's training split do."""
TUNED_ON: Final[tuple[Split, ...]] = ("search", "validation")
N_TRIED: Final = 8
"""Documents that a metric is tried on."""
ALWAYS_BINARY: Final = index.MEANS


class OpenTask(ConfigurableTask):  # type: ignore[misc]  # the harness has no types
    """A task of the harness with its data set, which can be made to ask other documents than its test set."""

    asked: Docs | None = None

    @property
    def eval_docs(self) -> Any:
        return super().eval_docs if self.asked is None else self.asked


@dataclass(frozen=True)
class Source:
    """Documents of one of the data set's splits that one of ours is taken from: places in it, in the order of our split."""

    split: str
    places: tuple[int, ...]


def freeze(entry: index.Entry, metric: str, folder: Path, seed: int, key: str | None) -> None:
    """Write the frozen folder of a task; with a key, its final split is sealed.

    BenchmarkError for a metric that cannot be a score, and for data that cannot be frozen.
    """
    config = scoring.config_of(entry.path)
    _check_metric(entry.name, metric, config)
    with scoring.undisturbed():
        random.seed(DEFAULT_RANDOM_SEED)
        np.random.seed(DEFAULT_OTHER_SEED)
        task = OpenTask(config=config)
        task.set_config("num_fewshot", task.config.num_fewshot or 0)
        frozen.write(folder, *_frozen(entry, metric, task, seed), key)


def _frozen(entry: index.Entry, metric: str, task: OpenTask, seed: int) -> tuple[Task, dict[Split, list[Frozen]]]:
    final_name = task.config.test_split or task.config.validation_split
    docs = {name: _docs(task, name) for name in _splits(task)}
    keys = {name: [_key(task, doc) for doc in found] for name, found in docs.items()}
    sources, n_left_out = _deal(final_name, keys, seed)
    shots = task.fewshot_cfg.split or _shots_split(task)
    samples: dict[Split, list[Frozen]] = {
        "final": _prompted(task, sources["final"], docs[final_name], range(len(docs[final_name])))
    }
    for split in TUNED_ON:
        source = sources[split]
        if source.split == shots == final_name:  # shots must not show what the final exam asks
            task.sampler.replace_df([docs[final_name][place] for place in sources["search"].places])
        # so that no document is among its own shots
        task.fewshot_cfg.split, task.config.test_split = shots, source.split
        whole = range(len(docs[final_name])) if source.split == final_name else source.places
        samples[split] = _prompted(task, source, docs[source.split], whole)
    first = docs[final_name][0]
    name = metric.split(",")[0]
    made = Task(
        task=entry.name,
        path=entry.path,
        metric=metric,
        lm_eval=index.harness_version(),
        version=str(task.VERSION),
        output_type=str(task.OUTPUT_TYPE),
        higher_is_better=task.higher_is_better().get(name) is not False,
        has_binary_scores=name in ALWAYS_BINARY and task.config.process_results is None,
        is_public_test=sources["search"].split == final_name,
        seed=seed,
        n_shots=task.config.num_fewshot,
        sources={split: source.split for split, source in sources.items()},
        n_docs={name: len(found) for name, found in docs.items()},
        n_left_out=n_left_out,
        columns=tuple(docs[final_name].features),
        multiple_target=int(task.multiple_target),
        multiple_input=int(task.multiple_input),
    )
    _try(made, scoring.FrozenTask(scoring.config_of(entry.path), Docs([first], made.columns)), samples["search"])
    return made, samples


def _splits(task: OpenTask) -> list[str]:
    """The data set's splits that the task names, each once."""
    named = (task.config.training_split, task.config.validation_split, task.config.test_split)
    return list(dict.fromkeys(name for name in named if name is not None))


def _shots_split(task: OpenTask) -> str | None:
    """Where the harness takes shots from when the task does not say; None for shots that the task brings along."""
    if task.fewshot_cfg.samples is not None:
        return None
    named = (task.config.training_split, task.config.validation_split, task.config.test_split)
    return next((name for name in named if name is not None), None)


def _docs(task: OpenTask, split: str) -> Docs:
    """All documents of a split, as the task reads them."""
    found = task.dataset[split]
    if task.config.process_docs is not None:
        found = task.config.process_docs(found)
    return Docs([_plain(doc, f"document {i} of {split}") for i, doc in enumerate(found)], list(found.features))


def _plain(doc: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """The document; BenchmarkError when it would not come back from a file as it is."""
    try:
        text = json.dumps(doc, ensure_ascii=False)
        text.encode()
    except (TypeError, ValueError) as error:
        raise BenchmarkError(f"{where} holds what cannot be frozen: {error}; expected texts and numbers") from error
    if json.loads(text) != doc:
        raise BenchmarkError(f"{where} does not come back from JSON as it is; expected texts and numbers")
    return doc


def _deal(final_name: str, keys: Mapping[str, Sequence[str]], seed: int) -> tuple[dict[Split, Source], int]:
    """Which documents make our splits, and how many were left out because another split asks the same.

    The harness's own evaluation documents are the final split. Search and validation come from the other splits of at
    least `MIN_DOCS` documents: from one each, or two thirds and one third of the only one. Without others, all three
    share the evaluation documents: half, a quarter, a quarter.
    """
    orders = {name: _order(found, seed) for name, found in keys.items()}
    others = [name for name in keys if name != final_name and len(keys[name]) >= MIN_DOCS]
    if others:
        lists, n_left_out = _unique([(name, orders[name]) for name in others], keys, set(keys[final_name]))
        if len(lists) == 1:
            third = max(1, len(lists[0]) // 3)
            lists = [lists[0][:-third], lists[0][-third:]]
        search, validation = zip((others[0], others[-1]), lists, strict=True)
        parts: list[tuple[str, list[int]]] = [search, validation, (final_name, orders[final_name])]
    else:
        [places], n_left_out = _unique([(final_name, orders[final_name])], keys, set())
        quarter = max(1, len(places) // 4)
        ends = (len(places) - 2 * quarter, len(places) - quarter)
        cuts = (places[: ends[0]], places[ends[0] : ends[1]], places[ends[1] :])
        parts = [(final_name, cut) for cut in cuts]
    sources = {
        split: Source(name, tuple(places[: MAX_SAMPLES[split]]))
        for split, (name, places) in zip(SPLITS, parts, strict=True)
    }
    for split, source in sources.items():
        if not source.places:
            raise BenchmarkError(
                f"the data set leaves no samples for the {split} split; expected at least one for each"
            )
    return sources, n_left_out


def _order(keys: Sequence[str], seed: int) -> list[int]:
    """Places in an order that only the seed and the questions decide."""
    return sorted(range(len(keys)), key=lambda i: (hashlib.sha256(f"{seed}/{keys[i]}".encode()).digest(), i))


def _unique(
    lists: Iterable[tuple[str, Sequence[int]]], keys: Mapping[str, Sequence[str]], taken: set[str]
) -> tuple[list[list[int]], int]:
    """The places of each list that ask what nothing before them and nothing in `taken` asks, and the number of others."""
    found, n_left_out = [], 0
    for name, places in lists:
        kept = []
        for place in places:
            if keys[name][place] not in taken:
                taken.add(keys[name][place])
                kept.append(place)
        found.append(kept)
        n_left_out += len(places) - len(kept)
    return found, n_left_out


def _key(task: OpenTask, doc: Mapping[str, Any]) -> str:
    question, _, choices = _asked(task, doc)
    return normalised("\n".join([question, *choices]))


def _asked(task: OpenTask, doc: Mapping[str, Any]) -> tuple[str, str, tuple[str, ...]]:
    """Question, right answer and choices, for people. Where the text depends on the choice, the question is what follows."""
    choices = tuple(map(str, task.doc_to_choice(doc))) if task.config.doc_to_choice is not None else ()
    text, target = task.doc_to_text(doc), task.doc_to_target(doc)
    if task.multiple_input and isinstance(text, int):
        return str(target), choices[text], choices
    return str(text) or str(target), _answer(target, choices), choices


def _answer(target: Any, choices: Sequence[str]) -> str:
    if isinstance(target, list):
        return " | ".join(_answer(one, choices) for one in target)
    is_place = isinstance(target, int) and 0 <= target < len(choices)
    return choices[target] if is_place else str(target)


def _prompted(task: OpenTask, source: Source, docs: Docs, asked: Sequence[int]) -> list[Frozen]:
    """The source's samples with the prompts that the harness makes when it asks the documents `asked`, in that order."""
    task.asked = Docs([docs[place] for place in asked], list(docs.features))
    task.set_fewshot_seed(DEFAULT_OTHER_SEED)
    task.build_all_requests()
    arguments: dict[int, list[tuple[Any, ...]]] = {}
    for instance in task.instances:
        arguments.setdefault(asked[instance.doc_id], []).append(instance.args)
    return [_one(task, f"{source.split}:{place}", docs[place], arguments[place]) for place in source.places]


def _one(task: OpenTask, id: str, doc: Mapping[str, Any], arguments: Sequence[tuple[Any, ...]]) -> Frozen:
    contexts = list(dict.fromkeys(one[0] for one in arguments))
    is_weighed = task.OUTPUT_TYPE in ("multiple_choice", "loglikelihood")
    continuations = [(contexts.index(one[0]), str(one[1])) for one in arguments] if is_weighed else []
    question, answer, choices = _asked(task, doc)
    return Frozen(Sample(id, question, answer, None, choices), doc, tuple(contexts), tuple(continuations))


def _check_metric(name: str, metric: str, config: Mapping[str, Any]) -> None:
    refusals = index.metric_refusals(config)
    usable = [key for key, reason in refusals.items() if not reason]
    if metric not in refusals:
        raise BenchmarkError(f"{name} has no metric {metric!r}; expected one of {', '.join(usable)}")
    if refusals[metric]:
        raise BenchmarkError(
            f"{metric} of {name} {refusals[metric]}; a score needs one number from 0 to 1 for each sample: "
            f"{', '.join(usable) or 'this task has none'}"
        )


def _try(made: Task, task: scoring.FrozenTask, samples: Sequence[Frozen]) -> None:
    """BenchmarkError when the metric, on made-up answers to a few samples, is never computed or is no number in [0, 1]."""
    task.multiple_target, task.multiple_input = made.multiple_target, made.multiple_input
    name, filter_name = made.metric.split(",")
    errors = []
    for found in samples[:N_TRIED]:
        for answer in _made_up(made.output_type, found):
            instances = scoring.instances_of(task, found)
            for i, instance in enumerate(instances):
                instance.resps.append(answer(i))
            verdict = scoring.judge(task, instances, filter_name)
            if verdict.error is None:
                scoring.score_of(verdict, name, made.higher_is_better)
            errors.append(verdict.error)
    if all(errors):
        raise BenchmarkError(f"{made.metric} of {made.task} could not be computed for made-up answers: {errors[0]}")


def _made_up(output_type: str, found: Frozen) -> list[Callable[[int], Any]]:
    """Responses to a document's requests by their number: some right, some wrong."""
    if output_type == "generate_until":
        return [lambda _: found.sample.answer, lambda _: "no"]
    if output_type == "loglikelihood_rolling":
        return [lambda _: -1.0]
    return [lambda i: (-1.0 - i, i == 0), lambda i: (-9.0 + i, False)]


def main() -> None:
    """Freeze what standard input says, in JSON; errors are left to the interpreter, whose last line names them."""
    asked = json.load(sys.stdin)
    entry = index.read_index(Path(asked["cache"])).get(asked["name"])
    freeze(entry, asked["metric"], Path(asked["folder"]), asked["seed"], asked["key"])


if __name__ == "__main__":
    main()

"""Which tasks of the harness may be benchmarks, under which metrics, and why the others may not.

The harness has some 15,000 files: they are read once, by `make_index`, into one file that `read_index` reads in
milliseconds. Only names of this list can be frozen, so no file of a user's is ever taken for a task.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal

from merging.errors import BenchmarkError, UnknownNameError

Kind = Literal["task", "group", "tag"]
N_SHOWN: Final = 60
"""Members of a group that its refusal lists."""
DEFAULT_METRICS: Final[Mapping[str, tuple[str, ...]]] = {
    "loglikelihood": ("perplexity", "acc"),
    "loglikelihood_rolling": ("word_perplexity", "byte_perplexity", "bits_per_byte"),
    "multiple_choice": ("acc", "acc_norm"),
    "generate_until": ("exact_match",),
}
MEANS: Final = frozenset({"acc", "acc_norm", "acc_bytes", "acc_mutual_info", "exact_match"})
"""Metrics that the harness averages over samples where a task does not say how."""
CORPUS_METRICS: Final = frozenset(
    {"bleu", "chrf", "chrf++", "ter", "f1", "mcc", "perplexity", "brier_score", "likelihood"}
)
"""Metrics that, in the harness's own versions, are no numbers of single samples."""


@dataclass(frozen=True)
class Entry:
    """A name of the harness.

    `path` is a task's file below the harness's folder of tasks. `metrics` are the keys (`exact_match,strict-match`) that
    can be a score. `members` are what a group or tag stands for. `reason` says why a task cannot be a benchmark, "" if it
    can.
    """

    name: str
    kind: Kind
    path: str = ""
    metrics: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    reason: str = ""

    @property
    def refusal(self) -> str:
        """Why this cannot be a benchmark, to be read after its name; "" if it can."""
        if self.kind == "task":
            return self.reason
        n_more = len(self.members) - N_SHOWN
        shown = ", ".join(self.members[:N_SHOWN]) + (f" and {n_more} more" if n_more > 0 else "")
        return f"is a {self.kind} of {len(self.members)} tasks: choose among them, each a benchmark with its weight: {shown}"


@dataclass(frozen=True)
class Index:
    """Everything that this version of the harness knows by name."""

    lm_eval: str
    entries: Mapping[str, Entry]

    def get(self, name: str) -> Entry:
        """The task of this name; UnknownNameError for a name that the harness does not know, and BenchmarkError with the
        reason for one that cannot be a benchmark."""
        if name not in self.entries:
            raise UnknownNameError("task of the harness", name[:200], self._near(name))
        entry = self.entries[name]
        if refusal := entry.refusal:
            raise BenchmarkError(f"{name} {refusal}")
        return entry

    def _near(self, name: str) -> list[str]:
        """Names that begin alike: the harness has too many to list."""
        return [known for known in self.entries if known[:3] == name[:3]][:N_SHOWN] or sorted(self.entries)[:10]


def tasks_folder() -> Path:
    """Where the installed harness keeps its tasks. Found without importing it."""
    spec = find_spec("lm_eval")
    if spec is None or spec.origin is None:
        raise BenchmarkError("lm-evaluation-harness is not installed here; expected the package lm-eval")
    return Path(spec.origin).parent / "tasks"


def harness_version() -> str:
    """The version of the installed harness."""
    return version("lm_eval")


def read_index(cache: Path) -> Index:
    """The index in a folder; BenchmarkError when none has been made for the installed version."""
    path = _path(cache)
    try:
        return _read(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise BenchmarkError(
            f"the list of the harness's tasks has not been made yet for lm-eval {harness_version()}: a worker makes it "
            "when it starts, which takes a minute"
        ) from error


def make_index(cache: Path) -> Index:
    """Read all tasks of the harness and write the index into a folder: about half a minute, most of it imports."""
    from lm_eval.tasks import TaskManager

    root = tasks_folder()
    manager = TaskManager(include_path=str(root), include_defaults=False)
    known = manager.task_index
    entries = {name: _entry(name, known, root) for name in sorted(known)}
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=cache, suffix=".part", delete=False) as file:
        json.dump([astuple(entry) for entry in entries.values()], file, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    os.replace(file.name, _path(cache))
    return Index(harness_version(), entries)


def metric_refusals(config: Mapping[str, Any]) -> dict[str, str]:
    """Every key that a task's configuration leads to, with the reason why it cannot be a score, "" where it can.

    Whether values stay in [0, 1] is only known by trying; `freezing` does.
    """
    output_type = config.get("output_type", "generate_until")
    listed = config.get("metric_list") or [{"metric": name} for name in DEFAULT_METRICS.get(output_type, ())]
    has_own = config.get("process_results") is not None
    filters = [one["name"] for one in config.get("filter_list") or [{"name": "none"}]]
    refusals = {_name(metric["metric"]): _metric_refusal(metric, has_own, output_type) for metric in listed}
    return {f"{name},{one}": reason for name, reason in refusals.items() for one in filters}


def _metric_refusal(metric: Mapping[str, Any], has_own: bool, output_type: str) -> str:
    """`has_own`: the task computes its metrics itself, and the list only says how to aggregate them."""
    name, aggregation = _name(metric["metric"]), metric.get("aggregation")
    is_function = callable(metric["metric"]) or "/" in str(metric["metric"])
    if aggregation is None and name not in MEANS:
        return "is not a mean over samples"
    if aggregation not in (None, "mean"):
        return f"is not a mean over samples but {_name(aggregation)} of all of them"
    is_fetched = bool(metric.get("hf_evaluate"))
    if has_own or (is_function and not is_fetched):
        return ""
    if is_fetched or name not in MEANS | CORPUS_METRICS:
        return "is computed by a program that would be fetched from the Hub"
    if name in CORPUS_METRICS or (output_type == "generate_until" and name != "exact_match"):
        return "is no number of a single sample"
    return ""


def _entry(name: str, known: Mapping[str, Any], root: Path) -> Entry:
    found = known[name]
    kind = found.kind.name
    if kind == "TAG":
        return Entry(name, "tag", members=tuple(sorted(found.tags)))
    config = found.cfg or {}
    if kind == "GROUP":
        return Entry(name, "group", members=tuple(dict.fromkeys(_members(config.get("task"), known))))
    refusals = metric_refusals(config) if kind == "TASK" else {}
    return Entry(
        name=name,
        kind="task",
        path=str(found.yaml_path.resolve().relative_to(root.resolve())),
        metrics=tuple(key for key, reason in refusals.items() if not reason),
        reason="is written as a program, not as a configuration" if kind == "PY_TASK" else _refusal(config, refusals),
    )


def _members(listed: object, known: Mapping[str, Any]) -> Iterator[str]:
    """Names of the tasks below a group."""
    for item in listed if isinstance(listed, list) else [listed]:
        name: Any = item.get("task", item.get("group")) if isinstance(item, Mapping) else item
        if isinstance(name, list):
            yield from _members(name, known)
        elif name in known and known[name].kind.name == "GROUP":
            yield from _members((known[name].cfg or {}).get("task"), known)
        elif name in known and known[name].kind.name == "TAG":
            yield from sorted(known[name].tags)
        elif isinstance(name, str):
            yield name


def _refusal(config: Mapping[str, Any], metrics: Mapping[str, str]) -> str:
    generation = config.get("generation_kwargs") or {}
    reasons = {
        "runs code that the model writes": config.get("unsafe_code"),
        "needs a program from its data set's repository (trust_remote_code)": (config.get("dataset_kwargs") or {}).get(
            "trust_remote_code"
        ),
        "makes its data set by a program": config.get("custom_dataset"),
        "shows pictures or plays sounds": config.get("doc_to_image") or config.get("doc_to_audio"),
        "samples its completions; every engine here is greedy": generation.get("do_sample"),
        "asks every sample several times": config.get("repeats", 1) != 1,
        "takes its prompt from another package": config.get("use_prompt"),
        "names no data set": not config.get("dataset_path"),
    }
    found = [reason for reason, applies in reasons.items() if applies]
    if not found and all(metrics.values()):
        found = [f"has no metric that can be a score: {refusals_in_words(metrics.items())}"]
    return " and ".join(found)


def refusals_in_words(refusals: Iterable[tuple[str, str]]) -> str:
    """`bleu,none is not ...; chrf,none is not ...`."""
    return "; ".join(f"{key} {reason}" for key, reason in refusals if reason)


def _name(metric: object) -> str:
    """The name by which the harness stores a metric: of a function, which the index has by its path, its own name."""
    name = str(getattr(metric, "__name__", metric))
    return name.rpartition("/")[2].rpartition(".")[2] if "/" in name else name


def _path(cache: Path) -> Path:
    return cache / f"lm-eval-{harness_version()}.json"


@lru_cache(maxsize=2)
def _read(path: Path, mtime_ns: int) -> Index:
    try:
        rows = json.loads(path.read_text())
        entries = [
            Entry(name, kind, at, tuple(metrics), tuple(members), why) for name, kind, at, metrics, members, why in rows
        ]
    except (ValueError, TypeError) as error:
        raise BenchmarkError(f"{path.name} is damaged: {error}; remove it, and a worker makes it again") from error
    return Index(harness_version(), {entry.name: entry for entry in entries})

"""Benchmarks that are tasks of lm-evaluation-harness: its own prompts, filters and metrics, with our engines underneath.

A task is frozen once, by name, in a process of its own; after that everything works from its folder, without a network.
Importing this file imports nothing of the harness; `ask` does.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from merging import plain
from merging.benchmarks import samples as every_benchmark
from merging.benchmarks.samples import Sample, Split
from merging.engines import Progress, TextModel
from merging.errors import AccessError, BenchmarkError
from merging.harness import frozen, index
from merging.outcomes import SampleOutcome

if TYPE_CHECKING:
    from merging.engines import TokenModel

    Completed = subprocess.CompletedProcess[str]

FREEZE_SECONDS: Final = 1800.0
"""What fetching and freezing one task may take."""
EXPORT_SECONDS: Final = 300.0
HUB_SECONDS: Final = 10.0
"""How long the Hub may take to answer at all; after that only data sets that are on this machine are tried."""
HUB: Final = "https://huggingface.co"
OFFLINE: Final = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
OWN: Final = "merging.errors.BenchmarkError: "
NO_ACCESS: Final = "datasets.exceptions.DatasetNotFoundError: "
TRUE: Final = frozenset({"1", "ON", "YES", "TRUE"})


@dataclass(frozen=True)
class HarnessBenchmark:
    """A `Benchmark` over a frozen task of the harness.

    `scorer` is the metric and filter with the versions of task and harness. `is_public_test`: the search split, too, is
    made of the data set's test documents. `records` are what the harness asks about each sample, by the sample's id.
    Prompts are asked as they are frozen, without a chat template.
    """

    name: str
    task: frozen.Task
    digest: str
    samples: Mapping[Split, tuple[Sample, ...]]
    records: Mapping[str, frozen.Frozen] = field(repr=False)

    @property
    def title(self) -> str:
        return f"{self.task.task}, {self.task.metric}"

    @property
    def scorer(self) -> str:
        return self.task.scorer

    @property
    def language_gate(self) -> bool:
        return False

    @property
    def has_binary_scores(self) -> bool:
        return self.task.has_binary_scores

    @property
    def is_public_test(self) -> bool:
        return self.task.is_public_test

    def take(self, split: Split, n: int | None = None) -> tuple[Sample, ...]:
        return every_benchmark.take(self, split, n)

    def rendered(self, sample: Sample) -> str:
        """The prompt; where every choice has its own, the first."""
        return self.records[sample.id].contexts[0]

    def prompts(self, model: TextModel, samples: Sequence[Sample]) -> list[str]:
        return [self.rendered(sample) for sample in samples]

    def ask(self, model: TextModel, samples: Sequence[Sample], progress: Progress | None = None) -> list[SampleOutcome]:
        """See `Benchmark`; the model has to be a `TokenModel`. Imports the harness, which takes seconds, once."""
        from merging.harness.asking import ask

        records = [self.records[sample.id] for sample in samples]
        return ask(self.task, records, cast("TokenModel", model), progress)


@dataclass(frozen=True)
class HarnessFolder:
    """The absolute `path` of a frozen task, and how many samples its final split has."""

    path: str
    n_final: int

    def read(self, name: str, key: str | None = None) -> HarnessBenchmark:
        """The benchmark; a sealed final split is only there with its key. BenchmarkError when a file is missing or
        damaged, or for another key."""
        task, sums, splits = frozen.read(Path(self.path), key)
        return HarnessBenchmark(
            name=name,
            task=task,
            digest=frozen.digest(task, sums),
            samples={split: tuple(one.sample for one in found) for split, found in splits.items()},
            records={one.sample.id: one for found in splits.values() for one in found},
        )

    def to_json(self) -> dict[str, object]:
        """Plain JSON types, the opposite of `from_json`."""
        return asdict(self)

    @staticmethod
    def from_json(value: object) -> HarnessFolder:
        """The folder that `to_json` wrote; BenchmarkError names what is missing, unknown or wrong."""
        found = plain.fields(value, tuple(HarnessFolder.__dataclass_fields__), "the frozen task", BenchmarkError)
        return HarnessFolder(
            path=plain.text(found["path"], "path", BenchmarkError),
            n_final=plain.integer(found["n_final"], "n_final", BenchmarkError),
        )


def folder_of(path: Path) -> HarnessFolder:
    """The frozen task in a folder; nothing has to be opened for that."""
    _, sums, _ = frozen.read(path, None)
    return HarnessFolder(str(path), sums["final"].n)


def freeze(
    name: str,
    metric: str,
    path: Path,
    *,
    cache: Path,
    seed: int,
    key: str | None = None,
    seconds: float = FREEZE_SECONDS,
    environment: Mapping[str, str] | None = None,
) -> HarnessFolder:
    """Fetch a task's data set and freeze it under a metric (`exact_match,strict-match`) in the folder `path`.

    `cache` holds the index of tasks (`merging.harness.index.make_index`). With a key, the final split is sealed.
    Blocks for as long as that takes, and is stopped after `seconds`. When the environment says offline, or the Hub does
    not answer in `HUB_SECONDS`, only data sets in this machine's cache are tried. `environment` is added for that process
    alone: `HF_TOKEN` and `HF_HOME` of somebody who has access.

    AccessError when the Hub has no such data set for us, UnknownNameError for a name that is not the harness's own, and
    BenchmarkError for a task or metric that cannot be a benchmark, for data that cannot be had, and for a folder that
    exists.
    """
    index.read_index(cache).get(name)
    if path.exists():
        raise BenchmarkError(f"{path} exists already; expected a new folder for the frozen task {name}")
    places = {"folder": str(path.absolute()), "cache": str(cache.absolute())}
    asked = {"name": name, "metric": metric, "seed": seed, "key": key, **places}
    is_offline = _is_offline()
    try:
        done = _apart("freezing", asked, seconds, {**_environment(is_offline), **(environment or {})})
    except subprocess.TimeoutExpired as error:
        raise BenchmarkError(f"{name} was not fetched and frozen in {seconds:.0f} s; try again later") from error
    if done.returncode != 0:
        errors = done.stderr.strip() or done.stdout
        kind = AccessError if NO_ACCESS in errors.rpartition("\n")[2] else BenchmarkError
        raise kind(_reason(name, errors, is_offline))
    return folder_of(path)


def export_results(
    folder: HarnessFolder,
    key: str | None,
    outcomes: Sequence[SampleOutcome],
    model: str,
    settings: Mapping[str, object],
    *,
    began: float,
    seconds: float,
) -> dict[str, bytes]:
    """What a model scored, as the harness writes it: `results_<time>.json` and `samples_<task>_<time>.jsonl`, by name.

    See `merging.harness.results.write_results`, which this calls in a process of its own: about ten seconds.
    """
    with tempfile.TemporaryDirectory() as to:
        asked = {
            "folder": folder.to_json(),
            "key": key,
            "outcomes": [outcome.to_json() for outcome in outcomes],
            "model": model,
            "settings": dict(settings),
            "began": began,
            "seconds": seconds,
            "to": to,
        }
        try:
            done = _apart("results", asked, EXPORT_SECONDS, _environment(is_offline=True))
        except subprocess.TimeoutExpired as error:
            raise BenchmarkError(f"the results of {model} were not written in {EXPORT_SECONDS:.0f} s") from error
        if done.returncode != 0:
            raise BenchmarkError(f"the results of {model} cannot be written: {_last(done.stderr)}")
        return {file.name: file.read_bytes() for file in sorted(Path(to).glob("*/*"))}


def _apart(module: str, asked: Mapping[str, object], seconds: float, environment: dict[str, str]) -> Completed:
    """Run a program of `merging.harness` with what is asked in its standard input, where nobody can read keys.

    It begins in an empty folder: Python would import from where we are, and a data set's name may be that of a folder there.
    """
    command = [sys.executable, "-m", f"merging.harness.{module}"]
    with tempfile.TemporaryDirectory() as empty:
        return subprocess.run(
            command,
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            timeout=seconds,
            env=environment,
            cwd=empty,
            check=False,
        )


def _is_offline() -> bool:
    """Whether the Hub is not to be asked, or does not answer."""
    if any(os.environ.get(name, "").upper() in TRUE for name in OFFLINE):
        return True
    try:
        request = urllib.request.Request(os.environ.get("HF_ENDPOINT", HUB), method="HEAD")
        urllib.request.urlopen(request, timeout=HUB_SECONDS).close()  # nosec B310  # the operator's address
    except urllib.error.HTTPError:
        return False  # it answers, if only to say no to this question
    except (OSError, ValueError, http.client.HTTPException):  # nobody there, no address, or no web server
        return True
    return False


def _environment(is_offline: bool) -> dict[str, str]:
    """Of the process that freezes. Metrics that would be fetched from the Hub as programs are never fetched."""
    package_root = str(Path(__file__).resolve().parents[2])
    paths = [package_root, *filter(None, [os.environ.get("PYTHONPATH")])]
    offline = dict.fromkeys(OFFLINE, "1") if is_offline else {}
    return {
        **os.environ,
        **offline,
        "PYTHONPATH": os.pathsep.join(paths),
        "HF_EVALUATE_OFFLINE": "1",
        "HF_HUB_DOWNLOAD_TIMEOUT": "30",
        "TQDM_DISABLE": "1",
    }


def _reason(name: str, errors: str, is_offline: bool) -> str:
    """What the process said last, which is what it ended with."""
    last = _last(errors)
    if is_offline and last.startswith("ConnectionError"):
        last += (
            ". The Hub cannot be reached from here or is switched off, and the data set is not in this machine's cache"
        )
    return last if errors.rstrip().rpartition("\n")[2].startswith(OWN) else f"{name} cannot be frozen: {last}"


def _last(errors: str) -> str:
    """The last line of a traceback, which names the error; of our own errors the sentence."""
    line = errors.rstrip().rpartition("\n")[2] or "the process ended without a word"
    return line.removeprefix(OWN)

"""A task of the harness, frozen in a folder: its samples by split, each with what the harness asks a model about it.

    task.json                         which task, metric and harness; how many samples of which data set
    search.jsonl  validation.jsonl    one sample a line: the harness's document and its prompts
    final.jsonl or final.sealed       the same; sealed, it opens with a key that is not there

Nothing here imports the harness: a page can list and show samples without it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from merging import plain
from merging.benchmarks.samples import SPLITS, Sample, Split
from merging.errors import BenchmarkError
from merging.folders import complete_or_absent

TASK: Final = "task.json"
SEALED: Final = "final.sealed"


@dataclass(frozen=True)
class Frozen:
    """A document of the harness, as a sample and as the harness asks it.

    `contexts` are the prompts; `continuations` are what is weighed, each as its context's number and its text, none for
    a completion. `doc` is the harness's own record.
    """

    sample: Sample
    doc: Mapping[str, Any]
    contexts: tuple[str, ...]
    continuations: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Task:
    """Which task of the harness was frozen, and what of it cannot be told from its samples.

    `path` is its file below the harness's tasks and `lm_eval` the harness's version. `sources` names the data set's
    split behind each of ours, `n_docs` how many documents it has. `columns` are a document's. `n_left_out` samples of
    search and validation were in another split too.
    """

    task: str
    path: str
    metric: str
    lm_eval: str
    version: str
    output_type: str
    higher_is_better: bool
    has_binary_scores: bool
    is_public_test: bool
    seed: int
    n_shots: int
    sources: Mapping[Split, str]
    n_docs: Mapping[str, int]
    n_left_out: int
    columns: tuple[str, ...]
    multiple_target: int
    multiple_input: int

    @property
    def scorer(self) -> str:
        """Metric and filter, with the versions of task and harness: `exact_match,strict-match@3.0/lm-eval-0.4.13`."""
        return f"{self.metric}@{self.version}/lm-eval-{self.lm_eval}"


@dataclass(frozen=True)
class SplitSums:
    """How many samples a split has, and sha256 of its lines, opened."""

    n: int
    sha256: str


def write(folder: Path, task: Task, samples: Mapping[Split, Sequence[Frozen]], key: str | None) -> None:
    """Write the folder, complete or absent; with a key, its final split is sealed."""
    contents = {split: _lines(samples[split]) for split in SPLITS}
    sums = {split: asdict(_sums(samples[split], contents[split])) for split in SPLITS}
    with complete_or_absent(folder) as partial:
        for split in SPLITS:
            if split == "final" and key is not None:
                from cryptography.fernet import Fernet

                (partial / SEALED).write_bytes(Fernet(key).encrypt(contents[split]))
            else:
                (partial / f"{split}.jsonl").write_bytes(contents[split])
        (partial / TASK).write_text(plain.canonical({"task": asdict(task), "splits": sums}))


def read(folder: Path, key: str | None) -> tuple[Task, Mapping[Split, SplitSums], dict[Split, tuple[Frozen, ...]]]:
    """The task, what is known of every split, and the splits that can be read: a sealed one only with its key.

    BenchmarkError when a file is missing, damaged or does not open.
    """
    task, sums = _head(_content(folder / TASK))
    opened: dict[Split, tuple[Frozen, ...]] = {}
    for split in SPLITS:
        content = _split_content(folder, split, key)
        if content is not None:
            if hashlib.sha256(content).hexdigest() != sums[split].sha256:
                raise BenchmarkError(f"the {split} split in {folder} is not what was frozen: add the benchmark again")
            opened[split] = tuple(_frozen(line) for line in content.decode().split("\n")[:-1])
    return task, sums, opened


def digest(task: Task, sums: Mapping[Split, SplitSums]) -> str:
    """`sha256:...` of everything that a score depends on, sealed splits included."""
    return plain.digest([_plain_task(task), {split: sums[split].sha256 for split in SPLITS}])


def _split_content(folder: Path, split: Split, key: str | None) -> bytes | None:
    sealed = folder / SEALED
    if split != "final" or not sealed.exists():
        return _content(folder / f"{split}.jsonl")
    if key is None:
        return None
    from cryptography.fernet import Fernet, InvalidToken

    try:
        return Fernet(key).decrypt(_content(sealed))
    except (InvalidToken, ValueError) as error:
        raise BenchmarkError(
            f"the final split in {folder} does not open with this key: file or key is another's"
        ) from error


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BenchmarkError(
            f"{path.name} cannot be read in {path.parent}: {error.strerror}. Put the folder back from a copy, or add the "
            "benchmark again"
        ) from error


def _sums(samples: Sequence[Frozen], content: bytes) -> SplitSums:
    return SplitSums(len(samples), hashlib.sha256(content).hexdigest())


def _lines(samples: Sequence[Frozen]) -> bytes:
    return "".join(_line(sample) + "\n" for sample in samples).encode()


def _line(found: Frozen) -> str:
    """The document keeps the order of its fields, which the harness's hash of it depends on."""
    value = asdict(found.sample) | {
        "doc": found.doc,
        "contexts": found.contexts,
        "continuations": found.continuations,
    }
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _frozen(line: str) -> Frozen:
    found = json.loads(line)
    sample = Sample(found["id"], found["question"], found["answer"], found["language"], tuple(found["choices"]))
    continuations = tuple((number, text) for number, text in found["continuations"])
    return Frozen(sample, found["doc"], tuple(found["contexts"]), continuations)


def _plain_task(task: Task) -> dict[str, Any]:
    return asdict(task) | {"columns": list(task.columns)}


def _head(content: bytes) -> tuple[Task, dict[Split, SplitSums]]:
    """What `write` wrote. Its fields were checked then, and the digest tells whether they are the same."""
    try:
        found = json.loads(content)
        task = Task(**{**found["task"], "columns": tuple(found["task"]["columns"])})
        return task, {split: SplitSums(**found["splits"][split]) for split in SPLITS}
    except (ValueError, KeyError, TypeError) as error:
        raise BenchmarkError(f"{TASK} of a frozen task is damaged: {error}; add the benchmark again") from error

"""What names a benchmark in a run's frozen configuration: where its samples are, and the digest of all that a score depends on.

A worker is given this with every request. What opens a sealed final split is not in it: see `BenchmarkSpec.load`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from merging import plain
from merging.benchmarks.builtin import benchmarks
from merging.benchmarks.harness import HarnessFolder
from merging.benchmarks.question_files import N_NEW_TOKENS, PROMPT, read_questions
from merging.benchmarks.questions import Questions
from merging.benchmarks.samples import SPLITS, Benchmark, Split
from merging.benchmarks.sealed import SealedFolder
from merging.errors import BenchmarkError

Kind = Literal["builtin", "file", "sealed", "harness"]


@dataclass(frozen=True)
class QuestionFile:
    """A file of questions and how it is asked; see `read_questions`."""

    path: str
    scorer: str
    seed: int
    language: str | None = None
    prompt: str = PROMPT
    stop: tuple[str, ...] = ()
    max_new_tokens: int = N_NEW_TOKENS
    pattern: str = ""
    as_chat: bool = False

    def read(self, name: str) -> Questions:
        return read_questions(
            self.path,
            name=name,
            scorer=self.scorer,
            seed=self.seed,
            language=self.language,
            prompt=self.prompt,
            stop=self.stop,
            max_new_tokens=self.max_new_tokens,
            pattern=self.pattern,
            as_chat=self.as_chat,
        )


@dataclass(frozen=True)
class BenchmarkSpec:
    """The benchmark `name` with these very samples: from a `sealed` folder, a task of the `harness`, a `file`, or, for
    None, built in.

    The first two keep their final split from who reads them without a key. A built-in benchmark is code that anybody can run, and
    a file lies there in plain text: their final splits are public by nature, and only the code that grants requests
    withholds them.
    """

    name: str
    digest: str
    file: QuestionFile | None = None
    sealed: SealedFolder | None = None
    harness: HarnessFolder | None = None

    @staticmethod
    def of_builtin(name: str) -> BenchmarkSpec:
        """The built-in benchmark as it is now; UnknownNameError for another name."""
        return BenchmarkSpec(name, benchmarks.get(name).load().digest)

    @staticmethod
    def of_file(name: str, file: QuestionFile) -> BenchmarkSpec:
        """The file as it is now; BenchmarkError for one that cannot be used."""
        if not Path(file.path).is_absolute():
            raise BenchmarkError(f"the file of {name} is {file.path!r}; expected an absolute path")
        return BenchmarkSpec(name, file.read(name).digest, file)

    @property
    def kind(self) -> Kind:
        """Where the samples come from."""
        return "sealed" if self.sealed else "harness" if self.harness else "file" if self.file else "builtin"

    def load(self, key: str | None = None) -> Benchmark:
        """The benchmark; a sealed one has its final split only with its `key`, and refuses to `take` from it without.

        BenchmarkError when its samples are not those of the digest any more. Kept in memory when no key is needed.
        """
        return _load(self) if key is None or self._folder is None else _read(self, key)

    def sizes(self, loaded: Benchmark | None = None) -> Mapping[Split, int]:
        """How many samples every split holds, of what `load` returns; nothing has to be opened for that."""
        found, n_sealed = (loaded or self.load()).samples, self._folder.n_final if self._folder else 0
        return {split: len(found[split]) if split in found else n_sealed for split in SPLITS}

    @property
    def _folder(self) -> SealedFolder | HarnessFolder | None:
        return self.sealed or self.harness

    def to_json(self) -> dict[str, object]:
        """Plain JSON types, the opposite of `from_json`."""
        file = None if self.file is None else asdict(self.file) | {"stop": list(self.file.stop)}
        folders = {"sealed": self.sealed, "harness": self.harness}
        sealed = {kind: folder.to_json() for kind, folder in folders.items() if folder}
        return {"name": self.name, "digest": self.digest, "file": file, **sealed}

    @staticmethod
    def from_json(value: object) -> BenchmarkSpec:
        """The spec that `to_json` wrote; BenchmarkError names what is missing, unknown or wrong."""
        found = plain.mapping(value, "the benchmark", BenchmarkError)
        names = ("name", "digest", "file", *(kind for kind in ("sealed", "harness") if kind in found))
        found = plain.fields(found, names, "the benchmark", BenchmarkError)
        return BenchmarkSpec(
            name=plain.text(found["name"], "name of the benchmark", BenchmarkError),
            digest=plain.text(found["digest"], "digest of the benchmark", BenchmarkError),
            file=None if found["file"] is None else _file(found["file"]),
            sealed=SealedFolder.from_json(found["sealed"]) if "sealed" in found else None,
            harness=HarnessFolder.from_json(found["harness"]) if "harness" in found else None,
        )


@lru_cache(maxsize=8)
def _load(spec: BenchmarkSpec) -> Benchmark:
    return _read(spec, None)


def _read(spec: BenchmarkSpec, key: str | None) -> Benchmark:
    benchmark: Benchmark
    if folder := spec.sealed or spec.harness:
        benchmark = folder.read(spec.name, key)
    elif spec.file:
        benchmark = spec.file.read(spec.name)
    else:
        benchmark = benchmarks.get(spec.name).load()
    if benchmark.digest != spec.digest:
        raise BenchmarkError(
            f"the samples of {spec.name}, or how they are scored, have changed since it was chosen: "
            "add it again under another name"
        )
    return benchmark


def _file(value: object) -> QuestionFile:
    """A file as `to_json` wrote it; the last two fields are younger than some runs."""
    younger: dict[str, object] = {"pattern": "", "as_chat": False}
    given = younger | dict(plain.mapping(value, "the benchmark's file", BenchmarkError))
    found = plain.fields(given, tuple(QuestionFile.__dataclass_fields__), "the benchmark's file", BenchmarkError)
    return QuestionFile(
        path=plain.text(found["path"], "path", BenchmarkError),
        scorer=plain.text(found["scorer"], "scorer", BenchmarkError),
        seed=plain.integer(found["seed"], "seed", BenchmarkError),
        language=plain.optional_text(found["language"], "language", BenchmarkError),
        prompt=plain.text(found["prompt"], "prompt", BenchmarkError),
        stop=plain.items(found["stop"], "stop", BenchmarkError, _stop),
        max_new_tokens=plain.integer(found["max_new_tokens"], "max_new_tokens", BenchmarkError),
        pattern=plain.text(found["pattern"], "pattern", BenchmarkError),
        as_chat=plain.flag(found["as_chat"], "as_chat", BenchmarkError),
    )


def _stop(value: object, what: str) -> str:
    return plain.text(value, what, BenchmarkError)

"""What names a benchmark in a run's frozen configuration: a built-in one, or a file and how to read it; both with a digest."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from merging import plain
from merging.benchmarks.builtin import benchmarks
from merging.benchmarks.jsonl import N_NEW_TOKENS, PROMPT, read_jsonl
from merging.benchmarks.samples import Benchmark
from merging.errors import BenchmarkError


@dataclass(frozen=True)
class QuestionFile:
    """A file of questions and how it is asked; see `read_jsonl`."""

    path: str
    scorer: str
    seed: int
    language: str | None = None
    prompt: str = PROMPT
    stop: tuple[str, ...] = ()
    max_new_tokens: int = N_NEW_TOKENS

    def read(self, name: str) -> Benchmark:
        return read_jsonl(
            self.path,
            name=name,
            scorer=self.scorer,
            seed=self.seed,
            language=self.language,
            prompt=self.prompt,
            stop=self.stop,
            max_new_tokens=self.max_new_tokens,
        )


@dataclass(frozen=True)
class BenchmarkSpec:
    """The benchmark `name` with these very samples, from a `file` or, for None, built in."""

    name: str
    digest: str
    file: QuestionFile | None = None

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

    def load(self) -> Benchmark:
        """The benchmark; BenchmarkError when its samples are not those of the digest any more. Kept in memory."""
        return _load(self)

    def to_json(self) -> dict[str, object]:
        """Plain JSON types, the opposite of `from_json`."""
        file = None if self.file is None else asdict(self.file) | {"stop": list(self.file.stop)}
        return {"name": self.name, "digest": self.digest, "file": file}

    @staticmethod
    def from_json(value: object) -> BenchmarkSpec:
        """The spec that `to_json` wrote; BenchmarkError names what is missing, unknown or wrong."""
        found = plain.fields(value, ("name", "digest", "file"), "the benchmark", BenchmarkError)
        return BenchmarkSpec(
            name=plain.text(found["name"], "name of the benchmark", BenchmarkError),
            digest=plain.text(found["digest"], "digest of the benchmark", BenchmarkError),
            file=None if found["file"] is None else _file(found["file"]),
        )


@lru_cache(maxsize=8)
def _load(spec: BenchmarkSpec) -> Benchmark:
    benchmark = benchmarks.get(spec.name).load() if spec.file is None else spec.file.read(spec.name)
    if benchmark.digest != spec.digest:
        raise BenchmarkError(
            f"the samples of {spec.name} have changed since it was chosen: add it again under another name"
        )
    return benchmark


def _file(value: object) -> QuestionFile:
    found = plain.fields(value, tuple(QuestionFile.__dataclass_fields__), "the benchmark's file", BenchmarkError)
    return QuestionFile(
        path=plain.text(found["path"], "path", BenchmarkError),
        scorer=plain.text(found["scorer"], "scorer", BenchmarkError),
        seed=plain.integer(found["seed"], "seed", BenchmarkError),
        language=plain.optional_text(found["language"], "language", BenchmarkError),
        prompt=plain.text(found["prompt"], "prompt", BenchmarkError),
        stop=plain.items(found["stop"], "stop", BenchmarkError, _stop),
        max_new_tokens=plain.integer(found["max_new_tokens"], "max_new_tokens", BenchmarkError),
    )


def _stop(value: object, what: str) -> str:
    return plain.text(value, what, BenchmarkError)

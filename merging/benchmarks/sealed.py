"""Questions frozen in a folder, one file a split, of which the final one is sealed: it opens with a key that is not there.

    asked.json                        how the questions are asked and scored
    search.jsonl  validation.jsonl    one sample a line
    shots.jsonl                       what every prompt shows first, answered
    final.sealed                      the same lines, encrypted (Fernet: AES with a keyed hash)

Who freezes keeps the key. Nobody can tell what the final split asks but by opening it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from merging import plain
from merging.benchmarks.questions import Questions, split_digest
from merging.benchmarks.samples import Sample, Split
from merging.errors import BenchmarkError
from merging.folders import complete_or_absent

READABLE: Final[tuple[Split, ...]] = ("search", "validation")
SEALED: Final = "final.sealed"
ASKED: Final = "asked.json"
SHOTS: Final = "shots"


@dataclass(frozen=True)
class SealedFolder:
    """The absolute `path` of such a folder, and the number and digest (`split_digest`) of the samples of its final split."""

    path: str
    n_final: int
    final: str

    def read(self, name: str, key: str | None = None) -> Questions:
        """The questions; with the key, the final split too. BenchmarkError when a file is missing or damaged, or for
        another key."""
        folder = Path(self.path)
        samples = {split: _samples(_content(folder / f"{split}.jsonl", name)) for split in READABLE}
        if key is not None:
            samples["final"] = _samples(_opened(_content(folder / SEALED, name), key, name))
        return _questions(
            _content(folder / ASKED, name),
            name,
            samples,
            _samples(_content(folder / f"{SHOTS}.jsonl", name)),
            self.final,
        )

    def to_json(self) -> dict[str, object]:
        """Plain JSON types, the opposite of `from_json`."""
        return asdict(self)

    @staticmethod
    def from_json(value: object) -> SealedFolder:
        """The folder that `to_json` wrote; BenchmarkError names what is missing, unknown or wrong."""
        found = plain.fields(value, tuple(SealedFolder.__dataclass_fields__), "the sealed folder", BenchmarkError)
        return SealedFolder(
            path=plain.text(found["path"], "path", BenchmarkError),
            n_final=plain.integer(found["n_final"], "n_final", BenchmarkError),
            final=plain.text(found["final"], "final", BenchmarkError),
        )


def new_key() -> str:
    """A key that nobody has had before."""
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode()


def seal(questions: Questions, path: Path, key: str) -> SealedFolder:
    """Freeze questions, with all of their splits, in the folder `path`: complete or absent.

    MergingError when the folder exists.
    """
    from cryptography.fernet import Fernet

    files = {f"{split}.jsonl": _lines(questions.samples[split]) for split in READABLE}
    files |= {f"{SHOTS}.jsonl": _lines(questions.shots), ASKED: plain.canonical(_asked(questions)).encode()}
    final = questions.samples["final"]
    files[SEALED] = Fernet(key).encrypt(_lines(final))
    with complete_or_absent(path) as folder:
        for name, content in files.items():
            (folder / name).write_bytes(content)
    return SealedFolder(str(path), len(final), split_digest(final))


def _asked(questions: Questions) -> dict[str, object]:
    return {
        "title": questions.title,
        "scorer": questions.scorer_name,
        "pattern": questions.pattern,
        "language_gate": questions.language_gate,
        "max_new_tokens": questions.max_new_tokens,
        "prompt": questions.prompt,
        "stop": list(questions.stop),
        "as_chat": questions.as_chat,
    }


def _questions(
    content: bytes, name: str, samples: dict[Split, tuple[Sample, ...]], shots: tuple[Sample, ...], final: str
) -> Questions:
    names = ("title", "scorer", "pattern", "language_gate", "max_new_tokens", "prompt", "stop", "as_chat")
    asked = plain.fields(_value(content, ASKED), names, ASKED, BenchmarkError)
    return Questions(
        name=name,
        title=plain.text(asked["title"], "title", BenchmarkError),
        scorer_name=plain.text(asked["scorer"], "scorer", BenchmarkError),
        pattern=plain.text(asked["pattern"], "pattern", BenchmarkError),
        language_gate=plain.flag(asked["language_gate"], "language_gate", BenchmarkError),
        max_new_tokens=plain.integer(asked["max_new_tokens"], "max_new_tokens", BenchmarkError),
        prompt=plain.text(asked["prompt"], "prompt", BenchmarkError),
        stop=plain.items(asked["stop"], "stop", BenchmarkError, _text),
        as_chat=plain.flag(asked["as_chat"], "as_chat", BenchmarkError),
        samples=samples,
        shots=shots,
        sealed={} if "final" in samples else {"final": final},
    )


def _content(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BenchmarkError(
            f"{path.name} of the benchmark {name} cannot be read in {path.parent}: {error.strerror}. "
            "Put the folder back from a copy, or add the benchmark again"
        ) from error


def _opened(content: bytes, key: str, name: str) -> bytes:
    from cryptography.fernet import Fernet, InvalidToken

    try:
        return Fernet(key).decrypt(content)
    except (InvalidToken, ValueError) as error:
        raise BenchmarkError(
            f"the final split of {name} does not open with this key: the file or the key is another's"
        ) from error


def _lines(samples: Sequence[Sample]) -> bytes:
    return "".join(plain.canonical(asdict(sample)) + "\n" for sample in samples).encode()


def _samples(content: bytes) -> tuple[Sample, ...]:
    lines = content.split(b"\n")[:-1]
    return tuple(_sample(_value(line, "a frozen line"), f"frozen line {i}") for i, line in enumerate(lines, start=1))


def _value(content: bytes, what: str) -> object:
    try:
        return json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise BenchmarkError(f"{what} is damaged: {error}") from error


def _sample(value: object, where: str) -> Sample:
    found = plain.fields(value, tuple(Sample.__dataclass_fields__), where, BenchmarkError)
    return Sample(
        id=plain.text(found["id"], f"id of {where}", BenchmarkError),
        question=plain.text(found["question"], f"question of {where}", BenchmarkError),
        answer=plain.text(found["answer"], f"answer of {where}", BenchmarkError),
        language=plain.optional_text(found["language"], f"language of {where}", BenchmarkError),
        choices=plain.items(found["choices"], f"choices of {where}", BenchmarkError, _text),
    )


def _text(value: object, what: str) -> str:
    return plain.text(value, what, BenchmarkError)

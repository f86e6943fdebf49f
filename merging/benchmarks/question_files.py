"""Questions from a file: JSON Lines, or CSV when the file's name ends in `.csv`.

Both have the fields `question` and `answer`, and if wanted `choices`, `language` and `few_shot`. In JSON Lines `choices`
is a list; in CSV, whose first line names the columns, they stand in one column with `|` between them, and columns are
divided by comma, semicolon or tab. The answer to a question with choices is one of them as it stands, or else its
letter, A for the first. A line with `few_shot` is shown, answered, before every question, and is in no split.

Every line is read or the file is refused with the number of the line: a benchmark that lost lines in silence would
still look like a score.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Final

from merging import plain
from merging.benchmarks.languages import check_language
from merging.benchmarks.questions import MAX_CHOICES, QUESTION, Questions, check_sample
from merging.benchmarks.samples import Sample, Split, question_key
from merging.benchmarks.scorers import ChoiceScorer, Judge, scorer_of
from merging.errors import BenchmarkError

MAX_LINE_BYTES: Final = 1024 * 1024
MAX_FILE_BYTES: Final = 256 * 1024 * 1024
MIN_SAMPLES: Final = 3
MAX_PROBLEMS: Final = 20
FIELDS: Final = ("question", "answer", "choices", "language", "few_shot")
REQUIRED: Final = FIELDS[:2]
CSV_DIVIDERS: Final = ",;\t"
CHOICE_DIVIDER: Final = "|"
CSV_FLAGS: Final = {"": False, "0": False, "no": False, "false": False, "1": True, "yes": True, "true": True}
LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[:MAX_CHOICES]
PROMPT: Final = QUESTION + "\n"
N_NEW_TOKENS: Final = 256

Row = tuple[int, Callable[[], Mapping[str, object]]]
"""A line's number, and its fields once somebody asks: BenchmarkError where it has none that can be used."""


def read_questions(
    path: str | Path,
    *,
    name: str,
    scorer: str,
    seed: int,
    language: str | None = None,
    prompt: str = PROMPT,
    stop: tuple[str, ...] = (),
    max_new_tokens: int = N_NEW_TOKENS,
    pattern: str = "",
    as_chat: bool = False,
) -> Questions:
    """The benchmark of a file: half of it to search, a quarter each for validation and final, dealt by `seed`.

    `language` is expected of every sample that names none; once any sample expects one, all must. Where choices are
    weighed by likelihood no language is asked for. BenchmarkError names the line, what was found and what is expected.
    """
    judge = scorer_of(scorer, pattern)
    samples, shots = parse(Path(path), judge, language)
    return Questions(
        name=name,
        title=name,
        scorer_name=scorer,
        language_gate=not isinstance(judge, ChoiceScorer) and any(sample.language is not None for sample in samples),
        max_new_tokens=max_new_tokens,
        prompt=prompt,
        stop=stop,
        samples=deal(samples, seed),
        pattern=pattern,
        shots=shots,
        as_chat=as_chat,
    )


class BadLines(BenchmarkError):
    """Lines of a file that cannot be used. `problems` are sentences about the first of them, at most `MAX_PROBLEMS`."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        n_more = len(problems) - 1
        super().__init__(f"{problems[0]} ({n_more} more like this)" if n_more else problems[0])


def parse(path: Path, scorer: Judge, language: str | None = None) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """The samples and the few-shot examples of a file, in its order; each has the number of its line as id.

    BadLines for several lines at once, so that a file need not be mended line by line.
    """
    samples: list[Sample] = []
    shots: list[Sample] = []
    problems: list[str] = []
    seen: dict[str, str] = {}

    def take(number: int, found: Mapping[str, object]) -> None:
        where = f"line {number} of {path.name}"
        sample, is_shot = _sample(found, number, where, language)
        check_sample(sample, None if is_shot else scorer, where)
        key = question_key(sample)
        if key in seen:
            raise BenchmarkError(f"{where} asks the same as {seen[key]}: {sample.question[:80]!r}; keep one of them")
        seen[key] = sample.id
        (shots if is_shot else samples).append(sample)

    for number, read in _readable(_csv_rows(path) if path.suffix.lower() == ".csv" else _json_rows(path), problems):
        try:
            take(number, read())
        except BenchmarkError as error:
            problems.append(str(error))
        if len(problems) == MAX_PROBLEMS:
            break
    if problems:
        raise BadLines(problems)
    if len(samples) < MIN_SAMPLES:
        raise BenchmarkError(
            f"{path.name} has {len(samples)} questions; expected at least {MIN_SAMPLES}, one for each split"
        )
    return tuple(samples), tuple(shots)


def _readable(rows: Iterator[Row], problems: list[str]) -> Iterator[Row]:
    """The rows up to where the file cannot be cut into rows any more, which is one more problem."""
    try:
        yield from rows
    except BenchmarkError as error:
        problems.append(str(error))


def deal(
    samples: Sequence[Sample], seed: int, held_out: tuple[int, int] | None = None
) -> dict[Split, tuple[Sample, ...]]:
    """Samples in an order that only the seed and their questions decide, cut into 50, 25 and 25 %, each at least one; or with so many
    `held_out` for validation and final, and the rest to search.

    Neither the order of lines nor a line added elsewhere moves two samples past each other. BenchmarkError when a split would be empty.
    """
    order = sorted(samples, key=lambda sample: hashlib.sha256(f"{seed}/{question_key(sample)}".encode()).digest())
    quarter = max(1, len(order) // 4)
    n_validation, n_final = held_out or (quarter, quarter)
    n_search = len(order) - n_validation - n_final
    if min(n_search, n_validation, n_final) < 1:
        raise BenchmarkError(
            f"of {len(order)} questions {n_validation} for validation and {n_final} for the final split leave "
            f"{max(0, n_search)} to search; expected at least one in each split"
        )
    return {
        "search": tuple(order[:n_search]),
        "validation": tuple(order[n_search : n_search + n_validation]),
        "final": tuple(order[n_search + n_validation :]),
    }


def _json_rows(path: Path) -> Iterator[Row]:
    """All lines that are not blank, with their numbers from 1."""
    for number, line in enumerate(_lines(path), start=1):
        if line.strip():
            yield number, partial(_json_object, line, f"line {number} of {path.name}")


def _json_object(line: str, where: str) -> Mapping[str, object]:
    found = plain.mapping(_object(line, where), where, BenchmarkError)
    _check_fields(found, where)
    return found


def _csv_rows(path: Path) -> Iterator[Row]:
    """The rows below the header that are not blank, with the number of each one's first line."""
    lines = _lines(path)
    header = next(lines, "")
    divider = max(CSV_DIVIDERS, key=header.count)
    reader = csv.reader(chain([header], lines), delimiter=divider, strict=True)
    names = [name.strip() for name in _next_row(reader, 1, path) or []]
    _check_columns(names, f"line 1 of {path.name}")
    while (row := _next_row(reader, number := reader.line_num + 1, path)) is not None:
        if any(cell.strip() for cell in row):
            yield number, partial(_csv_object, row, names, divider, f"line {number} of {path.name}")


def _csv_object(row: Sequence[str], names: Sequence[str], divider: str, where: str) -> Mapping[str, object]:
    if len(row) != len(names):
        raise BenchmarkError(
            f"{where} has {len(row)} columns; expected {len(names)}: {', '.join(names)}. "
            f'Put text that holds "{divider}" or a line end into double quotes'
        )
    return _object_of_cells(dict(zip(names, row, strict=True)), where)


def _next_row(reader: Iterator[list[str]], number: int, path: Path) -> list[str] | None:
    try:
        return next(reader, None)
    except csv.Error as error:
        raise BenchmarkError(
            f"line {number} of {path.name} cannot be read as CSV: {error}. "
            "Expected double quotes around text with dividers, and doubled quotes inside it"
        ) from error


def _object_of_cells(cells: dict[str, str], where: str) -> dict[str, object]:
    """As in JSON Lines; empty cells are left out."""
    found: dict[str, object] = {name: cell for name, cell in cells.items() if name in REQUIRED or cell.strip()}
    if "language" in found:
        found["language"] = cells["language"].strip()
    if "choices" in found:
        found["choices"] = [choice.strip() for choice in cells["choices"].split(CHOICE_DIVIDER)]
    if "few_shot" in found:
        flag = cells["few_shot"].strip().casefold()
        if flag not in CSV_FLAGS:
            raise BenchmarkError(f"few_shot in {where} is {flag[:80]!r}; expected yes, no or nothing")
        found["few_shot"] = CSV_FLAGS[flag]
    return found


def _check_columns(names: Sequence[str], where: str) -> None:
    _check_fields(names, where)
    if len(set(names)) < len(names) or not set(REQUIRED) <= set(names):
        raise BenchmarkError(
            f"{where} names the columns {', '.join(names)}; expected {' and '.join(REQUIRED)}, and each column once"
        )


def _check_fields(names: Iterable[str], where: str) -> None:
    if unknown := sorted(set(names) - set(FIELDS)):
        raise BenchmarkError(f"{where} has the field {', '.join(unknown)}; expected only {', '.join(FIELDS)}")


def _lines(path: Path) -> Iterator[str]:
    """All lines with their ends."""
    with _opened(path) as file:
        for number, line in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES + 1), b""), start=1):
            where = f"line {number} of {path.name}"
            if len(line) > MAX_LINE_BYTES:
                raise BenchmarkError(f"{where} is longer than {MAX_LINE_BYTES} bytes; expected one question a line")
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise BenchmarkError(f"{where} is not UTF-8: {error}; save the file as UTF-8") from error


def _opened(path: Path) -> BinaryIO:
    try:
        if not path.is_file():
            raise BenchmarkError(
                f"{path} is not a file on this machine; expected a file of questions, JSON Lines or CSV"
            )
        if (size := path.stat().st_size) > MAX_FILE_BYTES:
            raise BenchmarkError(f"{path.name} has {size} bytes; expected at most {MAX_FILE_BYTES}")
        return path.open("rb")
    except OSError as error:
        raise BenchmarkError(
            f"{path} cannot be read: {error.strerror}; let whoever runs this program read the file and its folder"
        ) from error


def _object(text: str, where: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=plain.unique_keys, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        excerpt = text.strip()[:80]
        raise BenchmarkError(f"{where} cannot be read: {error}. Found {excerpt!r}; expected one JSON object") from error


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number in JSON")


def _sample(found: Mapping[str, object], number: int, where: str, language: str | None) -> tuple[Sample, bool]:
    """One sample, and whether it is an example to show."""
    question = plain.text(found.get("question"), f"question in {where}", BenchmarkError)
    if not question.strip():
        raise BenchmarkError(f"question in {where} is empty")
    code = plain.optional_text(found.get("language", language), f"language in {where}", BenchmarkError)
    choices = found.get("choices")
    offered = () if choices is None else plain.items(choices, f"choices in {where}", BenchmarkError, _text)
    sample = Sample(
        id=f"line {number}",
        question=_storable(question, where),
        answer=_storable(_among(offered, _text(found.get("answer"), f"answer in {where}")), where),
        language=None if code is None else check_language(code, where),
        choices=tuple(_storable(choice, where) for choice in offered),
    )
    return sample, plain.flag(found.get("few_shot", False), f"few_shot in {where}", BenchmarkError)


def _among(choices: Sequence[str], answer: str) -> str:
    """The choice that an answer names by its letter, unless it is a choice as it stands."""
    place = LETTERS.find(answer.strip().upper()) if len(answer.strip()) == 1 else -1
    return choices[place] if answer not in choices and 0 <= place < len(choices) else answer


def _text(value: object, what: str) -> str:
    """Text; an answer or a choice may be written as a number."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(plain.real(value, what, BenchmarkError) if isinstance(value, float) else value)
    return plain.text(value, what, BenchmarkError)


def _storable(text: str, where: str) -> str:
    """The text; BenchmarkError for NUL or half of a surrogate pair, which no database and no tokenizer takes."""
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise BenchmarkError(f"{where} holds a character that is no text (NUL or half of a surrogate pair); remove it")
    return text

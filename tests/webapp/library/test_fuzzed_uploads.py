"""Files as nobody should send them: the page answers, names the lines that are wrong and no others, and keeps nothing."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from typing import Final

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from merging.benchmarks.question_files import MAX_LINE_BYTES, MAX_PROBLEMS
from tests.webapp.library.test_benchmarks import ASKED, HTMX
from webapp.library.models import Benchmark

N_LINES: Final = 30
"""Of one file. Fewer wrong ones than a file is read on for, so that all are read."""
N_BROKEN: Final = MAX_PROBLEMS - 1
JUNK: Final = (
    b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\x1a", b'"', b"\\", b"{}", b"[]", b"null", b"NaN", b"-", b"1e999",
    "\u2028".encode(), "\u202e".encode(), "𝕏".encode(), b"\xed\xa0\x80", b"PK\x03\x04", b"=cmd|' /C calc'!A0", b"</script>",
)  # fmt: skip


def good(dice: random.Random, number: int) -> dict[str, object]:
    """A line that can be used, unlike any other of its file."""
    found: dict[str, object] = {
        "question": f"{dice.choice(['Add', '足す', 'जोड़'])} {number} {dice.random()}?",
        "answer": number,
    }
    if dice.random() < 0.2:
        found["choices"] = [str(number), str(number + 1)]
    return found


def bytes_in(line: bytes, dice: random.Random) -> bytes:
    place = dice.randrange(len(line))
    return line[:place] + dice.choice(JUNK) + line[place + dice.randrange(3) :]


def value_of_another_kind(line: bytes, dice: random.Random) -> bytes:
    value = json.loads(line)
    kinds = (None, True, [], {}, -1, 1e300, 10**400, "", " ", "\0", "\ud800", "x" * 5000, [["x"]], {"question": "x"})
    value[dice.choice(["question", "answer", "choices", "language", "few_shot", "fewshot"])] = dice.choice(kinds)
    return json.dumps(value).encode()


def cut(line: bytes, dice: random.Random) -> bytes:
    return line[: dice.randrange(len(line))]


def nested(line: bytes, dice: random.Random) -> bytes:
    depth = dice.choice([5, 5000])
    return b'{"question": ' + b"[" * depth + b"]" * depth + b', "answer": 1}'


def any_bytes(line: bytes, dice: random.Random) -> bytes:
    return dice.randbytes(dice.randrange(1, 200)).replace(b"\n", b"")


def long_line(line: bytes, dice: random.Random) -> bytes:
    n = MAX_LINE_BYTES + dice.choice([-100, 100]) if dice.random() < 0.05 else 20_000
    return b'{"question": "' + b"x" * (n - 40) + b'", "answer": 1}'


BREAKS: Final[tuple[Callable[[bytes, random.Random], bytes], ...]] = (
    bytes_in, bytes_in, value_of_another_kind, value_of_another_kind, cut, nested, any_bytes, long_line,
)  # fmt: skip


def upload(client: Client, content: bytes, name: str = "fuzz.jsonl", **changes: str) -> str:
    """What the page says; the test client raises what a server would answer with 500."""
    data = ASKED | changes | {"file": SimpleUploadedFile(name, content)}
    answer = client.post("/benchmarks/new/", data, headers=HTMX)
    assert answer.status_code == 200
    return answer.content.decode()


def named(page: str) -> set[int]:
    return {int(number) for number in re.findall(r"(?<!as )line (\d+) of fuzz", page)}


@pytest.mark.parametrize(
    "n_broken", [1_000, pytest.param(100_000, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]
)
def test_of_a_fuzzed_file_only_wrong_lines_are_named(owner_client: Client, n_broken: int) -> None:
    dice = random.Random(n_broken)
    n_named = 0
    for _ in range(n_broken // N_BROKEN):
        lines = [json.dumps(good(dice, i), ensure_ascii=dice.random() < 0.5).encode() for i in range(N_LINES)]
        broken = set(dice.sample(range(N_LINES), N_BROKEN))
        for i in broken:
            lines[i] = dice.choice(BREAKS)(lines[i], dice)
        page = upload(owner_client, dice.choice([b"\n", b"\r\n"]).join(lines))
        assert named(page) <= {i + 1 for i in broken}
        assert named(page) or "questions can be used" in page
        n_named += len(named(page))
    assert n_named > n_broken / 4  # some breaks are harmless, and a line that cannot be cut off ends the reading
    assert not Benchmark.objects.exists()


def test_a_file_of_nothing_but_junk_is_refused_by_its_first_lines(owner_client: Client) -> None:
    dice = random.Random(0)
    for _ in range(20):
        lines = [dice.choice(BREAKS)(json.dumps(good(dice, i)).encode(), dice) for i in range(200)]
        assert 1 <= len(named(upload(owner_client, b"\n".join(lines)))) <= MAX_PROBLEMS


def test_a_fuzzed_table_is_answered(owner_client: Client) -> None:
    dice = random.Random(1)
    for _ in range(60):
        rows = ["question,answer,choices,language,few_shot", *(f'"add {i}",{i},{i}|x,,' for i in range(30))]
        content = "\n".join(rows).encode()
        for _ in range(dice.randrange(4)):
            content = bytes_in(content, dice)
        page = upload(owner_client, content, "fuzz.csv")
        assert named(page) or "questions can be used" in page or "questions; expected at least" in page


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "shift_jis", "latin-1", "utf-8-sig"])
def test_another_encoding_is_named(owner_client: Client, encoding: str) -> None:
    lines = [
        json.dumps({"question": f"é足す{i}" if encoding != "latin-1" else f"é{i}", "answer": i}, ensure_ascii=False)
        for i in range(9)
    ]
    content = "\r\n".join(lines).replace("é", "" if encoding == "shift_jis" else "é").encode(encoding)
    page = upload(owner_client, content)
    assert ("9 questions can be used" if encoding == "utf-8-sig" else "line 1 of fuzz.jsonl is not UTF-8") in page


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", "(.*)*(.*)*x", "(?<=a)b", r"(\d+)\1", "(", "a{1,100000}"])
def test_a_pattern_is_refused_or_harmless(owner_client: Client, pattern: str) -> None:
    content = b"".join(b'{"question": "q%d", "answer": "%s"}\n' % (i, b"a" * 5000) for i in range(9))
    page = upload(owner_client, content, scorer="regex", pattern=pattern)
    assert "can be used" in page or "cannot be used yet" in page


@pytest.mark.parametrize(
    "name",
    ["\u202egnp.jsonl", "a" * 300 + ".jsonl", "../../etc/passwd.jsonl", "é" * 120 + ".csv", ".jsonl", "C:\\x.jsonl"],
)
def test_any_name_of_a_file_is_taken(owner_client: Client, name: str) -> None:
    content = "question,answer\n" + "".join(f"q{i},{i}\n" for i in range(9))
    lines = "".join(json.dumps({"question": f"q{i}", "answer": i}) + "\n" for i in range(9))
    page = upload(owner_client, (content if name.endswith(".csv") else lines).encode(), name)
    assert "9 questions can be used" in page or "expected a name that ends in" in page


def test_numbers_that_no_field_can_hold_are_refused(owner_client: Client) -> None:
    lines = b"".join(b'{"question": "q%d", "answer": 1}\n' % i for i in range(9))
    for changes in (
        {"seed": str(2**70)},
        {"seed": "-1"},
        {"max_new_tokens": "0"},
        {"prompt": "{question}{question}"},
        {"prompt": "\0"},
    ):
        assert "can be used</h2>" not in upload(owner_client, lines, **changes)

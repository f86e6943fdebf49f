"""Benchmarks: who sees them, what is kept of a file, what is refused, and what nobody gets to see."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from merging.benchmarks import BenchmarkSpec
from merging.errors import BenchmarkError
from tests.webapp.library.folders import question_file
from webapp.library.actions import add_benchmark
from webapp.library.models import Benchmark

ASKED = {
    "name": "",
    "scorer": "last_number",
    "language": "",
    "prompt": "{question}\n",
    "stop": "",
    "max_new_tokens": "9",
    "seed": "0",
}


@pytest.fixture
def added(owner: User, tmp_path: Path) -> Benchmark:
    return add_benchmark(owner, question_file(tmp_path / "sums.jsonl"))


def upload(client: Client, content: bytes, **changes: str) -> str:
    """The page after posting a file; the address when the page is another one."""
    answer = client.post("/benchmarks/", ASKED | changes | {"file": SimpleUploadedFile("mine.jsonl", content)})
    return answer.url if answer.status_code == 302 else answer.content.decode()


def test_a_file_is_kept_under_the_hash_of_its_content(added: Benchmark, tmp_path: Path) -> None:
    content = (tmp_path / "sums.jsonl").read_bytes()
    kept = Path(added.spec["file"]["path"])
    assert kept == Path(settings.DATA_DIR) / "benchmarks" / f"{hashlib.sha256(content).hexdigest()}.jsonl"
    assert kept.read_bytes() == content
    assert not list(kept.parent.glob("*.part"))


def test_the_row_counts_the_splits_and_its_spec_loads(added: Benchmark) -> None:
    samples = BenchmarkSpec.from_json(added.spec).load().samples
    assert (added.n_search, added.n_validation, added.n_final) == (20, 10, 10)
    assert len(samples["final"]) == 10


def test_the_same_file_twice_is_one_benchmark_and_another_needs_another_name(
    added: Benchmark, owner: User, tmp_path: Path
) -> None:
    assert add_benchmark(owner, question_file(tmp_path / "sums.jsonl")).pk == added.pk
    other = question_file(tmp_path / "sums.jsonl", n=50)
    with pytest.raises(BenchmarkError, match="another benchmark named sums"):
        add_benchmark(owner, other)


def test_an_upload_can_be_chosen_by_who_made_it_alone(
    owner_client: Client, member_client: Client, stranger_client: Client, tmp_path: Path
) -> None:
    content = Path(question_file(tmp_path / "q.jsonl").path).read_bytes()
    assert upload(stranger_client, content).startswith("/sign-in/")
    address = upload(owner_client, content, stop="\r\nQ:\r\n")
    assert Benchmark.objects.get().spec["file"]["stop"] == ["Q:"]
    assert owner_client.get(address).status_code == 200
    assert member_client.get(address).status_code == 404
    assert stranger_client.get(address).status_code == 302
    assert ">mine<" in owner_client.get("/benchmarks/").content.decode()
    assert ">mine<" not in member_client.get("/benchmarks/").content.decode()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b'{"question": "1?", "answer": "1"}\nnot json\n', "line 2 of mine.jsonl cannot be read"),
        (b'{"question": "1?", "answer": "one"}\n', "expects a number"),
        (b'{"question": "1?"}\n', "answer in line 1 of mine.jsonl"),
        (b'{"question": "1?", "answer": "1"}\n', "has 1 questions; expected at least 3"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_its_line(
    owner_client: Client, content: bytes, complaint: str
) -> None:
    assert complaint in upload(owner_client, content, name="kept")
    assert not Benchmark.objects.exists()


def test_nothing_typed_is_lost_when_a_file_is_refused(owner_client: Client) -> None:
    page = upload(owner_client, b"no", name="kept", prompt="Q: {question}", max_new_tokens="77")
    assert all(text in page for text in ('value="kept"', "Q: {question}", 'value="77"'))


def test_the_final_split_is_shown_to_nobody(added: Benchmark, owner_client: Client) -> None:
    page = owner_client.get(f"/benchmarks/{added.pk}/").content.decode()
    samples = BenchmarkSpec.from_json(added.spec).load().samples
    assert samples["search"][0].question in page
    assert samples["validation"][0].question in page
    assert not [sample for sample in samples["final"] if f">{sample.question}<" in page]


def test_a_benchmark_whose_file_changed_says_so(added: Benchmark, owner_client: Client, tmp_path: Path) -> None:
    other = question_file(tmp_path / "other.jsonl", n=41)
    Benchmark.objects.update(spec=added.spec | {"file": added.spec["file"] | {"path": other.path}})
    assert "have changed since" in owner_client.get(f"/benchmarks/{added.pk}/").content.decode()


def test_a_benchmark_is_hidden_by_its_owner_alone(
    added: Benchmark, owner_client: Client, member_client: Client, stranger_client: Client
) -> None:
    hide = f"/benchmarks/{added.pk}/hide/"
    assert stranger_client.post(hide).status_code == 302
    assert member_client.post(hide).status_code == 404
    assert owner_client.post(hide).url == "/benchmarks/"
    assert owner_client.get(f"/benchmarks/{added.pk}/").status_code == 404

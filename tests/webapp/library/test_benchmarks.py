"""Benchmarks: who sees them, what is kept of a file and when, what is refused, and what nobody gets to see."""

from __future__ import annotations

import errno
import json
import re
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from merging.benchmarks import BenchmarkSpec
from merging.benchmarks.sealed import new_key
from merging.errors import BenchmarkError
from tests.webapp.library.folders import question_file
from webapp.library import question_files
from webapp.library.actions import add_benchmark, install_demo_pack, key_of, seal_older
from webapp.library.models import Benchmark

ASKED = {
    "name": "",
    "scorer": "last_number",
    "pattern": "",
    "language": "",
    "prompt": "{question}\n",
    "stop": "",
    "max_new_tokens": "9",
    "seed": "0",
}
HTMX = {"HX-Request": "true"}


@pytest.fixture
def added(owner: User, tmp_path: Path) -> Benchmark:
    return add_benchmark(owner, question_file(tmp_path / "sums.jsonl"))


@pytest.fixture
def sums(tmp_path: Path) -> bytes:
    return Path(question_file(tmp_path / "mine.jsonl").path).read_bytes()


def post(client: Client, content: bytes, file: str = "mine.jsonl", htmx: bool = False, **changes: str) -> str:
    """The page after posting a file; the address when the page is another one."""
    data = ASKED | changes | {"file": SimpleUploadedFile(file, content)}
    answer = client.post("/benchmarks/new/", data, headers=HTMX if htmx else {})
    moved = answer.headers.get("HX-Redirect") or answer.headers.get("Location")
    assert answer.status_code == (302 if moved and not htmx else 200)
    return moved or answer.content.decode()


def add(client: Client, content: bytes, htmx: bool = False, **changes: str) -> str:
    """The page after checking a file and adding what was found."""
    found = re.search('name="checked" value="([^"]+)"', post(client, content, htmx=htmx, **changes))
    return post(client, content, htmx=htmx, step="add", checked=found[1] if found else "", **changes)


def folder(row: Benchmark) -> Path:
    return Path(settings.DATA_DIR) / "benchmarks" / row.digest.removeprefix("sha256:")


def test_questions_are_kept_in_a_folder_named_by_their_digest(added: Benchmark) -> None:
    assert added.spec["sealed"]["path"] == str(folder(added))
    assert {file.name for file in folder(added).iterdir()} >= {"search.jsonl", "validation.jsonl", "final.sealed"}
    assert not list(folder(added).parent.glob("*.part"))


def test_the_row_counts_the_splits_and_names_the_scorer(added: Benchmark) -> None:
    assert (added.n_search, added.n_validation, added.n_final) == (20, 10, 10)
    assert added.scorer == "last_number@1"


def test_the_key_is_in_the_row_alone_and_opens_the_final_split(added: Benchmark) -> None:
    spec = BenchmarkSpec.from_json(added.spec)
    key = key_of(spec)
    assert key and key == added.key and key not in json.dumps(added.spec)
    assert len(spec.load(key).take("final")) == 10
    with pytest.raises(BenchmarkError, match="sealed"):
        spec.load().take("final")


def test_a_built_in_benchmark_has_no_key(db: None) -> None:
    install_demo_pack()
    assert [key_of(BenchmarkSpec.from_json(row.spec)) for row in Benchmark.objects.filter(owner=None)][:1] == [None]


def test_the_same_file_twice_is_one_benchmark_and_another_needs_another_name(
    added: Benchmark, owner: User, tmp_path: Path
) -> None:
    again = add_benchmark(owner, question_file(tmp_path / "sums.jsonl"))
    assert (again.pk, again.key) == (added.pk, added.key)
    with pytest.raises(BenchmarkError, match="another benchmark named sums"):
        add_benchmark(owner, question_file(tmp_path / "sums.jsonl", n=50))


def test_two_people_with_the_same_questions_share_folder_and_key(
    added: Benchmark, member: User, tmp_path: Path
) -> None:
    theirs = add_benchmark(member, question_file(tmp_path / "theirs.jsonl"))
    assert theirs.pk != added.pk and theirs.key == added.key and theirs.spec["sealed"] == added.spec["sealed"]


def test_of_two_who_freeze_the_same_questions_at_once_both_have_the_key_of_the_first(
    owner: User, member: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = question_file(tmp_path / "sums.jsonl")

    def late_key() -> str:
        monkeypatch.undo()
        add_benchmark(member, file)
        return new_key()

    monkeypatch.setattr(question_files, "new_key", late_key)
    row = add_benchmark(owner, file)
    assert row.key == Benchmark.objects.get(owner=member).key
    assert len(BenchmarkSpec.from_json(row.spec).load(row.key).take("final")) == 10


def test_a_folder_that_was_lost_is_made_again(added: Benchmark, owner: User, tmp_path: Path) -> None:
    (folder(added) / "final.sealed").write_bytes(b"not what it was")
    add_benchmark(owner, question_file(tmp_path / "sums.jsonl"))
    assert len(BenchmarkSpec.from_json(added.spec).load(added.key).take("final")) == 10


def older(owner: User, path: Path) -> tuple[Benchmark, BenchmarkSpec]:
    """A benchmark as it was added when it was one file in plain text, and what it was then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    spec = BenchmarkSpec.of_file(path.stem, question_file(path))
    facts = {"digest": "sha256:of an older version", "n_search": 1, "n_validation": 1, "n_final": 1}
    row = Benchmark.objects.create(owner=owner, name=path.stem, title=path.stem, spec=spec.to_json(), **facts)
    return row, spec


def test_what_was_added_in_plain_text_is_sealed(owner: User, tmp_path: Path) -> None:
    row, spec = older(owner, tmp_path / "old.jsonl")
    questions = spec.load()
    seal_older()
    row.refresh_from_db()
    found = BenchmarkSpec.from_json(row.spec)
    assert row.n_final == 10 and row.key and (tmp_path / "old.jsonl").is_file()
    assert found.load(row.key).samples == questions.samples


def test_our_own_copy_in_plain_text_goes_once_nothing_needs_it(owner: User, tmp_path: Path) -> None:
    ours = Path(settings.DATA_DIR) / "benchmarks"
    sealed, damaged = older(owner, ours / "sealed.jsonl")[0], older(owner, ours / "damaged.jsonl")[0]
    (ours / "damaged.jsonl").write_text("{}")
    (ours / "left.jsonl").write_text("of a benchmark that was sealed before")
    seal_older()
    sealed.refresh_from_db(), damaged.refresh_from_db()
    assert sealed.key and not damaged.key
    assert [path.name for path in ours.iterdir() if path.is_file()] == ["damaged.jsonl"]


@pytest.mark.parametrize("htmx", [False, True])
def test_nothing_is_kept_before_it_was_shown(owner_client: Client, sums: bytes, htmx: bool) -> None:
    page = post(owner_client, sums, htmx=htmx)
    assert "40 questions can be used" in page and "+ 1 = ?\n</pre>" in page
    assert ("<html" in page) != htmx
    assert not Benchmark.objects.exists()
    assert add(owner_client, sums, htmx=htmx) == f"/benchmarks/{Benchmark.objects.get().pk}/"


def test_what_changed_after_it_was_shown_is_shown_again(owner_client: Client, sums: bytes) -> None:
    found = re.search('name="checked" value="([^"]+)"', post(owner_client, sums))
    assert found
    page = post(owner_client, sums, step="add", checked=found[1], seed="1")
    assert "has changed since it was checked" in page and not Benchmark.objects.exists()


def test_an_upload_can_be_chosen_by_who_made_it_alone(
    owner_client: Client, member_client: Client, stranger_client: Client, sums: bytes
) -> None:
    assert add(stranger_client, sums).startswith("/sign-in/")
    address = add(owner_client, sums, stop="\r\nQ:\r\n\\n\r\n", is_public_test="on")
    row = Benchmark.objects.get()
    assert BenchmarkSpec.from_json(row.spec).load().stop == ("Q:", "\n") and row.is_public_test  # type: ignore[attr-defined]
    assert "public test set" in owner_client.get(address).content.decode()
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
    assert complaint in post(owner_client, content)
    assert not Benchmark.objects.exists()


def test_many_bad_lines_are_named_at_once(owner_client: Client, sums: bytes) -> None:
    page = post(owner_client, b"no\n" + sums + b'{"question": "x", "answer": "y"}\n{"answer": 1}\n')
    assert all(f"line {number} of mine.jsonl" in page for number in (1, 42, 43))


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("mine.zip", "Unpack an archive"), ("mine.xlsx", "save a table as CSV"), ("mine", "expected a name that ends in")],
)
def test_what_is_no_file_of_lines_is_refused_by_its_name(owner_client: Client, name: str, complaint: str) -> None:
    page = post(owner_client, b"PK\x03\x04" + bytes(99), file=name)
    assert complaint in page and name in page


def test_nothing_typed_is_lost_when_a_file_is_refused(owner_client: Client) -> None:
    page = post(owner_client, b"no", **{"prompt": "Q: {question}", "max_new_tokens": "77"})
    assert all(text in page for text in ("Q: {question}", 'value="77"'))


def test_a_name_that_is_taken_is_told_before_anything_is_added(
    added: Benchmark, owner_client: Client, tmp_path: Path
) -> None:
    other = Path(question_file(tmp_path / "other.jsonl", n=50).path).read_bytes()
    assert "another benchmark named sums" in post(owner_client, other, **{"name": "sums"})


def test_questions_that_differ_in_numbers_only_give_pause(owner_client: Client, sums: bytes) -> None:
    assert "but for digits and signs" in post(owner_client, sums.replace(b" + ", b" and ").replace(b" = ", b" is "))


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_template_can_be_used_as_it_is(owner_client: Client, form: str) -> None:
    template = owner_client.get(f"/benchmarks/template.{form}").content
    assert "3 questions can be used" in post(owner_client, template, file=f"questions.{form}")
    assert owner_client.get("/benchmarks/template.exe").status_code == 404


def test_a_disk_that_is_full_is_told_and_nothing_is_added(
    owner_client: Client, sums: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(question_files, "seal", full)
    assert "could not keep the questions: No space left" in add(owner_client, sums)
    assert not Benchmark.objects.exists()


def test_what_was_said_to_be_public_stays_so(owner: User, tmp_path: Path) -> None:
    file = question_file(tmp_path / "sums.jsonl")
    assert add_benchmark(owner, file, is_public_test=True).is_public_test
    assert add_benchmark(owner, file).is_public_test


def test_cells_that_a_spreadsheet_would_compute_are_text(owner_client: Client) -> None:
    rows = "".join(f'=1+{i},"=HYPERLINK(""x"") {i}"\n' for i in range(9))
    page = post(owner_client, f"question,answer\n{rows}".encode(), file="cells.csv", **{"scorer": "exact_match"})
    assert "9 questions can be used" in page and "=HYPERLINK(" in page


def test_the_final_split_is_shown_to_nobody(added: Benchmark, owner_client: Client) -> None:
    page = owner_client.get(f"/benchmarks/{added.pk}/").content.decode()
    samples = BenchmarkSpec.from_json(added.spec).load(added.key).samples
    assert f">{samples['search'][0].question}\n<" in page
    assert f">{samples['validation'][0].question}<" in page
    assert not [sample for sample in samples["final"] if f">{sample.question}" in page]
    assert added.key not in page


def test_a_benchmark_whose_folder_changed_says_so(added: Benchmark, owner_client: Client) -> None:
    Benchmark.objects.update(spec=added.spec | {"digest": "sha256:another"})
    assert "have changed since" in owner_client.get(f"/benchmarks/{added.pk}/").content.decode()


def test_a_benchmark_is_hidden_by_its_owner_alone(
    added: Benchmark, owner_client: Client, member_client: Client, stranger_client: Client
) -> None:
    hide = f"/benchmarks/{added.pk}/hide/"
    assert stranger_client.post(hide).status_code == 302
    assert member_client.post(hide).status_code == 404
    assert owner_client.post(hide).url == "/benchmarks/"
    assert owner_client.get(f"/benchmarks/{added.pk}/").status_code == 404


def test_what_came_with_progeny_stays_on_the_list(owner: User, owner_client: Client) -> None:
    install_demo_pack()
    User.objects.filter(pk=owner.pk).update(is_staff=True)
    row = Benchmark.objects.get(name="japanese-sums")
    assert "Take off the list" not in owner_client.get(f"/benchmarks/{row.pk}/").content.decode()
    assert owner_client.post(f"/benchmarks/{row.pk}/hide/").status_code == 404

"""Files come from the store whole and checked, or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from merging.benchmarks import BenchmarkSpec, QuestionFile
from merging.benchmarks.sealed import new_key, seal
from tests.webapp.store.conftest import stock
from webapp.store import caches, demand, fetching
from webapp.store.caches import Cache
from webapp.store.errors import StoreError, WrongFileError
from webapp.store.fetching import bring
from webapp.store.models import Stock
from webapp.store.needs import Need, moved, of_benchmarks
from webapp.store.places import Store

pytestmark = pytest.mark.django_db


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data folder of a worker on another host."""
    (tmp_path / "joined").mkdir()
    return tmp_path / "joined"


def bring_from_store(need: Need, data: Path, store: str) -> bool:
    return bring(need, data, store, from_store=True)


def overwrite(store: str, need: Need, name: str, content: bytes) -> None:
    """What nobody should do."""
    files = Store(store)
    with files._files.open(files._path(need.kind, need.digest, name), "wb") as file:
        file.write(content)


def test_a_model_goes_into_the_store_and_comes_out_the_same(model: Need, data: Path, store: str) -> None:
    row = stock(model)
    assert (row.status, row.n_done, row.n_bytes) == ("done", 2 * 2**20 + 2, 2 * 2**20 + 2)
    assert bring_from_store(model, data, store)
    place = Cache(data).place(model)
    for name in ("config.json", "model.safetensors"):
        assert (place / name).read_bytes() == (Path(model.path) / name).read_bytes()
    assert not Cache(data).coming(model).exists()


def test_what_is_in_the_store_is_not_put_there_again(model: Need, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stock(model)
    Stock.objects.all().delete()
    monkeypatch.setattr(Store, "put", lambda *_: pytest.fail("it was put there again"))
    assert stock(model).status == "done"


def test_another_file_in_the_store_is_named_never_used_and_put_there_anew(model: Need, data: Path, store: str) -> None:
    stock(model)
    wrong = bytearray((Path(model.path) / "model.safetensors").read_bytes())
    wrong[5000] ^= 1
    overwrite(store, model, "model.safetensors", bytes(wrong))
    with pytest.raises(WrongFileError, match=r"model\.safetensors of org/model in the store .* is another file"):
        bring_from_store(model, data, store)
    assert not Cache(data).has(model)
    assert not (Cache(data).coming(model) / "model.safetensors").exists()
    row = Stock.objects.get()
    assert (row.status, row.doubted) == ("failed", ["model.safetensors"])
    assert (stock(model).status, Stock.objects.get().doubted) == ("done", [])
    assert bring_from_store(model, data, store)


def test_a_file_that_was_taken_out_of_the_store_is_put_there_anew(model: Need, data: Path, store: str) -> None:
    stock(model)
    files = Store(store)
    files._files.rm(files._path("parents", model.digest, "config.json"))
    with pytest.raises(WrongFileError, match=r"config\.json of org/model is not in the store"):
        bring_from_store(model, data, store)
    stock(model)
    assert bring_from_store(model, data, store)


def test_a_fetch_that_was_cut_goes_on_where_it_was(
    model: Need, data: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock(model)
    monkeypatch.setattr(fetching, "BLOCK_BYTES", 2**16)
    starts = []
    reading = Store.reading

    @contextmanager
    def cut(self: Store, kind: Any, digest: str, name: str, start: int) -> Iterator[IO[bytes]]:
        starts.append((name, start))
        with reading(self, kind, digest, name, start) as stream:
            if len(starts) == 2:
                read, left = stream.read, iter(range(5))
                monkeypatch.setattr(stream, "read", lambda n: read(n) if next(left, None) is not None else no_network())
            yield stream

    def no_network() -> bytes:
        raise StoreError("the network went away")

    monkeypatch.setattr(Store, "reading", cut)
    with pytest.raises(StoreError, match="went away"):
        bring_from_store(model, data, store)
    assert not Cache(data).has(model)
    assert bring_from_store(model, data, store)
    assert starts == [("config.json", 0), ("model.safetensors", 0), ("model.safetensors", 5 * 2**16)]


def test_a_put_that_was_cut_leaves_no_file_behind(model: Need, store: str, tmp_path: Path) -> None:
    def stop(n: int) -> None:
        raise StoreError("the worker was killed")

    file = Path(model.path) / "model.safetensors"
    with pytest.raises(StoreError):
        Store(store).put("parents", model.digest, file, stop)
    if store.startswith("file"):
        assert Store(store).size("parents", model.digest, file.name) is None
        assert os.listdir(tmp_path / "store" / "parents" / model.digest) == []
    assert stock(model).status == "done"


@pytest.mark.parametrize("store", ["file"], indirect=True)
class TestWithAFolder:
    """What does not depend on where the store is."""

    def test_one_of_two_processes_of_a_host_fetches(self, model: Need, data: Path, store: str) -> None:
        stock(model)
        with Cache(data).lock(model) as other:
            assert other.take()
            assert not bring_from_store(model, data, store)
        assert bring_from_store(model, data, store)

    def test_a_list_of_files_of_another_model_is_refused(self, model: Need, data: Path, store: str) -> None:
        row = stock(model)
        row.files[0]["hash"] = "0" * 64
        row.save()
        with pytest.raises(StoreError, match="another model"):
            bring_from_store(model, data, store)

    def test_the_same_files_at_the_same_path_are_used_where_they_are(self, model: Need, data: Path, store: str) -> None:
        assert bring(model, data, store="")
        assert Cache(data).place(model).resolve() == Path(model.path)

    def test_other_files_at_the_same_path_are_not(self, model: Need, data: Path, store: str) -> None:
        stock(model)
        (Path(model.path) / "config.json").write_text("[]")
        with pytest.raises(StoreError, match="has other files than on the server: mount it"):
            bring(model, data, store="")
        assert bring(model, data, store)
        assert (Cache(data).place(model) / "config.json").read_text() == "{}"

    def test_files_that_changed_on_the_server_are_not_put_into_the_store(self, model: Need, store: str) -> None:
        (Path(model.path) / "config.json").write_text("[]")
        row = stock(model)
        assert row.status == "failed"
        assert row.failure.startswith(f"the files of org/model in {model.path} have changed")

    def test_frozen_questions_come_whole_and_what_opens_their_exam_is_not_in_the_store(
        self, data: Path, store: str, tmp_path: Path
    ) -> None:
        lines = [json.dumps({"question": f"{n} + 1?", "answer": str(n + 1)}) for n in range(60)]
        (tmp_path / "sums.jsonl").write_text("\n".join(lines))
        questions = QuestionFile(str(tmp_path / "sums.jsonl"), scorer="last_number", seed=0).read("sums")
        key, folder = new_key(), tmp_path / "frozen"
        spec = BenchmarkSpec("sums", questions.digest, sealed=seal(questions, folder, key))
        [need] = of_benchmarks([spec])
        assert stock(need).status == "done"
        shutil.rmtree(folder)
        assert bring(need, data, store)
        here = moved(spec, Cache(data).path(need))
        assert here.load(key).take("final") == questions.take("final")
        assert all(key.encode() not in path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file())

    def test_models_that_nobody_needs_give_way_the_oldest_first(
        self, model: Need, data: Path, store: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for i, name in enumerate(("needed", "new", "old")):
            (data / "parents" / name).mkdir(parents=True)
            os.utime(data / "parents" / name, (1000 - i, 1000 - i))
        left = iter([0, 10**12, 10**12, 10**12])
        monkeypatch.setattr(caches.Cache, "_free", lambda self: next(left))
        Cache(data).make_room(1000, [Need("parents", "needed", "", "")])
        assert sorted(os.listdir(data / "parents")) == ["needed", "new"]

    def test_a_request_that_failed_is_made_again_after_a_while(self, model: Need, store: str) -> None:
        demand.ask([model])
        Stock.objects.update(status="failed", failure_kind="store", finished="2020-01-01T00:00Z")
        demand.ask([model])
        assert Stock.objects.get().status == "pending"

"""Exports as a worker makes them, with the real device in this process: any candidate again to the same bytes, and all other forms."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from merging.cards import CARD
from merging.errors import LoadError
from merging.folders import SUMS
from merging.methods import methods
from merging.workbench import Workbench
from tests.ledger import world
from tests.merging.models import parent, write_parent, write_relative
from webapp.exports.actions import kept_by_policy, remove_export, request_export
from webapp.exports.models import Export
from webapp.runs import actions
from webapp.runs.config import PathSettings, RunConfig
from webapp.runs.models import Run
from workers import devices, exporting, failures
from workers.failures import Failed
from workers.ledger import exports, generations
from workers.ledger.searches import Searches
from workers.pipeline import Bench, Ending
from workers.runtime import Message, Step, Tick

pytestmark = pytest.mark.django_db


class Here:
    """A device without a process; a new bench for every request, so that nothing is remembered."""

    def work(self, request: Message, tick: Tick) -> Message:
        def progress(stage: str, done: int, total: int) -> None:
            tick(Step(stage, done, total))

        try:
            return devices.WorkbenchComputer(Workbench("cpu")).build(request, progress)  # type: ignore[arg-type]
        except Exception as error:
            raise Failed(failures.of_error(error)) from error


class Nobody:
    """To whom progress is told."""

    def progress(self, *about: object) -> None:
        """Nobody listens."""


def launched(owner: User, folder: Path, kind: str) -> Run:
    base = write_parent(folder / "base")
    one, two = (parent(write_relative(folder / name, base, i + 1)) for i, name in enumerate(("one", "two")))
    config = world.config(folder, parents=(one, two), dtype="bfloat16")
    if kind == "numbers":
        settings = tuple(methods.get("dare_ties").default_settings().items())
        config = replace(config, base=parent(base), method="dare_ties", settings=settings, groups="block")
    else:
        config = replace(
            config, method="passthrough", settings=(), search="cat_cma", path=PathSettings(2, "slot", 8, p_others=0.5)
        )
    run = actions.launch(owner, RunConfig.from_json(config.to_json()), "a run")
    generations.advance(run.pk, Searches())
    return run


@pytest.fixture
def bench() -> Bench:
    return Bench(Here(), Nobody(), Ending())  # type: ignore[arg-type]


@pytest.fixture
def made(
    settings: Any, tmp_path: Path, bench: Bench, django_capture_on_commit_callbacks: Callable[..., Any]
) -> Callable[..., Export]:
    """The export of a candidate, made by a worker."""
    settings.DATA_DIR = tmp_path / "data"

    def make(candidate: Any, kind: str = "folder", variant: str = "") -> Export:
        export = request_export(candidate.run.owner, candidate, kind, variant)  # type: ignore[arg-type]
        claim = exports.claim_export("w1")
        assert claim is not None
        exporting.build(claim, bench)
        export.refresh_from_db()
        return export

    return make


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is loaded in a process of its own, which takes four seconds."""
    monkeypatch.setattr(devices, "check_after", lambda folder, prompts, tick: [])


def sums(export: Export) -> dict[str, str]:
    assert export.status == "done", export.failure
    return dict(export.files.values_list("name", "sha256"))


@pytest.mark.parametrize("kind", ["numbers", "path"])
def test_any_candidate_is_built_again_to_the_same_bytes_here_and_by_its_bundle(
    owner: User, made: Callable[..., Export], kind: str, tmp_path: Path, unloaded: None,
    django_capture_on_commit_callbacks: Callable[..., Any], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)  # where models are found by their names
    run = launched(owner, tmp_path, kind)
    candidate = run.candidates.filter(kind="evolved").order_by("index")[1]
    assert candidate.pk not in kept_by_policy(), "all that is kept of it is its recipe"
    first = made(candidate)
    before = sums(first)
    bundle = made(candidate, "bundle")
    with django_capture_on_commit_callbacks(execute=True):
        assert remove_export(first) == ""
    assert not first.folder.exists()
    assert sums(made(candidate)) == before
    call_command("reproduce", str(bundle.folder), str(tmp_path / "again"))
    assert f"{len(before) - 2} files are the same to the byte" in capsys.readouterr().out
    (bundle.folder / "model.sha256").write_text(f"{'0' * 64}  model.safetensors\n")
    with pytest.raises(Exception, match=r"differs from what the bundle says: model\.safetensors"):
        call_command("reproduce", str(bundle.folder), str(tmp_path / "other"))


@pytest.mark.slow
def test_a_folder_is_checked_loaded_and_asked_what_the_search_asked(
    owner: User, made: Callable[..., Export], tmp_path: Path
) -> None:
    """Four seconds: the folder is loaded in a process of its own."""
    run = launched(owner, tmp_path, "numbers")
    export = made(run.candidates.filter(kind="evolved")[0])
    assert export.status == "done", export.failure
    assert [check.name for check in export.checked.before] == ["Dimensions", "Vocabulary", "Chat template"]
    assert len(export.checked.said) == 3 and all("+ 1?" in said.prompt for said in export.checked.said)
    names = set(sums(export))
    assert {"config.json", "generation_config.json", "tokenizer.json", "model.safetensors", CARD, SUMS} <= names


def test_a_folder_that_does_not_load_is_no_export(
    owner: User, made: Callable[..., Export], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(folder: Path, prompts: list[str], tick: Callable[[], None]) -> None:
        raise LoadError("transformers does not load the finished folder: of course")

    monkeypatch.setattr(devices, "check_after", broken)
    export = made(launched(owner, tmp_path, "numbers").candidates.filter(kind="evolved")[0])
    assert (export.status, export.failure_kind) == ("failed", "load") and "of course" in export.failure
    assert list((tmp_path / "data" / "exports").iterdir()) == []


def test_gguf_is_one_file_beside_card_and_recipe(
    owner: User, made: Callable[..., Export], tmp_path: Path, unloaded: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = launched(owner, tmp_path, "numbers").candidates.filter(kind="evolved")[0]
    monkeypatch.setenv("PROGENY_LLAMA_CPP", str(tmp_path / "nowhere"))
    failed = made(candidate, "gguf", "Q8_0")
    assert failed.failure_kind == "conversion" and "converter is not installed" in failed.failure
    script = "import struct, sys\nout = sys.argv[sys.argv.index('--outfile') + 1]\n"
    script += "open(out, 'wb').write(struct.pack('<4sIQQ', b'GGUF', 3, 12, 5))\n"
    (tmp_path / "llama.cpp").mkdir()
    (tmp_path / "llama.cpp" / "convert_hf_to_gguf.py").write_text(script)
    monkeypatch.setenv("PROGENY_LLAMA_CPP", str(tmp_path / "llama.cpp"))
    export = made(candidate, "gguf", "Q8_0")
    assert set(sums(export)) == {"a-run-g0-0-Q8_0.gguf", CARD, SUMS, "recipe.json"}
    assert "library_name: gguf" in (export.folder / CARD).read_text()


def test_papers_need_no_device_and_say_when_mergekit_cannot(
    owner: User, made: Callable[..., Export], tmp_path: Path, bench: Bench
) -> None:
    bench.device = None  # type: ignore[assignment]
    run = launched(owner, tmp_path, "numbers")
    candidate = run.candidates.filter(kind="evolved")[0]
    recipe = made(candidate, "recipe")
    assert json.loads((recipe.folder / "recipe.json").read_text())["digest"] == candidate.recipe_digest
    assert set(sums(made(candidate, "mergekit"))) == {"mergekit_config.yml", SUMS}
    shutil.rmtree(tmp_path / "one")
    candidate.recipe["parents"][0]["name"] = "a+b"
    candidate.save(update_fields=["recipe"])
    Export.objects.filter(kind="mergekit").delete()
    refused = made(candidate, "mergekit")
    assert refused.failure_kind == "recipe" and "mergekit cannot be told of the model 'a+b'" in refused.failure

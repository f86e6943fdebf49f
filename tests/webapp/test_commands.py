"""The terminal: whole runs of parents that are not the demo's, and what is refused before anything starts."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import nullcontext
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from merging.demo import PACK
from merging.indexes import parent_facts
from merging.recipes import Recipe
from tests.conftest import at_work, hired_worker
from tests.ledger.shares import N_SAMPLES
from tests.merging.models import config, write_parent, write_relative
from tests.workers.conftest import Staff
from webapp.runs.management.commands import evolve
from webapp.runs.models import Run
from webapp.system import services as started
from webapp.system.processes import Child

N_QUESTIONS = 8


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the tests: nothing is started for the command."""
    for module in (evolve, started):
        monkeypatch.setattr(module, "ensure_services", lambda say, worker=False: nullcontext())


@pytest.fixture(scope="module")
def hired(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """One worker for all runs of this file: to start one takes longer than most of them."""
    with hired_worker(tmp_path_factory.mktemp("worker")) as worker:
        os.kill(worker.pid, signal.SIGSTOP)
        yield worker
        os.kill(worker.pid, signal.SIGCONT)


@pytest.fixture
def worker(hired: Child, transactional_db: None) -> Iterator[None]:
    with at_work(hired):
        yield


@pytest.fixture
def quick_worker(transactional_db: None, tmp_path: Path) -> Iterator[None]:
    """One with a fake device."""
    staff = Staff(tmp_path)
    staff.fork()
    yield
    staff.end()


@pytest.fixture
def family(tmp_path: Path) -> dict[str, str]:
    """Another architecture with another tokenizer than the demo's."""
    base = write_parent(tmp_path / "base", config("qwen2", max_position_embeddings=512), seed=1)
    relatives = {name: write_relative(tmp_path / name, base, seed=seed) for name, seed in (("a", 2), ("b", 3))}
    return {name: str(folder) for name, folder in {"base": base, **relatives}.items()}


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    file = tmp_path / "colours.jsonl"
    lines = [
        {"question": f"What colour has thing {i}?", "answer": f"blue {i}", "language": "en"} for i in range(N_QUESTIONS)
    ]
    file.write_text("\n".join(map(json.dumps, lines)))
    return file


def run_evolve(*words: str, budget: int = 6) -> dict[str, Any]:
    out = StringIO()
    call_command("evolve", *words, "--budget", str(budget), "--seed", "3", "--json", stdout=out)
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


def choices(family: dict[str, str], questions: Path, method: str = "task_arithmetic") -> list[str]:
    words = ["--parents", f"{family['a']},{family['b']}", "--base", family["base"], "--benchmark", str(questions)]
    return [*words, "--method", method, "--scorer", "exact_match", "--groups", "model"]


def check(found: dict[str, Any], n_final: int) -> None:
    """What is told of a run that has ended."""
    assert (found["state"], len(found["candidates"])) == ("done", 6)
    compared = [found["winner"], *found["parents"], *found["baselines"]]
    assert [scored["name"] for scored in found["parents"]] == ["a", "b"]
    assert {scored["final"]["n"] for scored in compared} == {n_final}
    assert found["first_candidate_seconds"] <= found["seconds"]


@pytest.mark.usefixtures("services", "quick_worker")
def test_a_run_is_followed_to_a_winner_with_final_scores(family: dict[str, str], questions: Path) -> None:
    check(run_evolve(*choices(family, questions)), N_SAMPLES)


@pytest.mark.usefixtures("services", "worker")
@pytest.mark.timeout(240)
@pytest.mark.slow
def test_parents_in_folders_evolve_to_a_winner_with_final_scores(family: dict[str, str], questions: Path) -> None:
    check(run_evolve(*choices(family, questions)), N_QUESTIONS // 4)


@pytest.mark.usefixtures("services", "worker")
@pytest.mark.timeout(240)
@pytest.mark.slow
def test_what_parents_share_evolves_along_gradients_for_parts_of_layers(
    family: dict[str, str], questions: Path
) -> None:
    words = ["--parents", f"{family['a']},{family['b']}", "--benchmark", str(questions), "--scorer", "exact_match"]
    found = run_evolve(*words, "--method", "slerp", "--groups", "gradient 2", "--filters", "parts")
    assert (found["state"], len(found["candidates"][0]["genome"])) == ("done", 6)
    recipe = Recipe.from_json(found["winner_recipe"])
    assert [group.filter for group in recipe.groups[:3]] == ["self_attn", "mlp", ""]
    assert len(recipe.shared) == 3 * config("qwen2")["num_hidden_layers"]


PATH = ("--path-search", "random", "--path-budget", "3", "--path-scales", "slot", "--seed", "3", "--json")


def path_choices(family: dict[str, str], questions: Path, parents: str = "a,b") -> list[str]:
    folders = ",".join(family[name] for name in parents.split(","))
    return ["--parents", folders, "--benchmark", str(questions), "--scorer", "exact_match", *PATH]


@pytest.mark.usefixtures("services", "worker")
@pytest.mark.timeout(240)
@pytest.mark.slow
def test_a_path_evolves_through_the_layers_of_two_folders(family: dict[str, str], questions: Path) -> None:
    out = StringIO()
    call_command("evolve", "--space", "path", *path_choices(family, questions), "--path-repeats", "2", stdout=out)
    found = json.loads(out.getvalue())
    assert (found["state"], len(found["candidates"]), found["winner_by"]) == ("done", 3, "validation")
    assert [one["name"] for one in found["baselines"]] == ["uniform average", "untuned stack", "starting point"]
    assert Recipe.from_json(found["winner_recipe"]).path


@pytest.mark.usefixtures("services", "worker")
@pytest.mark.timeout(240)
@pytest.mark.slow
def test_the_winner_over_numbers_is_model_a_of_a_run_over_paths_that_follows_by_itself(
    family: dict[str, str], questions: Path
) -> None:
    words = ["--space", "both", *path_choices(family, questions), "--base", family["base"], "--budget", "6"]
    out = StringIO()
    call_command("evolve", *words, "--method", "task_arithmetic", "--path-model-b", family["b"], stdout=out)
    found = json.loads(out.getvalue())
    assert [found[name]["state"] for name in ("numbers", "path")] == ["done", "done"]
    a, b = (one["name"] for one in found["path"]["parents"])
    assert a.endswith(found["numbers"]["winner"]["name"].replace(".", "-")) and b == "b"
    numbers, start = found["numbers"]["winner"], found["path"]["baselines"][-1]
    assert start["name"] == "starting point" and start["final"]["mean"] == numbers["final"]["mean"]
    assert Recipe.from_json(found["path"]["winner_recipe"]).parents[0].name == a


def truncate(folder: str) -> None:
    file = Path(folder) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


@pytest.mark.django_db
@pytest.mark.usefixtures("services")
class TestRefusals:
    """Each names the thing, what was found and what is expected; no run is left behind."""

    def refused(self, *words: str, budget: int = 6) -> str:
        with pytest.raises(CommandError) as caught:
            run_evolve(*words, budget=budget)
        assert not Run.objects.exists()
        return str(caught.value)

    def test_a_broken_line(self, family: dict[str, str], questions: Path) -> None:
        questions.write_text(questions.read_text().replace('"blue 3"', "blue 3"))
        assert "line 4" in self.refused(*choices(family, questions))

    def test_parents_of_different_shapes(self, family: dict[str, str], questions: Path, tmp_path: Path) -> None:
        family["b"] = str(
            write_parent(tmp_path / "wide", config("qwen2", intermediate_size=32, max_position_embeddings=512), seed=4)
        )
        message = self.refused(*choices(family, questions))
        assert "[24, 16]" in message and "[32, 16]" in message

    def test_an_unknown_method(self, family: dict[str, str], questions: Path) -> None:
        message = self.refused(*choices(family, questions, method="tais"))
        assert "tais" in message and "ties" in message

    def test_a_method_with_nothing_to_search(self, family: dict[str, str], questions: Path) -> None:
        message = self.refused(*choices(family, questions, method="model_stock"))
        assert "Model Stock has nothing to search" in message

    def test_a_filter_that_no_tensor_has(self, family: dict[str, str], questions: Path) -> None:
        message = self.refused(*choices(family, questions), "--filters", "self_atn")
        assert "no tensor for model self_atn" in message and "such as self_attn, mlp" in message

    def test_a_budget_of_zero(self, family: dict[str, str], questions: Path) -> None:
        assert "0 candidates; expected 1 to 100000" in self.refused(*choices(family, questions), budget=0)

    def test_a_truncated_file(self, family: dict[str, str], questions: Path) -> None:
        truncate(family["a"])
        message = self.refused(*choices(family, questions))
        assert "model.safetensors" in message and "bytes" in message

    def test_options_of_another_space(self, family: dict[str, str], questions: Path) -> None:
        found = self.refused(*choices(family, questions), "--path-repeats", "2")
        assert found == "--path-repeats belongs to a run over paths: expected --space path or both"
        found = self.refused(*path_choices(family, questions), "--space", "path")
        assert "--budget belongs to a run over numbers" in found

    def test_a_path_through_three(self, family: dict[str, str], questions: Path) -> None:
        with pytest.raises(CommandError, match="3 models; a path leads through A and B, or A alone"):
            call_command("evolve", "--space", "path", *path_choices(family, questions, "a,b,base"))

    def test_a_path_that_is_too_short_for_model_a(self, family: dict[str, str], questions: Path) -> None:
        with pytest.raises(CommandError, match="expected as many or more"):
            call_command("evolve", "--space", "path", *path_choices(family, questions), "--path-max-hops", "1")
        assert not Run.objects.exists()

    def test_neither_parents_nor_a_preset(self) -> None:
        assert "--parents" in self.refused()


@pytest.mark.usefixtures("services")
class TestMerge:
    def test_a_recipe_by_names_becomes_a_folder(self, tmp_path: Path) -> None:
        models = [{"model": f"demo/{name}", "parameters": {"weight": 1.0}} for name in ("japanese", "addition")]
        content = {"merge_method": "task_arithmetic", "base_model": "demo/base", "models": models, "dtype": "bfloat16"}
        (tmp_path / "recipe.yml").write_text(json.dumps(content))
        call_command("merge", tmp_path / "recipe.yml", tmp_path / "out")
        made, base = parent_facts(tmp_path / "out"), parent_facts(PACK / "base")
        assert (set(made.tensors), made.n_bytes, made.dtype) == (set(base.tensors), base.n_bytes, "bfloat16")

    def test_a_recipe_that_is_no_recipe_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "recipe.json").write_text("{")
        with pytest.raises(CommandError, match="is not JSON"):
            call_command("merge", tmp_path / "recipe.json", tmp_path / "out")
        assert not (tmp_path / "out").exists()

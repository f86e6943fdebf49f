"""The terminal: whole runs of parents that are not the demo's, and what is refused before anything starts."""

from __future__ import annotations

import json
from contextlib import nullcontext
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from merging.demo import PACK
from merging.indexes import parent_facts
from merging.recipes import Recipe
from tests.merging.models import config, write_parent, write_relative
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


@pytest.mark.usefixtures("services")
@pytest.mark.timeout(240)
def test_parents_in_folders_evolve_to_a_winner_with_final_scores(
    family: dict[str, str], questions: Path, worker_process: Child
) -> None:
    found = run_evolve(*choices(family, questions))
    assert (found["state"], len(found["candidates"])) == ("done", 6)
    compared = [found["winner"], *found["parents"], *found["baselines"]]
    assert [scored["name"] for scored in found["parents"]] == ["a", "b"]
    assert {scored["final"]["n"] for scored in compared} == {N_QUESTIONS // 4}
    assert found["first_candidate_seconds"] <= found["seconds"]


@pytest.mark.usefixtures("services")
@pytest.mark.timeout(240)
def test_what_parents_share_evolves_along_gradients_for_parts_of_layers(
    family: dict[str, str], questions: Path, worker_process: Child
) -> None:
    words = ["--parents", f"{family['a']},{family['b']}", "--benchmark", str(questions), "--scorer", "exact_match"]
    found = run_evolve(*words, "--method", "slerp", "--groups", "gradient 2", "--filters", "parts")
    assert (found["state"], len(found["candidates"][0]["genome"])) == ("done", 6)
    recipe = Recipe.from_json(found["winner_recipe"])
    assert [group.filter for group in recipe.groups[:3]] == ["self_attn", "mlp", ""]
    assert len(recipe.shared) == 3 * config("qwen2")["num_hidden_layers"]


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
        assert "0 candidates; expected at least 1" in self.refused(*choices(family, questions), budget=0)

    def test_a_truncated_file(self, family: dict[str, str], questions: Path) -> None:
        truncate(family["a"])
        message = self.refused(*choices(family, questions))
        assert "model.safetensors" in message and "bytes" in message

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

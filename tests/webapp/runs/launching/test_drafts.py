"""From choices to a run that can be launched: what it amounts to, and all that stands in its way at once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from tests.webapp.library.folders import model_folder
from tests.webapp.runs.choices import Library, draft, library
from webapp.library.actions import register_parent
from webapp.runs.config import PathSettings
from webapp.runs.launching.drafts import plan
from webapp.runs.launching.problems import DraftError


@pytest.fixture
def chosen(owner: User, tmp_path: Path) -> Library:
    return library(owner, tmp_path)


def problems(chosen: Library, **changes: Any) -> dict[str, str]:
    with pytest.raises(DraftError) as refused:
        plan(draft(chosen, **changes))
    return {name: " ".join(sentences) for name, sentences in refused.value.problems.items()}


def test_a_plan_says_what_the_run_amounts_to(chosen: Library) -> None:
    planned = plan(draft(chosen, method="ties", groups="block"))
    assert (planned.n_groups, planned.n_genes, planned.population_size) == (3, 12, 11)
    assert planned.sentence == (
        "Mix 2 models with TIES in 3 layer groups: 12 numbers to find; CMA-ES, 11 per generation, up to 40 candidates."
    )


def test_one_number_is_singular(chosen: Library) -> None:
    one = plan(draft(chosen, method="slerp", base=None, search="random"))
    assert "with SLERP in one group of layers: 1 number to find; Random" in one.sentence


def test_counts_that_are_left_out_are_the_whole_split(chosen: Library) -> None:
    config = plan(draft(chosen, n_search=5)).config
    (only,) = config.objectives
    assert (only.weight, only.n_search, only.n_validation, only.n_final) == (1.0, 5, 10, 10)


def test_the_configuration_is_frozen_from_what_was_chosen(chosen: Library) -> None:
    config = plan(draft(chosen, settings={"normalize": True, "lambda": 0.5})).config
    assert [parent.fingerprint for parent in config.parents] == [chosen.first.fingerprint, chosen.second.fingerprint]
    assert config.settings == (("lambda", 0.5), ("normalize", True))
    assert type(config).from_json(config.to_json()) == config


def test_a_tokenizer_is_everybody_s_unless_one_is_chosen(chosen: Library) -> None:
    usual, first = plan(draft(chosen)).config, plan(draft(chosen, tokenizer="first")).config
    assert "tokenizer" not in usual.to_json()
    assert type(first).from_json(first.to_json()) == first
    space = first.space()
    assert space.decode(space.centre).companions.tokenizer == "first"
    assert plan(draft(chosen, tokenizer="base")).config.tokenizer == "base"
    refused = problems(chosen, tokenizer="base", base=None, method="linear")
    assert refused == {
        "tokenizer": "no base model is chosen whose tokenizer the result could have; expected one, or another choice"
    }


def test_other_vocabularies_need_a_choice_of_tokenizer(chosen: Library, owner: User, tmp_path: Path) -> None:
    other = register_parent(owner, model_folder(tmp_path / "other", more_words=("e",)))
    both = {"parents": (chosen.first, other), "base": None, "method": "linear"}
    assert "Choose whose tokenizer the result has" in problems(chosen, **both)["parents"]
    assert plan(draft(chosen, **both, tokenizer="union")).config.tokenizer == "union"


def test_a_configuration_from_before_there_were_filters_is_read(chosen: Library) -> None:
    config = plan(draft(chosen)).config
    frozen = config.to_json()
    del frozen["filters"]
    assert type(config).from_json(frozen) == config


def test_a_run_of_numbers_is_stored_as_it_was_before_there_were_paths(chosen: Library) -> None:
    config = plan(draft(chosen)).config
    assert "path" not in config.to_json()
    assert type(config).from_json(config.to_json()) == config


def test_a_path_is_stored_with_its_run(chosen: Library) -> None:
    config = replace(plan(draft(chosen)).config, path=PathSettings(repeats=2, scales="network", max_hops=5))
    assert type(config).from_json(json.loads(json.dumps(config.to_json()))) == config
    assert config.digest() != replace(config, path=None).digest()


@pytest.mark.parametrize(
    ("groups", "filters", "words"),
    [
        ("model", "", "one group of layers"),
        ("block", "parts", "every layer its own group, self_attn and mlp apart from the rest"),
        ("2", "mlp", "2 layer groups, mlp apart from the rest"),
        ("gradient 2", "", "a gradient over depth with 2 knots"),
    ],
)
def test_layer_groups_are_frozen_and_told_in_words(chosen: Library, groups: str, filters: str, words: str) -> None:
    config = plan(draft(chosen, groups=groups, filters=filters)).config
    assert config.groups_in_words == words
    assert type(config).from_json(config.to_json()).space() == config.space()


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"parents": ()}, "parents", "Task arithmetic takes 1 or more parents, found 0"),
        ({"base": None}, "base", "measures task vectors from a base model: choose one"),
        ({"method": "linear"}, "base", "Linear uses no base model, found base"),
        ({"method": "tise"}, "method", "Did you mean ties?"),
        ({"search": "cmaes"}, "population_size", "Did you mean cma_es?"),
        ({"measures": ()}, "benchmarks", "no benchmark is chosen"),
        ({"groups": "9"}, "groups", "expected model, block, a number from 2 to the 2 layers"),
        ({"filters": "mpl"}, "filters", "the filters leave no tensor for model mpl"),
        ({"method": "karcher", "base": None}, "groups", "Karcher mean has nothing to search"),
        ({"budget": 0}, "budget", "the budget is 0 candidates; expected 1 to 100000"),
        ({"seed": -1}, "seed", "the seed is -1; expected a whole number from 0"),
        ({"population_size": 2}, "population_size", "CMA-ES needs at least 4"),
        ({"n_search": 21}, "n_search", "21 search questions; sums holds 20: expected 1 to 20"),
        ({"n_final": 0}, "n_final", "expected 1 to 10"),
        ({"settings": {"lambda": float("nan")}}, "groups", "lambda of Task arithmetic is nan"),
    ],
)
def test_what_cannot_be_launched_is_named_at_its_field(
    chosen: Library, changes: dict[str, Any], field: str, sentence: str
) -> None:
    found = problems(chosen, **changes)
    (only,) = found
    assert only.partition("-")[0] == field
    assert sentence in found[only]


def test_parents_of_different_shapes_are_refused_with_both_shapes(chosen: Library) -> None:
    assert "hidden_size is 3 in wide and 2 in base" in problems(chosen, parents=(chosen.first, chosen.wide))["parents"]


def test_all_problems_are_said_at_once(chosen: Library) -> None:
    wrong = {"parents": (chosen.wide,), "groups": "7", "budget": 0, "seed": -1, "n_search": 99, "population_size": 1}
    assert {name.partition("-")[0] for name in problems(chosen, **wrong)} == {
        "parents",
        "groups",
        "budget",
        "seed",
        "n_search",
    }


def test_a_folder_that_changed_since_it_was_registered_is_refused(chosen: Library) -> None:
    (Path(chosen.first.folder) / "tokenizer_config.json").write_text("{}")
    assert "first" in problems(chosen)["parents"]
    assert "register the folder again" in problems(chosen)["parents"]


def test_a_truncated_file_is_refused_by_name(chosen: Library) -> None:
    weights = Path(chosen.second.folder) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    assert "model.safetensors" in problems(chosen)["parents"]


def test_steady_state_is_frozen_and_asks_everybody_the_same(chosen: Library) -> None:
    usual, steady = plan(draft(chosen)).config, plan(draft(chosen, steady=True)).config
    assert "steady" not in usual.to_json() and steady.to_json()["steady"] is True
    assert type(steady).from_json(steady.to_json()) == steady
    with pytest.raises(DraftError) as refused:
        plan(draft(chosen, steady=True, fidelity="racing"))
    assert [*refused.value.problems] == ["steady"]
    assert "expected all of the search questions, or whole generations" in str(refused.value)

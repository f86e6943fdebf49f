"""Runs over paths: what they amount to, in which order of parents, and all that stands in their way at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from merging.path_genomes import PathSpace
from merging.recipes import Recipe
from tests.webapp.library.folders import model_folder
from tests.webapp.runs.choices import Library, draft, library
from webapp.library.actions import register_parent
from webapp.library.models import Parent
from webapp.runs import actions
from webapp.runs.config import RunConfig
from webapp.runs.launching import estimates
from webapp.runs.launching.drafts import Draft, PathDraft, plan, plan_both
from webapp.runs.launching.plans import Plan
from webapp.runs.launching.problems import DraftError
from webapp.runs.models import Evaluation, Run, Score

SLOT = PathDraft(1, "slot")


@pytest.fixture
def chosen(owner: User, tmp_path: Path) -> Library:
    return library(owner, tmp_path)


@pytest.fixture
def deep(owner: User, tmp_path: Path) -> Parent:
    """The same with five layers."""
    return register_parent(owner, model_folder(tmp_path / "deep", n_layers=5, fill=4.0))


def planned(chosen: Library, *parents: Parent, path: PathDraft = SLOT, **changes: Any) -> Plan:
    values = {"base": None, "method": "passthrough", "search": "cma_es", **changes}
    return plan(draft(chosen, parents=parents, path=path, **values))


def problems(chosen: Library, *parents: Parent, **changes: Any) -> dict[str, str]:
    with pytest.raises(DraftError) as refused:
        planned(chosen, *parents, **changes)
    return {name: " ".join(sentences) for name, sentences in refused.value.problems.items()}


def test_a_plan_says_in_plain_words_where_a_path_may_lead(chosen: Library, deep: Parent) -> None:
    found = planned(chosen, deep, chosen.second, path=PathDraft(2, "slot", 6))
    assert found.sentence == (
        "Find a path through the 5 layers of deep, which begin and end it, and 2 of second, the list twice: 12 switches and 13 scales "
        "to find, at most 6 layers in all; CMA-ES, 13 per generation, up to 40 candidates."
    )
    assert found.name == "Layer path on sums"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (PathDraft(1, "one"), "repeated: 3 switches without scales to find, at most 5 layers"),
        (PathDraft(3, "network"), "repeated, the list 3 times: 13 switches and the 41 numbers of a network that makes"),
    ],
)
def test_a_model_alone_is_searched_for_what_it_can_skip_and_repeat(
    chosen: Library, deep: Parent, path: PathDraft, words: str
) -> None:
    found = planned(chosen, deep, path=path).sentence
    assert "5 layers of deep alone, skipped or repeated" in found and words in found


def test_the_order_of_parents_is_the_persons_and_another_order_another_run(chosen: Library, deep: Parent) -> None:
    one, other = planned(chosen, deep, chosen.first).config, planned(chosen, chosen.first, deep).config
    assert [parent.name for parent in one.parents] == ["deep", "first"]
    assert [parent.name for parent in other.parents] == ["first", "deep"]
    assert one.digest() != other.digest()


def test_a_run_over_paths_is_frozen_without_anything_of_numbers(chosen: Library, deep: Parent) -> None:
    wrong = {"method": "ties", "groups": "9", "filters": "nothing", "base": chosen.base, "settings": {"lambda": 5.0}}
    config = planned(chosen, deep, chosen.first, **wrong).config
    assert (config.method, config.groups, config.base) == ("passthrough", "model", None)
    assert (config.settings, config.filters) == ((), ())
    assert isinstance(config.space(), PathSpace) and type(config).from_json(config.to_json()).space() == config.space()


@pytest.mark.parametrize(
    ("n_parents", "repeats", "expected"), [(2, 1, 7), (2, 3, 7), (1, 1, 5), (1, 2, 10), (1, 3, 10)]
)
def test_a_path_is_by_default_as_long_as_both_parents_or_one_twice(
    chosen: Library, deep: Parent, n_parents: int, repeats: int, expected: int
) -> None:
    path = planned(chosen, *(deep, chosen.first)[:n_parents], path=PathDraft(repeats, "one")).config.path
    assert path and path.max_hops == expected


def test_what_a_path_costs_is_told_in_layers_of_model_a(chosen: Library, deep: Parent) -> None:
    route = planned(chosen, deep, chosen.first, path=PathDraft(1, "one")).route
    assert route and route.n_hops_at_first == pytest.approx(2 + 3 * 0.977 + 2 * 0.5, abs=0.01)
    assert route.times_at_most == 7 / 5
    near = planned(chosen, deep, chosen.first, path=PathDraft(1, "one", p_others=0.1)).route
    assert near and near.n_hops_at_first == pytest.approx(2 + 3 * 0.977 + 2 * 0.1, abs=0.01)
    bounded = planned(chosen, deep, chosen.first, path=PathDraft(3, "one", 6)).route
    assert bounded and bounded.n_hops_at_first == 6


@pytest.mark.parametrize(
    ("path", "field", "sentence"),
    [
        ({"repeats": 0}, "repeats", "repeated 0 times; expected 1 to"),
        ({"scales": "some"}, "scales", "expected one of matrix, network, slot, one"),
        ({"p_others": 0.7}, "p_others", "with probability 0.7 at the start; expected 0.002 to 0.5"),
        ({"max_hops": 4}, "max_hops", "deep alone has 5 layers: expected as many or more"),
        ({"max_hops": 8}, "max_hops", "there are 7 layers to pass: expected as many or fewer"),
    ],
)
def test_what_is_wrong_with_a_path_is_said_at_its_field(
    chosen: Library, deep: Parent, path: dict[str, Any], field: str, sentence: str
) -> None:
    found = problems(chosen, deep, chosen.first, path=replace(SLOT, **path))
    assert found.keys() == {field} and sentence in found[field]


def test_all_that_is_wrong_is_said_at_once(chosen: Library, deep: Parent) -> None:
    wrong = PathDraft(0, "some", 1)
    assert problems(chosen, deep, chosen.first, path=wrong, budget=0).keys() == {
        "repeats",
        "scales",
        "max_hops",
        "budget",
    }


@pytest.mark.parametrize("n", [0, 3])
def test_a_path_leads_through_two_models_or_one(chosen: Library, n: int) -> None:
    found = problems(chosen, *(chosen.first, chosen.second, chosen.base)[:n])
    assert f"{n} models are chosen; expected two, A and B, or A alone" in found["parents"]


def test_layers_that_cannot_follow_each_other_are_refused_with_both_shapes(chosen: Library) -> None:
    assert "hidden_size is 3 in wide and 2 in first" in problems(chosen, chosen.first, chosen.wide)["parents"]


def test_a_family_that_nobody_listed_has_no_layers_to_pass(owner: User, chosen: Library, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "strange")
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"llama"', '"strange"'))
    strange = register_parent(owner, folder)
    assert "unlisted family strange" in problems(chosen, strange)["parents"]


def test_one_model_is_not_both_a_and_b(chosen: Library, deep: Parent) -> None:
    assert "named more than once" in problems(chosen, deep, deep)["parents"]


def test_models_that_can_only_stack_make_no_run_of_numbers(chosen: Library, deep: Parent) -> None:
    """The other way round: what a path allows, a mix does not."""
    assert planned(chosen, deep, chosen.first).route
    with pytest.raises(DraftError, match="number of layers"):
        plan(draft(chosen, parents=(deep, chosen.first)))


def test_a_search_that_a_path_has_too_many_scales_for_is_refused(chosen: Library, owner: User, tmp_path: Path) -> None:
    many = register_parent(owner, model_folder(tmp_path / "many", n_layers=30))
    found = problems(chosen, many, path=PathDraft(2, "matrix"), search="cat_cma")
    assert found.keys() == {"population_size"} and "CatCMAwM" in found["population_size"]


def test_both_are_planned_with_a_parent_in_the_place_of_the_winner(chosen: Library) -> None:
    """Also where model B is one of the first run's parents, as in the paper."""
    numbers, path = plan_both(draft(chosen), then(chosen, chosen.first))
    assert numbers == plan(draft(chosen))
    assert "2 layers of the winner, which begin and end it, and 2 of first" in path.sentence
    a, b = path.config.parents
    assert (a.name, a.fingerprint, b.name) == ("the winner", chosen.first.fingerprint, "first")


def test_the_second_run_of_both_has_the_winners_dtype_and_model_b_is_optional(chosen: Library) -> None:
    _, path = plan_both(draft(chosen), then(chosen, path=PathDraft(2, "one")))
    assert path.config.dtype == "float32" and len(path.config.parents) == 1


def test_what_is_wrong_with_both_is_said_at_once_and_each_where_it_was_chosen(chosen: Library) -> None:
    with pytest.raises(DraftError) as refused:
        plan_both(
            draft(chosen, budget=0, seed=-1), then(chosen, chosen.wide, path=PathDraft(1, "some"), budget=-1, seed=-1)
        )
    found = refused.value.problems
    assert found.keys() == {"budget", "seed", "then-parents", "then-budget"}
    assert "hidden_size is 3 in wide and 2 in the winner" in found["then-parents"][0]
    assert len(found["seed"]) == 1


def then(chosen: Library, *b: Parent, path: PathDraft = SLOT, **changes: Any) -> Draft:
    return draft(chosen, parents=b, path=path, **changes)


def test_a_run_over_paths_is_measured_against_both_parents_their_average_and_an_untuned_stack(
    chosen: Library, owner: User
) -> None:
    run = actions.launch(owner, planned(chosen, chosen.first, chosen.second).config, "a path")
    written = run.candidates.order_by("index").values_list("kind", "name")
    names = ["uniform average", "untuned stack", "starting point"]
    assert list(written) == [("parent", "first"), ("parent", "second"), *(("baseline", name) for name in names)]
    recipes = {c.name: Recipe.from_json(c.recipe) for c in run.candidates.all()}
    stack, start = recipes["untuned stack"].path, recipes["starting point"].path
    assert stack and [(hop.parent, hop.layer) for hop in stack.hops] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert start and [(hop.parent, hop.layer) for hop in start.hops] == [(0, 0), (0, 1)]
    assert {*stack.scales, *start.scales} == {1.0}


def test_parents_that_only_stack_have_no_average_and_one_alone_no_stack(
    chosen: Library, owner: User, deep: Parent
) -> None:
    for parents, expected in (((deep, chosen.first), {"untuned stack"}), ((deep,), set())):
        run = actions.launch(owner, planned(chosen, *parents).config, "a path")
        assert {c.name for c in run.candidates.filter(kind="baseline")} == expected | {"starting point"}
        assert actions.n_references(planned(chosen, *parents).config) == run.candidates.count()


def test_a_path_is_estimated_from_model_a_by_its_layers_until_one_was_measured(
    chosen: Library, owner: User, deep: Parent
) -> None:
    route = planned(chosen, chosen.first, chosen.second)
    assert estimates.cost(route).seconds is None
    numbers = actions.launch(owner, plan(draft(chosen)).config, "numbers")
    measure(numbers, seconds=0.5)
    assert estimates._question_seconds(route, chosen.benchmark.digest) == pytest.approx(0.5 * 3 / 2)
    assert estimates.cost(route).seconds is not None
    measure(actions.launch(owner, route.config, "a path"), seconds=2.0)
    assert estimates._question_seconds(route, chosen.benchmark.digest) == pytest.approx(2.0)
    assert estimates._question_seconds(plan(draft(chosen)), chosen.benchmark.digest) == pytest.approx(0.5)


def measure(run: Run, seconds: float) -> None:
    """One score, so many seconds a question."""
    (evaluation,) = run.evaluations.filter(split="search")[:1]
    scored = {"fitness": 0.5, "mean": 0.5, "low": 0.4, "high": 0.6, "n": 10, "lease_token": 1, "merge_seconds": 0.1}
    Evaluation.objects.filter(pk=evaluation.pk).update(status="done", finished=run.created, **scored)
    (asked,) = RunConfig.from_json(run.config).objectives
    shares = {"mean": 0.5, "low": 0.4, "high": 0.6, "right": 0.5}
    told = {"benchmark": asked.spec.name, "digest": asked.spec.digest, "scorer": "last_number@1"}
    Score.objects.create(evaluation=evaluation, index=0, n=10, seconds=10 * seconds, **shares, **told)

"""The candidate page: recipe, picture, scores beside the parents', answers, and who may see them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
import yaml
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from merging.genomes import GenomeSpace, parameter_space
from merging.methods import methods
from merging.recipes import LayerGroup, Recipe, passthrough_recipe, uniform_average
from merging.statistics import paired_test
from tests.webapp.runs.rows import BASE, PARENTS, make_run, rewrite
from webapp.runs import outcomes
from webapp.runs.board.standing import standing
from webapp.runs.models import Attempt, Candidate, Evaluation, Outcomes, Run, RunState
from webapp.runs.pictures import layer_map

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(owner: User) -> Run:
    return make_run(owner, state="done", n_generations=3, ending=True)


def answer(client: Client, run: Run, candidate: Candidate | None = None, **query: str) -> Any:
    pk = candidate.pk if candidate else run.winner_id
    return client.get(reverse("runs:candidate", args=[run.pk, pk]), query)


def text(client: Client, run: Run, candidate: Candidate | None = None, **query: str) -> str:
    found = answer(client, run, candidate, **query)
    assert found.status_code == 200
    return str(found.content.decode())


def samples(run: Run, split: str, parent: str | None = None) -> list[bool]:
    """The outcomes of the winner, or of a parent by its name."""
    who = {"candidate__name": parent} if parent else {"candidate": run.winner_id}
    found = Outcomes.objects.get(score__evaluation=Evaluation.objects.get(run=run, split=split, **who))
    return [score == 1 for score in found.scores]


def test_the_page_is_the_owners_alone(
    run: Run, owner_client: Client, member_client: Client, stranger_client: Client
) -> None:
    assert answer(owner_client, run).status_code == 200
    assert answer(member_client, run).status_code == 404
    assert answer(stranger_client, run).status_code == 302


def test_a_candidate_is_found_only_under_its_own_run(run: Run, owner: User, owner_client: Client) -> None:
    other = make_run(owner, n_generations=0)
    assert answer(owner_client, other, run.winner).status_code == 404


def test_a_candidate_of_another_owner_is_not_found_under_ones_own_run(
    run: Run, member: User, member_client: Client
) -> None:
    assert answer(member_client, make_run(member, n_generations=0), run.winner).status_code == 404


def test_the_recipe_stands_there_in_words(run: Run, owner_client: Client) -> None:
    assert run.winner
    assert Recipe.from_json(run.winner.recipe).sentence() in text(owner_client, run)


def test_scores_are_compared_with_each_parent_on_the_same_questions(run: Run) -> None:
    assert run.winner
    found = standing(run, run.winner)
    line = next(line for line in found.lines if line.candidate.name == "demo/japanese")
    for cell in line.cells:
        mine, other = samples(run, cell.split), samples(run, cell.split, "demo/japanese")
        expected, difference = paired_test(mine, other), (sum(mine) - sum(other)) / len(mine)
        assert cell.comparison == outcomes.Comparison(
            expected.only_first, expected.only_second, expected.p, len(mine), pytest.approx(difference, abs=1e-12)
        )


def test_a_difference_is_of_common_questions_by_the_benchmarks_weights() -> None:
    """Worked by hand: 1 of 2 against 0 of 2 of the first benchmark, weight 3; 0 against 1 on one of the second; nothing on the third."""
    mine = tuple(outcomes.Marks(marks) for marks in ({0: 1.0, 5: 0.0}, {1: 0.0}, {0: 1.0}))
    other = tuple(outcomes.Marks(marks) for marks in ({0: 0.0, 1: 1.0, 2: 1.0, 5: 0.0}, {0: 0.0, 1: 1.0}, {1: 0.0}))
    found = outcomes.compare(mine, other, (3.0, 1.0, 4.0))
    assert (found.n, found.gained, found.lost) == (3, 1, 1)
    assert found.difference == pytest.approx((3 * 0.5 + 1 * -1.0) / 4)
    assert outcomes.compare(mine[2:], other[2:], (1.0,)).difference == 0.0


def test_filters_hold_what_they_say(run: Run, owner_client: Client) -> None:
    mine, other = samples(run, "final"), max((samples(run, "final", parent.name) for parent in PARENTS), key=sum)
    page = text(owner_client, run, split="final")
    counts = {name: int(n) for name, n in re.findall(r">(all|right|wrong|gained|lost) (\d+)</a>", page)}
    assert counts == {
        "all": len(mine),
        "right": sum(mine),
        "wrong": len(mine) - sum(mine),
        "gained": sum(a and not b for a, b in zip(mine, other, strict=True)),
        "lost": sum(b and not a for a, b in zip(mine, other, strict=True)),
    }


def test_what_is_wrong_of_both_or_right_here_alone_is_counted(run: Run, owner_client: Client) -> None:
    mine, best = samples(run, "final"), max((samples(run, "final", parent.name) for parent in PARENTS), key=sum)
    others = [samples(run, "final", candidate.name) for candidate in run.candidates.filter(generation=None)]
    page = text(owner_client, run, split="final")
    found = {name: int(n) for name, n in re.findall(r">(both wrong|only this one) (\d+)</a>", page)}
    assert found == {
        "both wrong": sum(not a and not b for a, b in zip(mine, best, strict=True)),
        "only this one": sum(a and not any(rest) for a, *rest in zip(mine, *others, strict=True)),
    }
    assert found["only this one"] > 0 and "show=only-this" in page


@pytest.mark.parametrize("show", ["right", "wrong", "gained"])
def test_a_filter_shows_only_its_answers(run: Run, owner_client: Client, show: str) -> None:
    page = text(owner_client, run, split="final", show=show)
    verdicts = re.findall(r'data-label="Outcome">.*?</svg>([\w ]+)</span>', page)
    assert verdicts and {verdict == "right" for verdict in verdicts} == {show != "wrong"}


def test_questions_come_with_expected_and_given_answers(run: Run, owner_client: Client) -> None:
    page = text(owner_client, run, split="validation")
    assert "みかんが" in page and "expected <bdi>" in page and "答えは" in page


@pytest.mark.parametrize(
    ("state", "is_open"), [("running", False), ("finishing", False), ("done", True), ("stopped", True)]
)
def test_final_questions_stay_closed_until_the_run_has_ended(
    run: Run, owner_client: Client, state: RunState, is_open: bool
) -> None:
    Run.objects.filter(pk=run.pk).update(state=state)
    page = text(owner_client, run, split="final")
    assert ("みかんが" in page) is is_open
    assert ("stay closed" in page) is not is_open


def test_completions_are_shown_as_text(run: Run, owner_client: Client) -> None:
    evaluation = Evaluation.objects.get(run=run, split="search", candidate=run.winner_id)
    stored = Outcomes.objects.get(score__evaluation=evaluation)
    rows = [sample.to_json() for sample in outcomes.unpacked(stored)]
    rows[0]["completion"] = "<img src=x onerror=alert(1)> **bold** [a](javascript:alert(1))"
    Outcomes.objects.filter(pk=stored.pk).update(**outcomes.packed(rows))
    page = text(owner_client, run)
    assert "&lt;img src=x onerror=alert(1)&gt; **bold** [a](javascript:alert(1))" in page
    assert "<img" not in page and 'href="javascript' not in page


def test_answers_are_shown_even_when_the_questions_are_gone(run: Run, owner_client: Client) -> None:
    config = run.config
    config["objectives"][0]["benchmark"]["file"]["path"] = "/gone/sums.jsonl"
    Run.objects.filter(pk=run.pk).update(config=config)
    page = text(owner_client, run)
    assert "The questions cannot be shown" in page and "答えは" in page


def test_a_failed_candidate_says_why(owner: User, owner_client: Client) -> None:
    run = make_run(owner, n_generations=2, n_failed=1)
    failed = Evaluation.objects.get(run=run, status="failed").candidate
    page = text(owner_client, run, failed)
    assert "not finite" in page and "gave no finite numbers in layer 2" in page


def test_who_else_failed_so_is_named(owner: User, owner_client: Client) -> None:
    run = make_run(owner, n_generations=2, n_failed=3)
    first, *others = [evaluation.candidate for evaluation in Evaluation.objects.filter(run=run, status="failed")]
    page = text(owner_client, run, first)
    assert "2 other candidates failed so" in page
    assert all(reverse("runs:candidate", args=[run.pk, other.pk]) in page for other in others)


def test_every_claim_is_told_with_its_worker_and_outcome(run: Run, owner_client: Client) -> None:
    evaluation = Evaluation.objects.get(run=run, split="search", candidate=run.winner_id)
    rewrite(Evaluation.objects.filter(pk=evaluation.pk), merge_seconds=2.5, evaluate_seconds=75)
    Attempt.objects.create(token=1, evaluation=evaluation, worker="gpu0@a", outcome="lost", error="It fell silent.")
    Attempt.objects.create(token=2, evaluation=evaluation, worker="gpu1@b", outcome="accepted")
    page = text(owner_client, run)
    assert "gpu0@a" in page and "It fell silent." in page and "gpu1@b" in page
    assert page.count("2.5 s") == page.count("1 min 15 s") == 1  # of the accepted one alone


def test_its_place_in_its_generation_is_told(run: Run, owner_client: Client) -> None:
    assert run.winner and run.winner.generation
    page = text(owner_client, run)
    assert f"generation {run.winner.generation.number}</a>" in page and "place 1 of 8 scored there" in page


def test_what_is_awaited_is_asked_for_again_until_it_is_there(owner: User, owner_client: Client) -> None:
    run = make_run(owner, n_generations=1)
    candidate = run.candidates.filter(kind="evolved")[0]
    Evaluation.objects.create(run=run, candidate=candidate, split="validation")
    assert 'hx-get="?part=standing"' in text(owner_client, run, candidate)
    assert "HX-Refresh" not in answer(owner_client, run, candidate, part="standing").headers
    Run.objects.filter(pk=run.pk).update(state="stopped")
    assert 'hx-get="?part=standing"' not in text(owner_client, run, candidate)
    assert answer(owner_client, run, candidate, part="standing")["HX-Refresh"] == "true"


def test_a_parent_and_a_baseline_have_pages_too(run: Run, owner_client: Client) -> None:
    for candidate in run.candidates.filter(generation=None):
        assert candidate.name in text(owner_client, run, candidate)


def test_the_recipe_can_be_downloaded_and_read_again(run: Run, owner_client: Client) -> None:
    assert run.winner
    found = answer(owner_client, run, recipe="json")
    assert Recipe.from_json(json.loads(found.content)).digest() == run.winner.recipe_digest
    assert re.fullmatch(r'attachment; filename="g\d-\d\.json"', found["Content-Disposition"])
    assert yaml.safe_load(answer(owner_client, run, recipe="yaml").content)["merge_method"] == "dare_ties"


def test_a_recipe_that_mergekit_cannot_build_has_its_page_all_the_same(run: Run, owner_client: Client) -> None:
    assert run.winner
    recipe = Recipe.from_json(run.winner.recipe)
    strange = replace(recipe, base=replace(recipe.base, folder="/models/base+lora"))  # type: ignore[type-var]
    Candidate.objects.filter(pk=run.winner.pk).update(recipe=strange.to_json())
    assert "mergekit cannot build this recipe" in text(owner_client, run)
    assert answer(owner_client, run, recipe="yaml").status_code == 404
    assert answer(owner_client, run, recipe="json").status_code == 200


def test_the_page_of_a_candidate_takes_few_queries(
    run: Run, owner_client: Client, django_assert_max_num_queries: Any
) -> None:
    with django_assert_max_num_queries(19):  # three are for its exports, its licence, and those of its parents
        text(owner_client, run)


# the picture


def recipe(*weights: float, density: float | None = None) -> Recipe:
    """One parent, one layer group a weight."""
    extra = {} if density is None else {"density": density}
    groups = tuple(
        LayerGroup(f"layer {i}", i, i + 1, before=i == 0, after=i == len(weights) - 1) for i in range(len(weights))
    )
    values = tuple(({"weight": weight, **extra},) for weight in weights)
    method = "task_arithmetic" if density is None else "dare_ties"
    return Recipe(method, BASE, PARENTS[:1], groups, values, methods.get(method).default_settings(), 1, "float32")


def space(method: str, groups: str, *filters: str) -> GenomeSpace:
    return parameter_space(
        method=method,
        parents=PARENTS[: methods.get(method).max_parents],
        base=BASE if methods.get(method).needs_base else None,
        n_layers=4,
        groups=groups,
        filters=filters,
        settings=(),
        seed=1,
        dtype="float32",
    )


def picture(method: str, groups: str, *filters: str) -> layer_map.LayerMap:
    """Of a recipe whose genes rise from 0.1."""
    chosen = space(method, groups, *filters)
    found = layer_map.layer_map(chosen.decode(tuple(0.1 + 0.01 * i for i in range(chosen.n_genes))))
    assert found
    return found


def bars(found: layer_map.LayerMap | None) -> list[layer_map.Bar]:
    assert found
    return found.lanes[0].bars


def test_bars_are_as_high_as_weights() -> None:
    heights = [bar.height for bar in bars(layer_map.layer_map(recipe(2.0, 1.0, 0.5)))]
    assert heights == [layer_map.LANE_HEIGHT, layer_map.LANE_HEIGHT / 2, layer_map.LANE_HEIGHT / 4]


def test_bars_are_filled_as_far_as_densities() -> None:
    for bar in bars(layer_map.layer_map(recipe(1.0, 0.5, density=0.25))):
        assert bar.kept_height == bar.height / 4
        assert bar.kept_y + bar.kept_height == bar.y + bar.height


def test_a_negative_weight_hangs_below_the_ground() -> None:
    found = layer_map.layer_map(recipe(1.0, -0.1))
    assert found
    up, down = bars(found)
    assert up.y + up.height == found.lanes[0].ground == down.y


@pytest.mark.parametrize("n", [1, 6, 34, 82])
def test_columns_never_touch_and_everything_fits(n: int) -> None:
    found = layer_map.layer_map(recipe(*[1.0] * n))
    assert found
    edges = [edge for bar in bars(found) for edge in (bar.x, bar.x + bar.width)]
    assert edges == sorted(edges) and edges[0] >= found.left and edges[-1] <= found.width


def test_a_model_without_weights_has_no_picture() -> None:
    assert layer_map.layer_map(passthrough_recipe(PARENTS[0])) is None
    assert layer_map.layer_map(uniform_average(PARENTS)) is not None


def test_what_parents_share_has_a_lane_and_its_meaning() -> None:
    found = picture("slerp", "block")
    assert [(lane.name, lane.scale) for lane in found.lanes] == [("t", "1")]
    assert [bar.value for bar in found.lanes[0].bars] == pytest.approx([0.1, 0.11, 0.12, 0.13, 0.14, 0.15])
    assert found.shared == {"t": "The share of the way from the first parent to the second."} and not found.has_weight


def test_small_numbers_are_told_apart() -> None:
    assert picture("nearswap", "model").lanes[0].digits == 4
    assert picture("slerp", "model").lanes[0].digits == 2


def test_each_part_of_the_layers_has_a_lane_for_each_parent() -> None:
    found = picture("linear", "2", "self_attn", "mlp")
    assert [(lane.colour, lane.part) for lane in found.lanes] == [
        (colour, part) for colour in (1, 2) for part in ("self_attn", "mlp", "rest")
    ]
    assert [column.label for column in found.columns] == ["input", "0–1", "2–3", "head"]
    of_attention, rest = found.lanes[0].bars, found.lanes[2].bars
    middles = [column.middle for column in found.columns]
    assert [bar.middle for bar in of_attention] == middles[1:3] and [bar.middle for bar in rest] == middles


def test_parts_of_all_layers_stand_beside_each_other() -> None:
    found = picture("linear", "model", "self_attn")
    assert [column.label for column in found.columns] == ["self_attn", "rest"] and len(found.lanes) == 2


@pytest.mark.parametrize("case", [("slerp", "gradient 2"), ("dare_ties", "block", "mlp"), ("sce", "model")])
def test_the_table_of_genes_tells_each_gene_and_its_value(case: tuple[str, ...]) -> None:
    chosen = space(*case)
    genome = tuple(i / chosen.n_genes for i in range(chosen.n_genes))
    rows = layer_map.gene_rows(chosen.decode(genome), case[1], genome)
    assert [row[3] for row in rows] == list(genome)
    assert [row[:3] for row in rows] == [(gene.group, gene.parent, gene.parameter) for gene in chosen.genes]
    assert rows[-1][4] == chosen.genes[-1].value(genome[-1])

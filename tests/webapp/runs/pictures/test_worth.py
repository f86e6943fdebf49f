"""What each layer is worth: who may ask, what is asked of the workers, and what is told of the answers."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from merging.recipes import Recipe
from merging.statistics import paired_bootstrap
from tests.webapp.runs.path_rows import make_path_run, score_probes
from tests.webapp.runs.rows import make_run
from webapp.runs import probes
from webapp.runs.config import RunConfig
from webapp.runs.models import Candidate, Evaluation, Run, RunState
from webapp.runs.outcomes import cards
from webapp.runs.pictures import bars
from webapp.runs.pictures.worth import Whole, key, wholes

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(owner: User) -> Run:
    return make_path_run(owner, n_generations=2)


def parent(run: Run) -> Candidate:
    return run.candidates.filter(kind="parent").order_by("index")[0]


def best(run: Run) -> Candidate:
    return run.evaluations.filter(split="search", candidate__kind="evolved").order_by("-fitness")[0].candidate


def read(run: Run) -> list[Whole]:
    return wholes(run, RunConfig.from_json(run.config), best(run))


def of(run: Run, candidate: Candidate) -> Whole:
    return next(whole for whole in read(run) if whole.candidate == candidate)


def post(client: Client, run: Run, candidate: Candidate) -> Any:
    return client.post(reverse("runs:probe", args=[run.pk, candidate.pk]))


def page(client: Client, run: Run, query: str = "") -> str:
    answer = client.get(reverse("runs:detail", args=[run.pk]) + query)
    assert answer.status_code == 200
    return str(answer.content.decode())


# asking


def test_only_the_owner_may_ask(run: Run, owner_client: Client, member_client: Client, stranger_client: Client) -> None:
    whole = parent(run)
    assert post(member_client, run, whole).status_code == 404
    assert post(stranger_client, run, whole).url.startswith("/sign-in/")
    assert run.candidates.filter(kind="probe").count() == 0
    assert post(owner_client, run, whole).url.endswith(f"#worth-{whole.pk}")
    assert run.candidates.filter(kind="probe").count() == 4


def test_looking_asks_for_nothing(run: Run, owner_client: Client) -> None:
    assert owner_client.get(reverse("runs:probe", args=[run.pk, parent(run).pk])).status_code == 405
    page(owner_client, run)
    assert run.candidates.filter(kind="probe").count() == 0


def test_a_candidate_of_another_run_is_not_probed(run: Run, owner: User, owner_client: Client) -> None:
    other = make_path_run(owner, n_generations=0)
    assert post(owner_client, other, parent(run)).status_code == 404


def test_a_search_for_tensors_is_not_probed(owner: User, owner_client: Client) -> None:
    run = make_run(owner, n_generations=1)
    assert post(owner_client, run, parent(run)).status_code == 404
    assert "worth-title" not in page(owner_client, run)


def test_every_layer_of_a_parent_is_left_out_once(run: Run, owner_client: Client) -> None:
    post(owner_client, run, parent(run))
    asked = [Recipe.from_json(c.recipe).path for c in parent(run).probes.order_by("index")]
    assert [[hop.layer for hop in path.hops] for path in asked if path] == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]
    assert {e.status for e in run.evaluations.filter(split="probe")} == {"pending"}


def test_every_hop_of_the_best_path_is_left_out_once(run: Run, owner_client: Client) -> None:
    whole = best(run)
    path = Recipe.from_json(whole.recipe).path
    post(owner_client, run, whole)
    assert path and whole.probes.count() == len({probe.recipe.digest() for probe in probes.probes_of(whole)})
    assert all(Recipe.from_json(c.recipe).n_layers == path.n_hops - 1 for c in whole.probes.all())


def test_asking_twice_asks_once(run: Run, owner_client: Client) -> None:
    post(owner_client, run, parent(run))
    post(owner_client, run, parent(run))
    assert parent(run).probes.count() == 4


@pytest.mark.parametrize(("state", "n"), [("done", 4), ("stopped", 4), ("paused", 4), ("finishing", 4), ("failed", 0)])
def test_runs_that_ended_well_are_probed_too(owner: User, owner_client: Client, state: RunState, n: int) -> None:
    run = make_path_run(owner, state=state, n_generations=1)
    post(owner_client, run, parent(run))
    assert parent(run).probes.count() == n


# telling


def test_nothing_is_drawn_before_somebody_asks(run: Run, owner_client: Client) -> None:
    text = page(owner_client, run)
    assert "worth-picture" not in text and "Measure 4 layers" in text and 'data-unfinished="0"' in text


def test_what_is_on_its_way_is_said(run: Run, owner_client: Client) -> None:
    post(owner_client, run, parent(run))
    score_probes(run, parent(run), [0.0, 0.01])
    text = page(owner_client, run)
    assert "2 of 4 are scored" in text and 'data-unfinished="2"' in text
    assert text.count('class="waiting"') == 2 and text.count('<rect class="worth-bar') == 2


def test_a_paused_run_says_that_probes_wait(run: Run, owner_client: Client) -> None:
    post(owner_client, run, parent(run))
    Run.objects.filter(pk=run.pk).update(state="paused")
    assert "4 wait until the run is resumed." in page(owner_client, run)


def test_a_failure_is_said_and_can_be_asked_again(run: Run, owner_client: Client) -> None:
    post(owner_client, run, parent(run))
    score_probes(run, parent(run), [0.0, 0.0, 0.0])
    failing = run.evaluations.filter(split="probe", status="pending")
    failing.update(status="failed", failure_kind="not finite", failure="It gave no finite numbers in layer 2.")
    text = page(owner_client, run)
    assert "1 failed." in text and "It gave no finite numbers in layer 2." in text and "Ask again for 1" in text
    assert "3 of 4" not in text and "worst score of their generation" not in text
    post(owner_client, run, parent(run))
    assert parent(run).probes.count() == 5 and of(run, parent(run)).n_waiting == 1


def test_a_layer_is_worth_what_the_score_falls_by(run: Run, owner_client: Client) -> None:
    whole = best(run)
    post(owner_client, run, whole)
    score_probes(run, whole, [0.0, 0.9])
    found = of(run, whole)
    own = Evaluation.objects.get(candidate=whole, split="search")
    for part, probe in zip(found.parts, whole.probes.order_by("index")[:2], strict=False):
        without = Evaluation.objects.get(candidate=probe)
        assert part.worth and part.worth.value == pytest.approx((own.mean or 0) - (without.mean or 0))
        marks = cards([own.pk, without.pk])
        samples = [list(marks[pk][0].scores.values()) for pk in (own.pk, without.pk)]
        expected = paired_bootstrap(*samples)  # another method: the bounds are near, not the same
        assert (part.worth.low, part.worth.high) == pytest.approx((expected.low, expected.high), abs=0.05)
    assert found.parts[0].worth and found.parts[0].worth.is_clear and found.parts[0].worth.value > 0
    assert found.sentence.startswith("Worth most is hop 1, layer 0 of demo/japanese: ")


def test_where_the_whole_was_asked_less_only_common_questions_count(run: Run, owner_client: Client) -> None:
    whole = best(run)
    own = Evaluation.objects.get(candidate=whole, split="search")
    outcomes = own.scores.get().outcomes
    outcomes.scores, outcomes.positions = [1.0] * 10, list(range(20, 30))
    outcomes.save()
    post(owner_client, run, whole)
    score_probes(run, whole, [0.5])
    probe = Evaluation.objects.get(candidate=whole.probes.order_by("index")[0])
    right = [probe.scores.get().outcomes.scores[i] for i in range(20, 30)]
    part = of(run, whole).parts[0]
    assert part.worth and part.worth.value == pytest.approx(1 - sum(right) / 10)
    assert part.worth.low <= part.worth.value <= part.worth.high


def test_a_path_that_was_probed_stays_when_another_is_better(run: Run, owner_client: Client) -> None:
    first = best(run)
    post(owner_client, run, first)
    better = run.candidates.filter(kind="evolved").exclude(pk=first.pk)[0]
    config = RunConfig.from_json(run.config)
    assert [whole.candidate for whole in wholes(run, config, better)][-2:] == [first, better]


def test_the_key_changes_with_every_probe_and_every_best(run: Run, owner_client: Client) -> None:
    seen = {key(run, best(run)), key(run, None)}
    post(owner_client, run, parent(run))
    seen.add(key(run, best(run)))
    score_probes(run, parent(run), [0.1])
    seen.add(key(run, best(run)))
    assert len(seen) == 4


def test_bars_are_announced_with_the_parts_and_answered_by_their_name(run: Run, owner_client: Client) -> None:
    announced = page(owner_client, run, "?part=live")
    assert f'<div data-part="worth" data-later data-key="{key(run, best(run))}"></div>' in announced
    part = page(owner_client, run, "?part=worth")
    assert part.count("data-part=") == 1 and f'data-key="{key(run, best(run))}"' in part


def test_bars_have_words_for_the_keyboard_and_a_table(run: Run, owner_client: Client) -> None:
    post(owner_client, run, parent(run))
    score_probes(run, parent(run), [0.0, 0.0, 0.5])
    text = page(owner_client, run)
    words = re.findall(r'data-words="(layer [^"]+)"', text)
    assert len(words) == 4 and words[3] == "layer 3: on its way" and "% without it, worth" in words[2]
    table = text.partition("The bars as a table")[2]
    assert re.findall(r'<th scope="row">(layer \d)</th>', table) == ["layer 0", "layer 1", "layer 2", "layer 3"]


# the picture


class Found:
    def __init__(self, value: float, reach: float = 0.1) -> None:
        self.value, self.low, self.high = value, value - reach, value + reach


def test_bars_stand_on_zero_and_reach_as_far_as_their_values() -> None:
    drawn = bars.picture([Found(0.4), Found(-0.2), None, Found(0.0)], range(4))
    up, down, unknown, none = drawn.bars
    assert up.top + up.height == pytest.approx(drawn.zero, abs=0.2) and down.top == drawn.zero
    assert up.height / down.height == pytest.approx(2, rel=0.02) and none.height == unknown.height == 0
    assert up.high_y < up.top < up.low_y
    assert all(0 <= y <= drawn.height for bar in drawn.bars for y in (bar.high_y, bar.low_y))


def test_the_scale_has_zero_and_few_lines() -> None:
    for reach in (0.01, 0.07, 0.3, 0.95):
        ticks = bars.picture([Found(reach, 0.01)], [0]).ticks
        assert 2 <= len(ticks) <= 7 and any(tick.value == 0 for tick in ticks)

"""The picture of a path: every hop where it is, what two routes share one above the other, and the same in words."""

from __future__ import annotations

import json
import random
import re
from itertools import pairwise

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils.html import escape
from hypothesis import given
from hypothesis import strategies as st

from merging.hops import Hop, LayerPath
from merging.paths import path_recipe
from merging.recipes import Parent, Recipe, passthrough_recipe, uniform_average
from tests.webapp.runs.path_rows import make_path_run, path, random_path
from tests.webapp.runs.rows import PARENTS, make_run
from webapp.runs.models import Candidate, Run
from webapp.runs.pictures import paths
from webapp.runs.pictures.route import NARROWEST, Way, aligned, difference, route, side_by_side

pytestmark = pytest.mark.django_db
NAMES, DEPTHS = ("a", "b"), (4, 4)
SKIPPING = path((0, 0), (0, 1, 0.9), (1, 2, 1.5), (1, 2), (0, 3), (0, 1))


def test_every_hop_has_a_column_of_its_own_and_the_row_of_its_layer() -> None:
    drawn = route(Way(SKIPPING), NAMES, DEPTHS)
    columns = [stop.x for stop in drawn.stops]
    assert columns == sorted(set(columns)) and drawn.start[0] < columns[0] and columns[-1] < drawn.end[0]
    for stop, hop in zip(drawn.stops, SKIPPING.hops, strict=True):
        assert stop.y == drawn.bands[hop.parent].layers[hop.layer].y


def test_the_way_leads_from_the_embeddings_through_every_hop_to_the_head() -> None:
    drawn = route(Way(SKIPPING), NAMES, DEPTHS)
    ends = re.findall(r"([\d.]+) ([\d.]+)(?=C|$)", drawn.line)
    found = [(float(x), float(y)) for x, y in ends]
    assert found == [drawn.start, *((stop.x, stop.y) for stop in drawn.stops), drawn.end]


def test_the_words_say_skips_repeats_jumps_and_scales() -> None:
    words = [stop.words for stop in route(Way(SKIPPING), NAMES, DEPTHS).stops]
    assert words == [
        "Hop 1 of 6: layer 0 of a",
        "Hop 2 of 6: layer 1 of a, its input times 0.9",
        "Hop 3 of 6: layer 2 of b, jumps to b, its input times 1.5",
        "Hop 4 of 6: layer 2 of b, again",
        "Hop 5 of 6: layer 3 of a, jumps to a",
        "Hop 6 of 6: layer 1 of a, back by 2 layers",
    ]


def test_layers_say_how_often_they_are_passed() -> None:
    drawn = route(Way(SKIPPING), NAMES, DEPTHS)
    assert [[layer.times for layer in band.layers] for band in drawn.bands] == [[1, 2, 0, 1], [0, 0, 2, 0]]


def test_a_scale_above_one_is_drawn_above_and_without_any_there_is_no_axis() -> None:
    drawn = route(Way(SKIPPING), NAMES, DEPTHS)
    assert drawn.axis
    tips = [stop.scale_y for stop in drawn.stops]
    assert tips[1] > drawn.axis.unity > tips[2] == drawn.axis.top and tips[0] == drawn.axis.unity
    assert route(Way(path((0, 0), (0, 3))), NAMES, DEPTHS).axis is None


@pytest.mark.parametrize("n_layers", [4, 32, 80])
def test_marks_never_touch_and_nothing_leaves_the_picture(n_layers: int) -> None:
    drawn = route(Way(random_path(random.Random(1), n_layers)), NAMES, (n_layers, n_layers))
    assert drawn.step >= max(NARROWEST, 2 * drawn.radius)
    assert all(drawn.left < stop.x < drawn.width and 0 < stop.y < drawn.height for stop in drawn.stops)
    feet = [stop.x for stop in drawn.stops if stop.at_foot]
    assert all(b - a >= 20 for a, b in pairwise(feet))


def test_a_picture_has_room_for_long_names() -> None:
    name = "an-organisation/a-model-with-a-long-name-7b-v0.1-instruct"
    assert route(Way(path((0, 0), (0, 1))), (name,), (2,)).width > 7.5 * len(name)


def test_one_parent_alone_has_one_band() -> None:
    assert len(route(Way(path((0, 0), (0, 1))), ("a",), (4,)).bands) == 1


# two routes

hops = st.builds(Hop, parent=st.integers(0, 1), layer=st.integers(0, 3))
routes = st.lists(hops, min_size=1, max_size=9).map(lambda found: LayerPath(tuple(found)))


def longest_common(a: list[tuple[int, int]], b: list[tuple[int, int]]) -> int:
    """By definition."""
    if not a or not b:
        return 0
    if a[0] == b[0]:
        return 1 + longest_common(a[1:], b[1:])
    return max(longest_common(a[1:], b), longest_common(a, b[1:]))


@given(routes, routes)
def test_alignment_keeps_all_hops_in_order_and_as_many_together_as_can_be(a: LayerPath, b: LayerPath) -> None:
    pairs = aligned(a, b)
    assert [i for i, _ in pairs if i is not None] == list(range(a.n_hops))
    assert [j for _, j in pairs if j is not None] == list(range(b.n_hops))
    together = [(i, j) for i, j in pairs if i is not None and j is not None]
    of = [[(hop.parent, hop.layer) for hop in one.hops] for one in (a, b)]
    assert all(of[0][i] == of[1][j] for i, j in together) and len(together) == longest_common(*of)


def test_common_hops_stand_one_above_the_other_and_what_differs_is_marked() -> None:
    other = path((0, 0), (0, 1, 1.1), (1, 0), (0, 3), (0, 1))
    first, second = side_by_side(Way(SKIPPING), Way(other), NAMES, DEPTHS)
    at = [{(stop.parent, stop.layer): stop for stop in drawn.stops} for drawn in (first, second)]
    for place in (("a", 0), ("a", 1), ("a", 3)):
        assert at[0][place].x == at[1][place].x and not at[0][place].is_alone
    assert first.width == second.width
    assert [stop.number for stop in first.stops if stop.is_alone] == [3, 4]
    assert [stop.number for stop in second.stops if stop.is_alone] == [3]
    assert [stop.number for stop in first.stops if stop.differs] == [2]
    assert "not on the other route" in second.stops[2].words


def test_the_difference_is_told_in_a_sentence() -> None:
    other = path((0, 0), (0, 1, 1.1), (1, 0), (0, 3), (0, 1))
    expected = "4 hops in common, 2 hops in g1.2 alone, 1 hop in g0.3 alone, other scales at 1 of the common ones."
    assert difference(SKIPPING, other, ("g1.2", "g0.3")) == expected
    assert difference(other, other, ("g1.2", "g0.3")) == "The same route with the same scales."


# from recipes


def test_a_path_that_passes_one_parent_alone_is_drawn_beside_both() -> None:
    recipe = path_recipe(PARENTS, path((0, 0), (0, 2)))
    assert [parent.name for parent in recipe.parents] == ["demo/japanese"]
    drawn = paths.route_of(recipe, PARENTS)
    assert drawn and [band.name for band in drawn.bands] == ["demo/japanese", "demo/addition"]


def test_layers_are_those_of_the_run_whatever_the_recipe_counts() -> None:
    swapped = path_recipe(PARENTS[::-1], path((0, 0), (1, 2)))
    drawn = paths.route_of(swapped, PARENTS)
    assert drawn and [(stop.parent, stop.sign) for stop in drawn.stops] == [("demo/addition", 2), ("demo/japanese", 1)]


def test_a_parent_whose_folder_is_gone_has_the_layers_that_paths_pass() -> None:
    gone = Parent("gone", "/nowhere", "sha256:gone")
    drawn = paths.route_of(path_recipe([gone], path((0, 0), (0, 6))), [gone])
    assert drawn and len(drawn.bands[0].layers) == 7


def test_a_parent_as_it_is_passes_all_its_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "_known", {parent.fingerprint: 4 for parent in PARENTS})
    pair = paths.side_by_side(
        path_recipe(PARENTS, path((0, 0), (0, 3))), passthrough_recipe(PARENTS[1]), PARENTS, ("x", "y")
    )
    assert pair and [stop.layer for stop in pair[1].stops] == [0, 1, 2, 3]
    assert {stop.sign for stop in pair[1].stops} == {2}
    band = pair[1].bands[1]
    assert band.top - 20 < pair[1].start[1] < band.top and pair[1].end[1] > band.bottom  # its own embeddings and head


def test_a_merge_of_tensors_has_no_route() -> None:
    assert paths.route_of(uniform_average(PARENTS), PARENTS) is None


# on pages


def page(client: Client, run: Run, candidate: Candidate | None = None, query: str = "") -> str:
    at = reverse("runs:candidate", args=[run.pk, candidate.pk]) if candidate else reverse("runs:detail", args=[run.pk])
    answer = client.get(at + query)
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_best_path_is_drawn_on_the_run_and_each_on_its_own_page(owner: User, owner_client: Client) -> None:
    run = make_path_run(owner, n_generations=2)
    best = run.evaluations.filter(candidate__kind="evolved").order_by("-fitness")[0].candidate
    n_hops = (Recipe.from_json(best.recipe).path or path((0, 0))).n_hops
    for text in (page(owner_client, run), page(owner_client, run, query="?part=best"), page(owner_client, run, best)):
        assert re.findall(r'data-hop="(\d+)"', text) == [str(n) for n in range(1, n_hops + 1)]
        assert "<summary>The route as a table</summary>" in text


def test_the_route_on_the_run_says_in_a_sentence_where_it_leads(owner: User, owner_client: Client) -> None:
    run = make_path_run(owner, n_generations=1)
    best = run.evaluations.filter(candidate__kind="evolved").order_by("-fitness")[0].candidate
    assert Recipe.from_json(best.recipe).path
    assert escape(Recipe.from_json(best.recipe).path.sentence([p.name for p in PARENTS])) in page(owner_client, run)


def test_a_merge_of_tensors_keeps_its_layer_map(owner: User, owner_client: Client) -> None:
    text = page(owner_client, make_run(owner, n_generations=1))
    assert "route-picture" not in text and 'class="layer-map"' in text


def test_a_parents_own_page_has_no_route(owner: User, owner_client: Client) -> None:
    run = make_path_run(owner, n_generations=1)
    assert "route-picture" not in page(owner_client, run, run.candidates.filter(kind="parent")[0])


def test_routes_are_the_owners_alone(
    owner: User, owner_client: Client, member_client: Client, stranger_client: Client
) -> None:
    run = make_path_run(owner, n_generations=1)
    address = reverse("runs:detail", args=[run.pk])
    assert [client.get(address).status_code for client in (owner_client, member_client, stranger_client)] == [
        200,
        404,
        302,
    ]


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>'])
def test_names_of_parents_are_text(owner: User, owner_client: Client, name: str) -> None:
    run = make_path_run(owner, n_generations=1)
    stored = json.dumps(run.config).replace("demo/addition", name.replace('"', '\\"'))
    Run.objects.filter(pk=run.pk).update(config=json.loads(stored))
    for candidate in run.candidates.all():
        stored = json.dumps(candidate.recipe).replace("demo/addition", name.replace('"', '\\"'))
        run.candidates.filter(pk=candidate.pk).update(recipe=json.loads(stored))
    text = page(owner_client, run)
    assert escape(name) in text and "<img src=x" not in text and "<script>" not in text


def test_the_settings_tell_of_the_path(owner: User, owner_client: Client) -> None:
    text = page(owner_client, make_path_run(owner, n_generations=0))
    assert (
        "through the layers of demo/japanese, then of demo/addition, 2 times over; at most 100 hops, a scale for each slot"
        in text
    )
    assert "one group of layers" not in text

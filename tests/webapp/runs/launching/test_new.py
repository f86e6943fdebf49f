"""New run: what the page offers, what it refuses, what it launches."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from merging.genomes import nothing_to_search
from merging.methods import methods
from merging.search import searches
from tests.webapp.runs.choices import Library, checked, form, library
from webapp.library.models import Benchmark, Parent
from webapp.runs.models import Run

NEW = "/runs/new/"


@pytest.fixture
def chosen(owner: User, tmp_path: Path) -> Library:
    return library(owner, tmp_path)


@pytest.fixture
def demo(chosen: Library) -> Library:
    """The library under the names of the demo pack, for everybody."""
    names = {chosen.base: "demo/base", chosen.first: "demo/japanese", chosen.second: "demo/addition"}
    for row, name in names.items():
        Parent.objects.filter(pk=row.pk).update(owner=None, name=name)
    Benchmark.objects.update(owner=None, name="japanese-sums")
    return chosen


def test_the_quick_demo_is_filled_in_from_the_library(demo: Library, member_client: Client) -> None:
    page = member_client.get(f"{NEW}?preset=quick").content.decode()
    assert checked(page, "parents") == {str(demo.first.pk), str(demo.second.pk)}
    assert checked(page, "method") == {"task_arithmetic"}
    assert f'<option value="{demo.base.pk}" selected>' in page


def test_every_method_with_something_to_find_and_every_search_is_offered(chosen: Library, owner_client: Client) -> None:
    page = owner_client.get(NEW).content.decode()
    assert all(f"<strong>{method.title}</strong>" in page for method in methods if not nothing_to_search(method))
    assert all(f"<dt>{method.title}</dt>" in page for method in methods if nothing_to_search(method))
    assert "<strong>Passthrough" not in page and "It takes one model alone." in page
    assert all(f"<strong>{search.title}</strong>" in page for search in searches)


def test_an_unknown_preset_is_no_page(owner_client: Client) -> None:
    assert owner_client.get(f"{NEW}?preset=quik").status_code == 404


def test_launching_leads_to_the_run(chosen: Library, owner: User, owner_client: Client) -> None:
    answer = owner_client.post(NEW, form(chosen))
    run = Run.objects.get()
    assert answer.url == f"/runs/{run.pk}/"
    assert (run.owner, run.name, run.budget) == (owner, "my run", 40)


def test_a_run_without_a_name_is_called_by_method_and_benchmark(chosen: Library, owner_client: Client) -> None:
    owner_client.post(NEW, form(chosen, name=""))
    assert Run.objects.get().name == "Task arithmetic on sums"


def test_two_presses_launch_one_run(chosen: Library, owner_client: Client) -> None:
    first, second = (owner_client.post(NEW, form(chosen)).url for _ in range(2))
    assert first == second
    assert Run.objects.count() == 1


def test_going_back_and_changing_something_launches_another_run(chosen: Library, owner_client: Client) -> None:
    for budget in ("40", "41"):
        owner_client.post(NEW, form(chosen, budget=budget))
    assert Run.objects.count() == 2


def test_nobody_launches_what_they_cannot_see(chosen: Library, member_client: Client, stranger_client: Client) -> None:
    assert stranger_client.post(NEW, form(chosen)).url.startswith("/sign-in/")
    page = member_client.post(NEW, form(chosen)).content.decode()
    assert "is not one of the available choices" in page
    assert chosen.first.folder not in page
    assert not Run.objects.exists()


def test_all_that_is_wrong_is_said_at_once_and_nothing_typed_is_lost(chosen: Library, owner_client: Client) -> None:
    wrong: dict[str, Any] = {
        "name": "x" * 201,
        "parents": [chosen.first.pk, chosen.wide.pk],
        "budget": "0",
        "seed": "seven",
        "groups": "some",
        "n_groups": "9",
        "n_search": "500",
    }
    page = owner_client.post(NEW, form(chosen, **wrong)).content.decode()
    expected = (
        "6 things need your attention",
        "at most 200 characters",
        "hidden_size is 3 in wide and 2 in base",
        "the budget is 0 candidates",
        "Seed is not a whole number.",
        "a number from 2 to the 2 layers",
        "500 search questions; sums holds 20",
    )
    assert [sentence for sentence in expected if sentence not in page] == []
    assert [value for value in ("seven", "500", "9") if f'value="{value}"' not in page] == []
    assert checked(page, "parents") == {str(chosen.first.pk), str(chosen.wide.pk)}
    assert not Run.objects.exists()


def test_settings_of_the_chosen_method_are_frozen_and_those_of_others_ignored(
    chosen: Library, owner_client: Client
) -> None:
    settings = {"task_arithmetic-lambda": "0.5", "task_arithmetic-normalize": "on", "ties-lambda": "nonsense"}
    owner_client.post(NEW, form(chosen, **settings))
    assert Run.objects.get().config["settings"] == [["lambda", 0.5], ["normalize", True]]


def test_a_setting_that_cannot_be_read_is_refused(chosen: Library, owner_client: Client) -> None:
    page = owner_client.post(NEW, form(chosen, **{"task_arithmetic-lambda": "much"})).content.decode()
    assert "Enter a number." in page
    assert not Run.objects.exists()


def test_the_summary_follows_the_form(chosen: Library, owner_client: Client) -> None:
    page = owner_client.post(f"{NEW}summary/", form(chosen, groups="block")).content.decode()
    assert "in 3 layer groups: 6 numbers to find; CMA-ES, 9 per generation, up to 40 candidates" in page
    assert "are few" in page
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"groups": "gradient"}, "with Task arithmetic in a gradient over depth with 2 knots: 4 numbers to find"),
        ({"division": "parts"}, "in 3 layer groups, self_attn and mlp apart from the rest: 6 numbers to find"),
        ({"division": "named", "filters": " mlp ,"}, "in 2 layer groups, mlp apart from the rest: 4 numbers to find"),
        ({"filters": "mlp"}, "in one group of layers: 2 numbers to find"),
        ({"method": "slerp", "base": "", "groups": "block"}, "with SLERP in 3 layer groups: 3 numbers to find"),
        ({"method": "nuslerp"}, "with NuSLERP in one group of layers: 2 numbers to find"),
    ],
)
def test_the_summary_counts_numbers_for_groups_and_parts_of_layers(
    chosen: Library, owner_client: Client, changes: dict[str, str], sentence: str
) -> None:
    assert sentence in owner_client.post(f"{NEW}summary/", form(chosen, **changes)).content.decode()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"division": "named", "filters": "self_atn"}, "the filters leave no tensor for model self_atn"),
        ({"groups": "gradient", "n_groups": "3"}, "layer groups are &#x27;gradient 3&#x27;"),
        ({"groups": "some", "n_groups": ""}, "layer groups are &#x27;&#x27;"),
        ({"method": "nearswap"}, "NearSwap takes 1 parent, found 2"),
        ({"method": "karcher"}, "karcher is not one of the available choices"),
    ],
)
def test_what_a_method_or_a_model_cannot_do_is_said_before_launch(
    chosen: Library, owner_client: Client, changes: dict[str, str], sentence: str
) -> None:
    assert sentence in owner_client.post(f"{NEW}summary/", form(chosen, **changes)).content.decode()


def test_the_summary_says_whether_models_fit_as_they_are_chosen(chosen: Library, owner_client: Client) -> None:
    """Before there is a benchmark, and with more parents than the method takes."""
    fitting = form(chosen, benchmark="")
    page = owner_client.post(f"{NEW}summary/", fitting).content.decode()
    assert "These models can be merged." in page and f"model={chosen.base.pk}#fit" in page
    misfits = form(chosen, method="slerp", base="", parents=[chosen.first.pk, chosen.second.pk, chosen.wide.pk])
    page = owner_client.post(f"{NEW}summary/", misfits).content.decode()
    assert "SLERP takes 2 parents, found 3" in page
    assert "These models cannot be merged as they are" in page and "hidden_size is" in page


def test_the_summary_says_every_misfit_once_with_what_to_do(chosen: Library, owner_client: Client) -> None:
    page = owner_client.post(f"{NEW}summary/", form(chosen, parents=[chosen.first.pk, chosen.wide.pk])).content.decode()
    assert page.count("hidden_size is") == page.count("Choose models of one architecture and size") == 1


def test_the_summary_of_one_model_says_nothing_of_fit(chosen: Library, owner_client: Client) -> None:
    page = owner_client.post(f"{NEW}summary/", form(chosen, parents=[chosen.first.pk], base="")).content.decode()
    assert "can be merged" not in page


def test_the_summary_lists_what_is_missing(chosen: Library, owner_client: Client, stranger_client: Client) -> None:
    page = owner_client.post(f"{NEW}summary/", form(chosen, parents=[])).content.decode()
    assert "Task arithmetic takes 1 or more parents, found 0" in page
    assert stranger_client.post(f"{NEW}summary/", form(chosen)).status_code == 302


def test_a_run_like_one_with_parts_of_layers_starts_from_them(chosen: Library, owner_client: Client) -> None:
    owner_client.post(NEW, form(chosen, groups="gradient", division="parts"))
    page = owner_client.get(f"{NEW}?like={Run.objects.get().pk}").content.decode()
    assert checked(page, "groups") == {"gradient"} and checked(page, "division") == {"named"}
    assert 'value="self_attn,mlp"' in page


def test_a_run_like_another_starts_from_its_settings(
    chosen: Library, owner_client: Client, member_client: Client, stranger_client: Client
) -> None:
    changes = {"method": "linear", "groups": "some", "n_groups": "2", "base": "", "budget": "33", "tokenizer": "union"}
    owner_client.post(NEW, form(chosen, **changes))
    like = f"{NEW}?like={Run.objects.get().pk}"
    page = owner_client.get(like).content.decode()
    assert checked(page, "method") == {"linear"}
    assert checked(page, "groups") == {"some"}
    assert all(value in page for value in ('value="33"', 'value="my run"', '<option value="union" selected>'))
    assert member_client.get(like).status_code == 404
    assert stranger_client.get(like).status_code == 302
    assert owner_client.get(f"{NEW}?like=1").status_code == 404


def test_a_run_in_steady_state_is_a_tick_and_the_next_like_it_keeps_it(chosen: Library, owner_client: Client) -> None:
    owner_client.post(NEW, form(chosen, steady="on"))
    run = Run.objects.get()
    assert run.config["steady"] is True
    assert "Steady state" in owner_client.get(f"/runs/{run.pk}/").content.decode()
    again = owner_client.get(f"{NEW}?like={run.pk}").content.decode()
    assert re.search(r'<input type="checkbox" name="steady"[^>]* checked', again)


def test_steady_state_with_fewer_questions_is_refused_beside_its_tick(chosen: Library, owner_client: Client) -> None:
    page = owner_client.post(NEW, form(chosen, steady="on", fidelity="racing")).content.decode()
    assert "in steady state candidates of two generations are compared" in page and not Run.objects.exists()

"""New run over a layer path, or over both spaces: what the page offers, what it refuses, what it launches."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from merging.search import searches
from tests.webapp.runs.choices import Library, checked, form, library, path_form
from webapp.library.actions import install_demo_pack
from webapp.library.models import Parent
from webapp.lineage.models import Sequel
from webapp.runs.config import RunConfig
from webapp.runs.launching.forms.run_form import RunForm
from webapp.runs.launching.forms.values import initial
from webapp.runs.launching.presets import about, preset
from webapp.runs.models import Run

NEW = "/runs/new/"


@pytest.fixture
def chosen(owner: User, tmp_path: Path) -> Library:
    return library(owner, tmp_path)


def page_of(client: Client, sent: dict[str, Any], address: str = f"{NEW}summary/") -> str:
    return client.post(address, sent).content.decode()


def selected(page: str, name: str) -> str:
    """The value that a list of choices shows."""
    (found,) = re.findall(rf'<select name="{name}".*?</select>', page, re.DOTALL)
    return next(iter(re.findall(r'value="(\d*)" selected', found)), "")


def test_every_search_is_offered_for_paths_and_for_numbers_those_that_need_no_switches(
    chosen: Library, owner_client: Client
) -> None:
    page = owner_client.get(NEW).content.decode()
    for name, expected in (("path_search", set(searches.names())), ("search", set(searches.names()) - {"cat_cma"})):
        tags = [tag for tag in re.findall(r"<input[^>]*>", page) if f'name="{name}"' in tag]
        assert {value for tag in tags for value in re.findall(r'value="([^"]*)"', tag)} == expected
    assert checked(page, "space") == {"numbers"} and checked(page, "path_search") == {"cat_cma"}


def test_launching_a_path_leads_to_its_run_with_a_and_b_in_order(chosen: Library, owner_client: Client) -> None:
    answer = owner_client.post(NEW, path_form(chosen, model_a=chosen.second.pk, model_b=chosen.first.pk))
    run = Run.objects.get()
    config = RunConfig.from_json(run.config)
    assert answer.url == f"/runs/{run.pk}/"
    assert [parent.name for parent in config.parents] == ["second", "first"]
    assert config.path and (config.path.repeats, config.path.scales, config.path.max_hops) == (1, "slot", 4)
    assert (run.budget, config.search, config.base) == (30, "cma_es", None)


def test_a_run_of_numbers_takes_no_notice_of_the_path_and_a_path_none_of_numbers(
    chosen: Library, owner_client: Client
) -> None:
    wrong_path = {"model_a": "x", "repeats": "often", "max_hops": "9999", "scales": "?", "path_budget": ""}
    owner_client.post(NEW, form(chosen, **wrong_path))
    wrong_numbers = {"parents": [], "method": "?", "groups": "?", "budget": "", "search": "", "n_groups": "x"}
    owner_client.post(NEW, path_form(chosen, **wrong_numbers))
    assert [bool(run.config.get("path")) for run in Run.objects.order_by("created")] == [False, True]


def test_all_that_is_wrong_with_a_path_is_said_where_it_was_chosen(chosen: Library, owner_client: Client) -> None:
    wrong = {"model_b": chosen.wide.pk, "max_hops": "many", "path_budget": "0", "repeats": "1", "seed": "x"}
    page = page_of(owner_client, path_form(chosen, **wrong), NEW)
    expected = (
        "hidden_size is 3 in wide and 2 in first",
        "at most is not a whole number",
        "the budget is 0 candidates",
    )
    assert [sentence for sentence in expected if sentence not in page] == []
    assert all(f'href="#field-{name}"' in page for name in ("model_b", "max_hops", "path_budget", "seed"))
    assert not Run.objects.exists()


def test_a_path_without_a_model_is_refused(chosen: Library, owner_client: Client) -> None:
    page = page_of(owner_client, path_form(chosen, model_a="", model_b=""))
    assert "#field-model_a" in page and "0 models are chosen; expected two, A and B, or A alone" in page


def test_the_summary_tells_the_path_in_plain_words_and_what_it_costs(chosen: Library, owner_client: Client) -> None:
    page = page_of(owner_client, path_form(chosen))
    assert "Find a path through the 2 layers of first, which begin and end it, and 2 of second" in page
    assert "a question takes 1.5 times as long as model A needs, and 2.0 times at most" in page


def test_one_press_swaps_a_and_b_without_a_script_and_loses_nothing(
    chosen: Library, owner_client: Client, member_client: Client, stranger_client: Client
) -> None:
    sent = path_form(chosen, swap="1", path_budget="nonsense", name="kept")
    page = page_of(owner_client, sent, NEW)
    assert (selected(page, "model_a"), selected(page, "model_b")) == (str(chosen.second.pk), str(chosen.first.pk))
    assert checked(page, "space") == {"path"} and 'value="nonsense"' in page and 'value="kept"' in page
    assert checked(page, "benchmarks") == {str(chosen.benchmark.pk)} and 'value="k1"' in page
    assert "your attention" not in page and not Run.objects.exists()
    assert selected(page_of(member_client, sent, NEW), "model_a") == ""
    assert stranger_client.post(NEW, sent).url.startswith("/sign-in/")


def test_a_model_alone_stays_a_when_swapped(chosen: Library, owner_client: Client) -> None:
    page = page_of(owner_client, path_form(chosen, model_b="", swap="1"), NEW)
    assert (selected(page, "model_a"), selected(page, "model_b")) == (str(chosen.first.pk), "")


def test_both_launch_a_run_of_numbers_and_keep_the_second_for_its_winner(chosen: Library, owner_client: Client) -> None:
    for _ in range(2):
        answer = owner_client.post(NEW, path_form(chosen, space="both", model_a="nobody", random_search="on"))
    run = Run.objects.get(baseline_of=None)
    sequel = Sequel.objects.get()
    assert answer.url == f"/runs/{run.pk}/" and run.config.get("path") is None and run.budget == 40
    assert (sequel.first, sequel.name, sequel.with_random_search) == (run, "my run, layer path", True)
    config = RunConfig.from_json(sequel.config)
    assert [parent.name for parent in config.parents] == ["the winner", "second"] and config.budget == 30


def test_the_summary_of_both_tells_both_runs_and_their_order(chosen: Library, owner_client: Client) -> None:
    page = page_of(owner_client, path_form(chosen, space="both"))
    assert page.index("Mix 2 models with Task arithmetic") < page.index(
        "2 layers of the winner, which begin and end it"
    )
    assert "its winner as model A, second as model B" in page


def test_what_is_wrong_with_the_second_run_is_said_before_the_first_is_launched(
    chosen: Library, owner_client: Client
) -> None:
    wrong = {"model_b": chosen.wide.pk, "path_budget": "0", "seed": "-1", "budget": "0"}
    page = page_of(owner_client, path_form(chosen, space="both", **wrong), NEW)
    assert "4 things need your attention" in page and "hidden_size is 3 in wide and 2 in the winner" in page
    assert not Run.objects.exists()


def test_nobody_leads_a_path_through_what_they_cannot_see(chosen: Library, member_client: Client) -> None:
    page = page_of(member_client, path_form(chosen), NEW)
    assert "Select a valid choice" in page and not Run.objects.exists()


def test_a_run_like_one_over_a_path_starts_from_its_path(chosen: Library, owner_client: Client) -> None:
    owner_client.post(NEW, path_form(chosen, repeats="2", scales="network", max_hops="5"))
    page = owner_client.get(f"{NEW}?like={Run.objects.get().pk}").content.decode()
    assert (selected(page, "model_a"), selected(page, "model_b")) == (str(chosen.first.pk), str(chosen.second.pk))
    assert checked(page, "space") == {"path"} and checked(page, "scales") == {"network"}
    assert all(f'name="{name}" value="{value}"' in page for name, value in (("repeats", 2), ("max_hops", 5)))


def test_a_run_like_the_first_of_both_starts_from_both(chosen: Library, owner_client: Client) -> None:
    owner_client.post(NEW, path_form(chosen, space="both", groups="block"))
    page = owner_client.get(f"{NEW}?like={Run.objects.get().pk}").content.decode()
    assert checked(page, "space") == {"both"} and checked(page, "groups") == {"block"}
    assert selected(page, "model_b") == str(chosen.second.pk)


def test_a_new_run_opens_with_a_model_of_ones_own(
    chosen: Library, owner_client: Client, member_client: Client, stranger_client: Client
) -> None:
    address = f"{NEW}?parent={chosen.second.pk}"
    page = owner_client.get(address).content.decode()
    assert checked(page, "parents") == {str(chosen.second.pk)} == {selected(page, "model_a")}
    assert member_client.get(address).status_code == 404
    assert stranger_client.get(address).url.startswith("/sign-in/")
    assert owner_client.get(f"{NEW}?parent=x").status_code == 404


@pytest.mark.parametrize("name", ["path", "both", "quick", "standard"])
def test_a_demo_preset_can_be_launched_as_it_is(db: None, owner_client: Client, owner: User, name: str) -> None:
    """With the real pack: what the page was filled in with is sent back unchanged."""
    install_demo_pack()
    usual = {key: field.initial for key, field in RunForm(owner).fields.items() if field.initial}
    start = usual | initial(owner, preset(name), "k1")
    sent = {key: value.pk if isinstance(value, Parent) else value for key, value in start.items() if value is not None}
    warns = "are few" in owner_client.post(f"{NEW}summary/", sent).content.decode()
    assert warns == (name == "both")  # what was measured needs no warning; its second run was not
    answer = owner_client.post(NEW, sent)
    run = Run.objects.get()
    assert answer.url == f"/runs/{run.pk}/"
    assert Sequel.objects.exists() == (name == "both")
    assert about(RunConfig.from_json(run.config)) != ""
    (hops,) = [c for c in run.candidates.all() if c.name == "untuned stack"] or [None]
    assert (hops is not None) == (name == "path")


def test_the_papers_numbers_wait_for_models_and_benchmarks(chosen: Library, owner: User, owner_client: Client) -> None:
    page = owner_client.get(f"{NEW}?preset=paper-path").content.decode()
    values = {"path_budget": 12800, "path_population_size": 128, "repeats": 3, "p_others": 0.5}
    assert [name for name, value in values.items() if f'name="{name}" value="{value}"' not in page] == []
    assert checked(page, "fidelity") == {"batch"} and checked(page, "path_search") == {"cma_es"}
    start = initial(owner, preset("paper-path"), "k1") | {"benchmarks": [chosen.benchmark.pk]}
    models = {"model_a": chosen.first.pk, "model_b": chosen.second.pk, "base": "", "max_hops": ""}
    sent = {name: "" if value is None else value for name, value in (start | models).items()}
    assert owner_client.post(NEW, sent).url == f"/runs/{Run.objects.get().pk}/"

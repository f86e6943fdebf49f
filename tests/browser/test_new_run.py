"""New run in a real Chromium: step by step to a launch, wide and on a phone; nothing that was typed is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client

from tests.browser.steps import to_step
from tests.conftest import is_too_wide, sign_in, wait_for
from tests.webapp.runs.choices import Library, library
from tests.webapp.runs.launching.test_outlook import answered
from webapp.runs.models import Run, RunDraft
from webapp.trials.models import Trial

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
SIZES = {"wide": {"width": 1280, "height": 800}, "phone": {"width": 360, "height": 740}}


@pytest.fixture
def chosen(owner: User, tmp_path: Path) -> Library:
    return library(owner, tmp_path)


@pytest.fixture(params=[pytest.param("wide", marks=pytest.mark.slow), "phone"])
def new(live_app: str, owner_client: Client, page: Any, request: Any) -> Any:
    """The page with nothing chosen, at either size."""
    page.set_viewport_size(SIZES[request.param])
    sign_in(page, live_app, owner_client)
    page.goto(f"{live_app}/runs/new/")
    page.locator(".steps [data-state=done]").first.wait_for()
    return page


def choose(page: Any, row: Any, name: str) -> None:
    page.locator(f'[name="{name}"][value="{row.pk}"]').check()


def fill_in(page: Any, chosen: Library) -> None:
    to_step(page, "parents")
    choose(page, chosen.first, "parents")
    choose(page, chosen.second, "parents")
    page.get_by_label("Base model", exact=True).select_option(str(chosen.base.pk))
    to_step(page, "benchmarks")
    choose(page, chosen.benchmark, "benchmarks")
    page.locator("[data-step-link=review][data-state=next]").wait_for()


def test_five_steps_lead_to_a_launch(chosen: Library, new: Any, owner: User) -> None:
    fill_in(new, chosen)
    for step in ("goal", "parents", "benchmarks", "search", "review"):
        to_step(new, step)
        assert not is_too_wide(new), step
    assert "numbers to find" in new.locator(".recipe-sentence").inner_text()
    assert new.locator("meter").is_visible()
    new.get_by_role("button", name="Launch").click()
    new.wait_for_url("**/runs/*-*/")
    assert Run.objects.get().owner == owner
    wait_for(lambda: not RunDraft.objects.exists(), "the draft is gone")


def test_a_press_into_which_an_answer_falls_arrives_and_the_keyboard_stays(chosen: Library, new: Any) -> None:
    link = new.locator("[data-step-link=search]")
    link.hover()
    new.mouse.down()
    answer(new, "0", "wrong")
    new.mouse.up()
    new.locator("[data-step-link=search][aria-current=step]").wait_for()
    assert new.url.endswith("#search")
    link.focus()
    answer(new, "40", "done")
    assert new.evaluate("document.activeElement.dataset.stepLink") == "search"


def answer(page: Any, budget: str, state: str) -> None:
    """A budget is typed, and what the server says of it changes a step."""
    page.evaluate(
        """(text) => {
            const field = document.querySelector("[name=budget]");
            field.value = text;
            field.dispatchEvent(new Event("change", { bubbles: true }));
        }""",
        budget,
    )
    page.locator(f"[data-step-link=search][data-state={state}]").wait_for()


def test_the_keyboard_goes_from_step_to_step_and_launches_from_the_review_alone(chosen: Library, new: Any) -> None:
    fill_in(new, chosen)
    to_step(new, "goal")
    for step in ("parents", "benchmarks", "search", "review"):
        new.get_by_role("link", name=f"Next: {step}").focus()
        new.keyboard.press("Enter")
        new.locator(f"[data-step-link={step}][aria-current=step]").wait_for()
        assert new.url.endswith(f"#{step}")
        assert new.evaluate("document.activeElement.closest('[data-step]').dataset.step") == step
    new.go_back()
    new.locator("[data-step-link=search][aria-current=step]").wait_for()
    new.get_by_label("Candidates to score").press("Enter")
    new.wait_for_url("**#review")
    assert not Run.objects.exists()


def test_what_an_answer_complains_of_is_shown_first(chosen: Library, new: Any) -> None:
    to_step(new, "review")
    new.get_by_role("button", name="Launch").click()
    new.get_by_role("alert").wait_for()
    assert new.locator("#parents").is_visible() and not new.locator("#goal").is_visible()


def test_with_nothing_on_the_server_the_steps_say_what_is_missing(new: Any) -> None:
    assert new.locator(".steps [data-state=wrong]").count() == 2
    to_step(new, "parents")
    assert new.get_by_text("No model is on this server yet.").is_visible()
    to_step(new, "benchmarks")
    assert new.get_by_text("There is no benchmark yet.").is_visible()


def test_every_blocker_leads_to_its_field(chosen: Library, new: Any) -> None:
    fill_in(new, chosen)
    to_step(new, "search")
    new.get_by_label("Candidates to score").fill("0")
    new.locator("[data-step-link=search][data-state=wrong]").wait_for()
    field = new.get_by_label("Candidates to score")
    said = new.locator(f"#{field.get_attribute('aria-describedby').split()[-1]}.error")
    assert "the budget is 0 candidates" in said.inner_text() and field.get_attribute("aria-invalid") == "true"
    to_step(new, "review")
    new.locator(".blockers a", has_text="Candidates to score").click()
    assert new.url.endswith("#field-budget")
    assert new.evaluate("document.activeElement.name") == "budget"
    assert new.get_by_label("Candidates to score").is_visible()
    new.get_by_role("button", name="Launch").click()
    assert new.get_by_role("alert").get_by_text("the budget is 0 candidates").is_visible()


def test_a_phone_folds_what_is_for_experts_and_shows_the_summary_with_the_review(
    chosen: Library, live_app: str, owner_client: Client, page: Any
) -> None:
    page.set_viewport_size(SIZES["phone"])
    sign_in(page, live_app, owner_client)
    page.goto(f"{live_app}/runs/new/?preset=own")
    assert page.locator("#goal").is_visible() and not page.locator("#parents").is_visible()
    page.get_by_role("link", name="Next: parents").click()
    assert page.locator("#parents").is_visible() and not page.locator("#goal").is_visible()
    assert not page.locator("#summary").is_visible()
    to_step(page, "search")
    assert not page.locator("#field-method").is_visible()
    assert page.get_by_text("Merge method: DARE-TIES").is_visible()
    assert page.get_by_role("button", name="Launch").is_visible()


def test_what_was_typed_is_there_when_the_page_is_opened_again(chosen: Library, new: Any, live_app: str) -> None:
    new.get_by_label("Name", exact=True).fill("half done")
    new.evaluate("document.activeElement.blur()")
    wait_for(lambda: RunDraft.objects.filter(data__name=["half done"]).exists(), "the draft is kept")
    new.goto(f"{live_app}/runs/new/")
    assert new.get_by_label("Name", exact=True).input_value() == "half done"
    new.get_by_role("button", name="Start afresh").click()
    new.wait_for_url("**preset=own**")
    assert new.get_by_label("Name", exact=True).input_value() == "" and not RunDraft.objects.exists()


def test_nothing_is_lost_when_the_session_ends(chosen: Library, live_app: str, owner_client: Client, page: Any) -> None:
    sign_in(page, live_app, owner_client)
    page.goto(f"{live_app}/runs/new/?preset=own")
    page.locator(".steps [data-state=done]").first.wait_for()
    Session.objects.all().delete()
    page.get_by_label("Name", exact=True).fill("typed too late")
    page.get_by_label("Password").wait_for()
    assert not RunDraft.objects.exists()
    page.get_by_label("Name").fill("owner")
    page.get_by_label("Password").fill("owner's password")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_text("restored").wait_for()
    assert page.get_by_label("Name", exact=True).input_value() == "typed too late"


def test_a_candidate_that_was_tried_tells_the_time(chosen: Library, new: Any) -> None:
    fill_in(new, chosen)
    to_step(new, "review")
    assert "known when one candidate was tried" in new.locator("#summary").inner_text()
    new.get_by_role("button", name="Try one candidate").click()
    new.locator("[data-trial=pending]").wait_for()
    answered(Trial.objects.get(), seconds=3.5, each=0.5)
    new.locator("[data-trial=done]").wait_for()
    new.get_by_text("from the candidate that you tried").wait_for()
    assert not is_too_wide(new) and not Run.objects.exists()


def test_the_file_of_the_recipe_follows_the_form_while_it_is_unfolded(chosen: Library, new: Any) -> None:
    fill_in(new, chosen)
    to_step(new, "review")
    new.get_by_text("The starting point as a file").click()
    new.locator("#yaml", has_text="merge_method: dare_ties").wait_for()
    assert not is_too_wide(new)


def test_a_file_of_mergekit_evolve_fills_the_page_in(chosen: Library, new: Any) -> None:
    new.get_by_role("link", name="Import a mergekit-evolve file").click()
    text = "genome: {models: [first, gone], merge_method: ties, base_model: base}\ntasks: [sums]"
    new.get_by_label("Or its text").fill(text)
    new.get_by_role("button", name="Import").click()
    new.get_by_text("there is no model named 'gone'").wait_for()
    assert new.locator(f'[name=parents][value="{chosen.first.pk}"]').is_checked()
    assert not is_too_wide(new)

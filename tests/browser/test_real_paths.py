"""A search for a path on the demo pack with a real worker: everything that pages show of it comes from what the worker wrote."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client

from merging.benchmarks import BenchmarkSpec
from merging.objectives import Objective
from merging.recipes import Parent, Recipe
from tests.browser.test_watching import in_thread, watch
from webapp.library.actions import install_demo_pack
from webapp.library.models import Benchmark
from webapp.library.models import Parent as ParentRow
from webapp.runs import actions, events, transitions
from webapp.runs.config import PathSettings, RunConfig
from webapp.runs.models import Run
from webapp.system.processes import Child

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.timeout(420)]
MINUTE = 60_000  # milliseconds


def demo_config() -> RunConfig:
    install_demo_pack()
    rows = [ParentRow.objects.get(name=name) for name in ("demo/japanese", "demo/addition")]
    spec = BenchmarkSpec.from_json(Benchmark.objects.get(name="japanese-sums").spec)
    return RunConfig(
        parents=tuple(Parent(row.name, row.folder, row.fingerprint) for row in rows),
        base=None,
        objectives=(Objective(spec, 1.0, 8, 8, 8),),
        method="passthrough",
        groups="model",
        settings=(),
        search="cma_es",
        population_size=6,
        budget=5000,
        seed=1,
        dtype="float32",
        path=PathSettings(repeats=2, scales="slot", max_hops=12),
    )


def test_an_empty_chart_says_what_is_awaited(live_app: str, owner: User, owner_client: Client, page: Any) -> None:
    run = actions.launch(owner, demo_config(), "Paths of the demo")
    said = watch(page, live_app, owner_client, run).locator("[data-empty]")
    assert said.inner_text() == "Waiting for a worker to start."
    with transaction.atomic():
        transitions.start(transitions.locked(run.pk))
    hint = {"type": "run.events", "seq": run.events.count()}
    in_thread(lambda: async_to_sync(get_channel_layer().group_send)(events.group_name(run.pk), hint))
    said.get_by_text("The parents are measured first: they are the bar to beat.").wait_for()


@pytest.mark.slow
def test_route_map_and_bars_of_a_real_search(
    live_app: str, worker_process: Child, owner: User, owner_client: Client, page: Any
) -> None:
    run = actions.launch(owner, demo_config(), "Paths of the demo")
    watch(page, live_app, owner_client, run)
    page.locator(".route-picture").wait_for(timeout=MINUTE)
    page.wait_for_function("() => document.querySelector('[data-part=slots]').dataset.key >= 2", timeout=MINUTE)
    measured = page.locator(".worth").first
    measured.get_by_role("button", name="Measure").click()
    depth = ParentRow.objects.get(name="demo/japanese").n_layers
    page.wait_for_function("n => document.querySelectorAll('.worth-bar').length === n", arg=depth, timeout=MINUTE)
    page.locator("[data-part=worth][data-unfinished='0']").wait_for(timeout=MINUTE)
    check_counts(run)
    page.get_by_role("button", name="Stop and keep best").click()
    page.get_by_role("button", name="Stop and keep best").last.click()
    page.get_by_text("Open the winner").wait_for(timeout=2 * MINUTE)
    after_the_end(page)
    assert not run.evaluations.filter(split="probe", status="failed").exists()


def after_the_end(page: Any) -> None:
    """The best path is probed hop by hop, and the page still follows."""
    last = page.locator(".worth").last
    last.get_by_role("button", name="Measure").click()
    page.locator("[data-part=worth]:not([data-unfinished='0'])").wait_for()
    page.locator("[data-part=worth][data-unfinished='0']").wait_for(timeout=2 * MINUTE)
    assert page.locator(".worth").last.locator("[data-words*='hop 1, layer 0 of demo/japanese']").count() == 1


def check_counts(run: Run) -> None:
    """What the worker counted is what its recipes say."""
    generation = run.generations.order_by("number")[0]
    paths = [Recipe.from_json(candidate.recipe).path for candidate in generation.candidates.all()]
    assert sum(generation.passed or ()) == sum(path.n_hops for path in paths if path)

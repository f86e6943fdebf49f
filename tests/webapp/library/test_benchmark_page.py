"""What the pages of benchmarks tell beside the questions: uses, seconds, health, overlap, prompts in a template, and other splits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from merging.benchmarks import BenchmarkSpec, QuestionFile
from merging.errors import BenchmarkError
from merging.health import Health
from merging.recipes import passthrough_recipe
from tests.ledger.scores import tried
from tests.webapp.library.folders import model_folder, question_file
from tests.webapp.runs.choices import draft, form, library
from tests.webapp.runs.rows import benchmark as sums
from tests.webapp.runs.rows import make_run
from webapp.library.actions import add_benchmark, register_parent
from webapp.library.dealing import deal_anew
from webapp.library.models import Benchmark
from webapp.runs import actions as runs
from webapp.runs.launching.drafts import plan
from webapp.runs.models import Run, Score
from webapp.runs.views import new
from webapp.trials import actions as trials
from webapp.trials.models import Trial


@pytest.fixture
def row(owner: User, tmp_path: Path) -> Benchmark:
    return add_benchmark(owner, question_file(tmp_path / "sums.jsonl"))


def address(row: Benchmark) -> str:
    return reverse("library:benchmark", args=[row.pk])


def of_runs(owner: User) -> Benchmark:
    """The benchmark of `make_run`, as a row of the owner's."""
    spec = sums()
    sizes = spec.sizes()
    return Benchmark.objects.create(
        owner=owner, name=spec.name, title=spec.name, spec=spec.to_json(), digest=spec.digest, scorer="last_number@1",
        n_search=sizes["search"], n_validation=sizes["validation"], n_final=sizes["final"],
    )  # fmt: skip


def deal(client: Client, row: Benchmark, n_validation: int, n_final: int, seed: int = 1) -> Any:
    asked = {"n_validation": n_validation, "n_final": n_final, "seed": seed}
    return client.post(f"{address(row)}deal/", asked)


def test_the_list_tells_errors_seconds_and_runs_with_as_many_queries_for_many(
    owner: User, owner_client: Client, member_client: Client, row: Benchmark, django_assert_max_num_queries: Any
) -> None:
    used = of_runs(owner)
    for _ in range(4):
        make_run(owner, n_generations=1, population=2)
    Score.objects.update(seconds=2.0)
    with django_assert_max_num_queries(10):
        answer = owner_client.get("/benchmarks/")
    found = {one.pk: use for one, _, use in answer.context["rows"]}
    assert (found[used.pk].n_runs, found[used.pk].seconds, found[used.pk].n_asked) == (4, 2.0, 50)
    assert (found[row.pk].n_runs, found[row.pk].seconds) == (0, None)
    assert "± 11.2 %" in answer.content.decode()  # of 20 questions
    Benchmark.objects.update(owner=None)
    theirs = member_client.get("/benchmarks/").context["rows"]
    assert {use.n_runs for _, _, use in theirs} == {0}


def test_parents_of_whom_nothing_can_be_read_are_the_benchmark_s_warning(owner: User, owner_client: Client) -> None:
    row = of_runs(owner)
    make_run(owner, n_generations=1, population=2)
    parents = Score.objects.filter(evaluation__candidate__kind="parent")
    parents.update(health=Health(50, unextractable=1).to_json())
    assert "No answer could be read" not in owner_client.get(address(row)).content.decode()
    parents.filter(evaluation__candidate__name="demo/addition").update(concerns=["10 of 50 completions are empty"])
    page = owner_client.get(address(row)).content.decode()
    assert "completions are empty, which is that model’s own" in page and "sound</span>" in page
    parents.update(concerns=["10 of 50 completions are empty"])
    assert "2 concerns</span>" in owner_client.get(address(row)).content.decode()
    parents.filter(evaluation__candidate__name="demo/addition").update(
        health=Health(50, empty=20, unextractable=30).to_json(), concerns=["50 of 50 completions hold no answer"]
    )
    page = owner_client.get(address(row)).content.decode()
    assert "No answer could be read from any completion of demo/addition (50)" in page
    assert "1 of 2 unread" in owner_client.get("/benchmarks/").content.decode()


def test_a_trial_in_which_nothing_could_be_read_is_one_too(
    owner: User, owner_client: Client, row: Benchmark, tmp_path: Path
) -> None:
    model = register_parent(owner, model_folder(tmp_path / "model"))
    trial = trials.start(owner, passthrough_recipe(model.model), [BenchmarkSpec.from_json(row.spec)], "model")
    for extracted, is_said in (("2", False), (None, True)):
        Trial.objects.filter(pk=trial.pk).delete()
        trial.pk = None
        trial.status, trial.result = "done", [tried("sums", 3, "Cats.", extracted)]
        trial.save(force_insert=True)
        assert ("no answer of model could be read" in owner_client.get(address(row)).content.decode()) == is_said


def test_unused_questions_are_dealt_anew_and_none_is_lost(owner: User, owner_client: Client, row: Benchmark) -> None:
    assert deal(owner_client, row, n_validation=5, n_final=3).url == address(row)
    row.refresh_from_db()
    assert (row.n_search, row.n_validation, row.n_final) == (32, 5, 3)
    samples = BenchmarkSpec.from_json(row.spec).load(row.key).samples
    assert {len(split) for split in samples.values()} == {32, 5, 3}
    assert len({sample.id for split in samples.values() for sample in split}) == 40


def test_the_folder_of_the_splits_before_goes(
    owner: User, row: Benchmark, django_capture_on_commit_callbacks: Any
) -> None:
    old = Path(row.spec["sealed"]["path"])
    with django_capture_on_commit_callbacks(execute=True):
        deal_anew(row, 1, 5, 3)
    folders = [path.name for path in (Path(settings.DATA_DIR) / "benchmarks").iterdir()]
    assert not old.exists() and Path(row.spec["sealed"]["path"]).name in folders


def test_the_seed_decides_and_the_same_seed_gives_the_same(row: Benchmark) -> None:
    digests = [deal_anew(row, seed, 10, 10).digest for seed in (1, 2, 1)]
    assert digests[0] == digests[2] != digests[1]


def test_of_two_who_deal_at_once_the_second_is_refused(row: Benchmark) -> None:
    late = Benchmark.objects.get(pk=row.pk)
    dealt = deal_anew(row, 1, 10, 10)
    with pytest.raises(BenchmarkError):
        deal_anew(late, 2, 10, 10)
    assert Benchmark.objects.get(pk=row.pk).digest == dealt.digest


@pytest.mark.parametrize(("n_validation", "n_final"), [(20, 20), (40, 1), (0, 5)])
def test_a_split_that_would_be_empty_is_refused_at_the_form(
    owner_client: Client, row: Benchmark, n_validation: int, n_final: int
) -> None:
    page = deal(owner_client, row, n_validation, n_final).content.decode()
    assert "needs your attention" in page and '<details class="more inset" open>' in page
    row.refresh_from_db()
    assert row.n_search == 20


def test_splits_that_a_run_has_used_stay(owner: User, owner_client: Client, tmp_path: Path) -> None:
    chosen = library(owner, tmp_path)
    assert "Deal the 40 questions anew" in owner_client.get(address(chosen.benchmark)).content.decode()
    runs.launch(owner, plan(draft(chosen)).config, "a run")
    page = owner_client.get(address(chosen.benchmark)).content.decode()
    assert "Deal the 40" not in page and "A run has used these splits" in page
    assert "would mean something else" in deal(owner_client, chosen.benchmark, 5, 5).content.decode()
    with pytest.raises(BenchmarkError, match="a run has used"):
        deal_anew(chosen.benchmark, 1, 5, 5)


def test_a_launch_that_was_made_up_before_the_deal_is_refused(
    owner: User, owner_client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its splits are those that nobody has any more."""
    chosen, launch = library(owner, tmp_path), new._launch
    sent = form(chosen, n_search="5", n_validation="5", n_final="5")

    def late(*given: Any) -> Run:
        monkeypatch.setattr(new, "_launch", launch)
        deal_anew(chosen.benchmark, 1, 5, 5)
        return launch(*given)

    monkeypatch.setattr(new, "_launch", late)
    assert "were dealt anew just now" in owner_client.post("/runs/new/", sent).content.decode()
    assert not Run.objects.exists()
    assert owner_client.post("/runs/new/", sent).status_code == 302


def test_nobody_deals_another_s_questions(member_client: Client, row: Benchmark) -> None:
    assert deal(member_client, row, 5, 5).status_code == 404
    Benchmark.objects.filter(pk=row.pk).update(owner=None)
    assert deal(member_client, row, 5, 5).status_code == 404


def test_questions_that_are_nearly_the_same_in_two_splits_are_shown(owner: User, owner_client: Client) -> None:
    """Sums differ by their numbers alone, which is as it should be."""
    row = of_runs(owner)
    Benchmark.objects.filter(pk=row.pk).update(n_search=5000)
    assert "Compare the splits" in owner_client.get(address(row)).content.decode()
    page = owner_client.get(f"{address(row)}?overlap=1").content.decode()
    assert "Search and validation:" in page and "the same but for digits and signs" in page


def test_prompts_are_shown_in_the_template_of_a_chosen_model(owner: User, owner_client: Client, tmp_path: Path) -> None:
    file = question_file(tmp_path / "chat.jsonl")
    row = add_benchmark(owner, QuestionFile(file.path, "last_number", seed=0, as_chat=True))
    folder = model_folder(tmp_path / "chatty")
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<begin>"}))
    (folder / "chat_template.jinja").write_text("{{ bos_token }}[{{ messages[0].content }}]")
    chatty = register_parent(owner, folder)
    mute = register_parent(owner, model_folder(tmp_path / "mute", fill=1))
    page = owner_client.get(f"{address(row)}?model={chatty.pk}").content.decode()
    assert page.count("&lt;begin&gt;[") == 5 and "As chatty reads it" in page
    assert "has no chat template" in owner_client.get(f"{address(row)}?model={mute.pk}").content.decode()
    for wrong in ("", "x", "123456"):
        assert "&lt;begin&gt;" not in owner_client.get(f"{address(row)}?model={wrong}").content.decode()


def test_another_s_template_is_not_rendered(owner: User, member: User, member_client: Client, tmp_path: Path) -> None:
    file = question_file(tmp_path / "chat.jsonl")
    row = add_benchmark(member, QuestionFile(file.path, "last_number", seed=0, as_chat=True))
    model = register_parent(owner, model_folder(tmp_path / "secret"))
    page = member_client.get(f"{address(row)}?model={model.pk}").content.decode()
    assert "no chat template" not in page and "secret" not in page


def test_without_benchmarks_the_template_and_the_starter_sets_are_offered(owner: User, owner_client: Client) -> None:
    page = owner_client.get("/benchmarks/").content.decode()
    assert "template.csv" in page and "starter sets here" not in page
    User.objects.filter(pk=owner.pk).update(is_staff=True)
    assert "Put the starter sets here" in owner_client.get("/benchmarks/").content.decode()

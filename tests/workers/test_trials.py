"""Trials by workers: with a fake device, whatever happens to it; and by the real one on the demo pack."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from merging.benchmarks import BenchmarkSpec, QuestionFile
from merging.demo import PACK
from merging.fingerprints import fingerprint
from merging.recipes import Parent, passthrough_recipe
from merging.workbench import Workbench
from tests.ledger import world
from tests.workers.conftest import Staff, has_ended, wait_for
from webapp.runs.models import Attempt, Run
from webapp.trials import actions
from webapp.trials.models import Trial
from webapp.trials.results import Tried
from workers.devices import WorkbenchComputer


def start(owner: User, folder: Path, number: int = 0) -> Trial:
    config = world.config(folder)
    return actions.start(owner, passthrough_recipe(config.parents[number]), [config.objectives[0].spec], "tried")


def demo(skill: str) -> Parent:
    """A model of the demo pack."""
    return Parent(f"demo/{skill}", str(PACK / skill), fingerprint(PACK / skill))


def trouble(staff: Staff, folder: Path, what: str) -> None:
    """What happens to the device that tries the first parent."""
    digest = passthrough_recipe(world.config(folder).parents[0]).digest()
    staff.plan.write_text(json.dumps({"seconds": 0.01, "trouble": {digest: what}}))


def ended(trial: Trial) -> bool:
    trial.refresh_from_db()
    return not trial.is_under_way


def test_trials_are_carried_out_beside_a_run_which_they_do_not_keep_waiting(
    staff: Staff, owner: User, run: Run, tmp_path: Path
) -> None:
    """Of three trials that wait each lets at least one evaluation pass before the next."""
    tried = [start(owner, tmp_path, number) for number in range(3)]
    staff.fork()
    wait_for(lambda: all(map(ended, tried)))
    assert {trial.status for trial in tried} == {"done"} and tried[0].tried[0].benchmark == "sums"
    times = sorted(trial.finished for trial in tried if trial.finished)
    between = [Attempt.objects.filter(started__gt=a, started__lt=b).count() for a, b in pairwise(times)]
    assert between == [1, 1]
    wait_for(lambda: has_ended(run))
    assert run.state == "done"


def test_a_trial_survives_a_device_that_dies_and_a_worker_that_is_killed(
    staff: Staff, owner: User, tmp_path: Path
) -> None:
    trial = start(owner, tmp_path)
    trouble(staff, tmp_path, "slow once")
    first = staff.fork("w1")
    wait_for(lambda: Trial.objects.filter(pk=trial.pk, stage="evaluate").exists())
    first.kill()
    staff.fork("w2")
    wait_for(lambda: ended(trial))
    assert (trial.status, trial.attempts) == ("done", 2)


@pytest.mark.parametrize(
    ("what", "kind", "attempts", "told"),
    [
        ("die", "poison", 3, "Given up after 3 attempts"),
        ("NaN tensors", "tensor", 1, "q_proj holds NaN"),
        ("parent gone", "parent", 1, "a has no model.safetensors."),
    ],
)
def test_what_cannot_be_tried_is_told_in_words(
    staff: Staff, owner: User, tmp_path: Path, what: str, kind: str, attempts: int, told: str
) -> None:
    trial = start(owner, tmp_path)
    trouble(staff, tmp_path, what)
    staff.fork()
    wait_for(lambda: ended(trial))
    assert (trial.status, trial.failure_kind, trial.attempts) == ("failed", kind, attempts)
    assert told in trial.failure


def test_the_device_says_what_a_model_of_the_demo_pack_was_asked_said_and_scored() -> None:
    recipe = passthrough_recipe(demo("addition"))
    spec = BenchmarkSpec.of_builtin("japanese-sums")
    request = {"recipe": recipe.to_json(), "asks": [{"benchmark": spec.to_json(), "n": 3, "key": None}]}
    answer = WorkbenchComputer(Workbench("cpu")).try_out(request, lambda *step: None)  # type: ignore[arg-type]
    (tried,) = map(Tried.from_json, answer["tried"])
    benchmark = spec.load()
    samples = benchmark.take("search", 3)
    assert [one.prompt for one in tried.questions] == [benchmark.rendered(sample) for sample in samples]
    assert [one.expected for one in tried.questions] == [sample.answer for sample in samples]
    assert all(one.completion and one.language == "ja" for one in tried.questions) and not tried.as_chat
    assert answer["seconds"] > 0


def test_a_benchmark_with_fewer_questions_is_asked_all_of_them(tmp_path: Path) -> None:
    path = tmp_path / "few.jsonl"
    path.write_text("".join(f'{{"question": "{n} + 1 = ?", "answer": "{n + 1}"}}\n' for n in range(4)))
    spec = BenchmarkSpec.of_file("few", QuestionFile(str(path), "last_number", seed=0, max_new_tokens=4))
    recipe = passthrough_recipe(demo("base"))
    request = {"recipe": recipe.to_json(), "asks": [{"benchmark": spec.to_json(), "n": 3, "key": None}]}
    answer = WorkbenchComputer(Workbench("cpu")).try_out(request, lambda *step: None)  # type: ignore[arg-type]
    assert len(answer["tried"][0]["questions"]) == len(spec.load().take("search")) == 2

"""One of everything that the screens show, and where each screen is: runs that search and that have ended, exports in every state,
a library, workers that compute and that are gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone

from tests.webapp.exports.rows import built
from tests.webapp.runs.choices import Library, library
from tests.webapp.runs.rows import make_run
from webapp.exports.models import Export
from webapp.runs.models import Run
from webapp.sharing.models import Project
from webapp.sharing.projects import admit, begin, place
from webapp.system.models import Worker


@dataclass(frozen=True)
class House:
    """Rows of one owner."""

    running: Run
    done: Run
    library: Library
    project: Project

    def screens(self) -> Mapping[str, str]:
        """The address of every screen behind sign-in, by its name."""
        winner = self.done.winner
        assert winner is not None
        two = list(self.done.candidates.filter(kind="evolved").exclude(pk=winner.pk)[:1])
        compared = "&".join(f"c={candidate.pk}" for candidate in (winner, *two))
        models = "&".join(f"model={row.pk}" for row in (self.library.first, self.library.second, self.library.wide))
        tabs = {f"system, {tab}": f"{reverse('system:page')}?tab={tab}" for tab in TABS}
        return {
            "runs": reverse("runs:list"),
            "new run": reverse("runs:new"),
            "live run": reverse("runs:detail", args=[self.running.pk]),
            "ended run": reverse("runs:detail", args=[self.done.pk]),
            "leaderboard": reverse("runs:leaderboard", args=[self.done.pk]),
            "leaderboard across runs": reverse("runs:standings"),
            "candidate": reverse("runs:candidate", args=[self.done.pk, winner.pk]),
            "compare": f"{reverse('analysis:compare')}?{compared}",
            "compare runs": f"{reverse('analysis:compare')}?run={self.done.pk}&run={self.running.pk}",
            "genes": reverse("analysis:genes", args=[self.done.pk]),
            "genealogy": reverse("lineage:genealogy", args=[self.done.pk]),
            "model": reverse("library:parent", args=[self.library.first.pk]),
            "models": f"{reverse('library:parents')}?{models}",
            "find on the Hub": reverse("hub:find"),
            "fetches": reverse("hub:downloads"),
            "how alike": reverse("hub:similarity"),
            "benchmarks": reverse("library:benchmarks"),
            "benchmark": reverse("library:benchmark", args=[self.library.benchmark.pk]),
            "new benchmark": reverse("library:benchmark_new"),
            "exports": reverse("exports:list"),
            "account": reverse("accounts:account"),
            "accounts": reverse("accounts:people"),
            "projects": reverse("sharing:projects"),
            "project": reverse("sharing:project", args=[self.project.pk]),
            **tabs,
        }


TABS = ("overview", "workers", "storage&older=30", "health", "limits")


def make_house(owner: User, folder: Path) -> House:
    """`owner` looks after the server, too."""
    User.objects.filter(pk=owner.pk).update(is_staff=True)
    chosen = library(owner, folder)
    done = make_run(owner, state="done", n_generations=2, population=6, ending=True, name="Japanese sums, ended")
    running = make_run(owner, n_generations=2, population=6, n_failed=2)
    names = list(done.candidates.filter(kind="evolved").values_list("name", flat=True)[:4])
    make_exports(done, names)
    make_workers(running)
    project = begin(owner, "Reasoning in Japanese")
    place(done, project)
    admit(project, User.objects.create_user("colleague"), "editor")
    return House(running, done, chosen, project)


def make_exports(run: Run, names: list[str]) -> None:
    """One that is there, one that failed, one that waits, one that is built."""
    first, second, third, fourth = (run.candidates.get(name=name) for name in names)
    columns: dict[str, Any] = {"owner": run.owner}
    built(first, {"config.json": b"{}", "model.safetensors": bytes(2000)})
    failure = {"failure_kind": "disk full", "failure": "2.0 GB are missing. Make room and build it again."}
    Export.objects.create(candidate=second, status="failed", finished=Now(), **failure, **columns)
    Export.objects.create(candidate=third, **columns)
    lease = {"status": "leased", "lease_token": 7, "lease_until": timezone.now() + timedelta(hours=1)}
    Export.objects.create(candidate=fourth, stage="merge", progress=0.4, **lease, **columns)


def make_workers(run: Run) -> None:
    """One that computes, one that was drained, one that is silent."""
    later = Now() + timedelta(hours=1)
    columns = {"device": "CPU, 2 cores", "code_version": "1", "started": Now(), "ready": True}
    activity = {"run": str(run.pk), "evaluation": 1, "stage": "evaluate", "done": 30, "total": 50}
    Worker.objects.create(name="cpu0@here", seen=later, activity=activity, **columns)
    Worker.objects.create(name="cpu1@here", seen=later, drained=Now(), **columns)
    Worker.objects.create(
        name="gpu0@there", seen=Now() - timedelta(hours=1), **{**columns, "device": "NVIDIA H100, 80 GiB"}
    )

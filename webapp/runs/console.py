"""A run in a terminal: a progress line while it lives, a leaderboard when it ends. Reads rows only."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from webapp.runs.models import Evaluation, Run
from webapp.runs.report import Report, Score, Scored


class ProgressLine:
    """One line that follows a run: state, bar over the budget, best score, time."""

    def __init__(self, console: Console, run: Run) -> None:
        self._progress = Progress(
            TextColumn("{task.fields[state]:<9}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("best {task.fields[best]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._progress.add_task("", total=run.budget, state=run.state, best="none yet")

    def __enter__(self) -> ProgressLine:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def update(self, run: Run) -> None:
        """Show `run` as its rows stand."""
        search = Evaluation.objects.filter(run=run, split="search", candidate__kind="evolved")
        done = search.filter(status="done").order_by("-is_healthy", "-fitness")
        best = done.values_list("mean", flat=True).first()
        self._progress.update(
            self._task,
            completed=search.filter(status__in=("done", "failed")).count(),
            state=run.state,
            best="none yet" if best is None else f"{best:.3f}",
        )


def leaderboard(result: Report) -> Table:
    """The winner, the other finalists, the parents and the baselines; scores are mean [95 % interval]."""
    table = Table(title=f"{result['run']}: {result['state']}", title_justify="left", caption=_caption(result))
    for column in ("model", "search", "validation", "final"):
        table.add_column(column, justify="left" if column == "model" else "right")
    rows: list[tuple[str, Scored]] = [("parent", parent) for parent in result["parents"]]
    rows += [("baseline", baseline) for baseline in result["baselines"]]
    others = [scored for scored in result["finalists"] if scored != result["winner"]]
    rows = [
        *([("winner", result["winner"])] if result["winner"] else []),
        *(("finalist", one) for one in others),
        *rows,
    ]
    for role, scored in rows:
        table.add_row(
            f"{role}: {scored['name']}", *(_cell(scored[split]) for split in ("search", "validation", "final"))
        )
    return table


def _caption(result: Report) -> str | None:
    override = result["override"]
    return f"searched on a public test set, allowed by {override['by']} on {override['at']}" if override else None


def _cell(score: Score | None) -> str:
    if score is None:
        return ""
    flag = "" if score["is_healthy"] else " (unhealthy)"
    return f"{score['mean']:.3f} [{score['low']:.3f}, {score['high']:.3f}]{flag}"

"""Bugs that somebody might make, planted in a worker process: the harness has to catch each of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from django.db import connection, transaction
from django.db.models import QuerySet

from merging.search import cma_es, searches
from merging.spaces import Genome
from webapp.runs import events, transitions, winners
from webapp.runs.config import RunConfig
from webapp.runs.models import Evaluation, Generation, Run
from workers.ledger import claims, generations, repairs, results
from workers.ledger import searches as memory


def no_fence() -> None:
    results._held = lambda claim: Evaluation.objects.filter(pk=claim.evaluation_id, status="leased")


def a_fenced_attempt_is_accepted() -> None:
    def fence(claim: claims.Claim) -> bool:
        results.end_attempt(claim.lease.token, "accepted")
        return False

    results._fence = fence


def told_in_the_order_of_completion() -> None:
    def columns(generation: Generation, told: memory.Told) -> tuple[list[Genome], list[float]]:
        finished = Evaluation.objects.filter(candidate__generation=generation, split="search").order_by("finished")
        ordered = [evaluation.candidate for evaluation in finished.select_related("candidate")]
        return [tuple(c.genome or ()) for c in ordered], [told[c.pk] for c in ordered]

    memory._columns = columns


def leases_are_not_renewed() -> None:
    claims.renew = lambda lease: True


def an_event_is_lost() -> None:
    record = events.record

    def forgetful(run_id: UUID, kind: events.Kind, payload: dict[str, Any]) -> int:
        return 0 if kind == "evaluation.done" and payload["index"] == 2 else record(run_id, kind, payload)

    events.record = forgetful


def a_number_of_an_event_is_skipped() -> None:
    record = events.record

    def hasty(run_id: UUID, kind: events.Kind, payload: dict[str, Any]) -> int:
        if kind == "generation.opened":
            connection.cursor().execute("UPDATE runs_run SET next_seq = next_seq + 1 WHERE id = %s", [run_id])
        return record(run_id, kind, payload)

    events.record = hasty


def nobody_reaps() -> None:
    repairs.reap = lambda: 0


def lost_in_silence() -> None:
    repairs.end_attempt = lambda token, outcome, error="": None


def lost_attempts_do_not_count() -> None:
    return_to_queue = repairs.return_to_queue
    repairs.return_to_queue = lambda evaluation, failure: return_to_queue(evaluation, None)


def a_search_forgets() -> None:
    def told(self: memory.Searches, run: Run, newest: Generation | None, told: memory.Told) -> Any:
        config = RunConfig.from_json(run.config)
        space = config.space()
        search = searches.get(config.search).start(space.axes, config.seed, config.population_size)
        return memory._Warm(-1, search, space, 0)

    memory.Searches._told = told


def no_new_seed_for_a_generation() -> None:
    generator = cma_es.generator
    cma_es.generator = lambda seed, generation: generator(seed, 0)


def failed_candidates_are_told_as_zero() -> None:
    def told_of(due: QuerySet[Evaluation]) -> dict[int, float]:
        rows = due.values_list("candidate_id", "fitness")
        return {candidate: fitness or 0.0 for candidate, fitness in rows}

    generations.told_of = told_of


def the_last_results_are_not_waited_for() -> None:
    waited = "e.status IN ('pending', 'leased') AND e.split = 'search'"
    assert waited in generations._DUE
    generations._DUE = generations._DUE.replace(waited, "e.status = 'pending' AND e.split = 'search'")
    transitions.OPEN = ("pending",)


def claims_are_not_locked() -> None:
    transitions.locked = lambda run_id: Run.objects.get(pk=run_id)
    locked, chosen = "LIMIT 1 FOR UPDATE SKIP LOCKED)", "FROM chosen WHERE"
    assert locked in claims._CLAIM and chosen in claims._CLAIM
    slowly = claims._CLAIM.replace(locked, "LIMIT 1), slowly AS MATERIALIZED (SELECT pg_sleep(0.2))")
    claims._CLAIM = slowly.replace(chosen, "FROM chosen, slowly WHERE")


def scores_are_written_after_the_commit() -> None:
    write = results._write_scores

    def late(evaluation_id: int, result: results.Scored) -> None:
        def at_last() -> None:
            time.sleep(0.3)
            write(evaluation_id, result)

        transaction.on_commit(at_last)

    results._write_scores = late


def the_budget_is_overspent() -> None:
    propose = memory.Searches.propose

    def spending(self: memory.Searches, run: Run, newest: Generation | None, told: memory.Told) -> Any:
        run.budget += 2
        return propose(self, run, newest, told)

    memory.Searches.propose = spending


def a_candidate_is_left_out() -> None:
    opened = generations._open

    def short(run: Run, proposal: memory.Proposal, plan: Any) -> None:
        opened(run, replace(proposal, genomes=proposal.genomes[:-1], recipes=proposal.recipes[:-1]), plan)

    generations._open = short


def the_worst_finalist_wins() -> None:
    winners.winner = lambda run, finalists: finalists[-1]


BUGS: Final[dict[Callable[[], None], str]] = {
    no_fence: "accepted_once",
    a_fenced_attempt_is_accepted: "accepted_once",
    told_in_the_order_of_completion: "not those of the uninterrupted run",
    leases_are_not_renewed: "keeps it",
    an_event_is_lost: "one_event_for_each_result",
    a_number_of_an_event_is_skipped: "events_gapless",
    nobody_reaps: "given up for lost",
    lost_in_silence: "attempts_closed",
    lost_attempts_do_not_count: "attempts_counted",
    a_search_forgets: "not those of the uninterrupted run",
    no_new_seed_for_a_generation: "not those of the uninterrupted run",
    failed_candidates_are_told_as_zero: "told_what_was_scored",
    the_last_results_are_not_waited_for: "closed_means_scored|told_what_was_scored",
    claims_are_not_locked: "attempts_closed|leases_have_attempts|accepted_once",
    scores_are_written_after_the_commit: "scores_of_done_work",
    the_budget_is_overspent: "within_budget",
    a_candidate_is_left_out: "did not come about",
    the_worst_finalist_wins: "best_wins",
}
"""Each with how it is caught: a word of what the harness says."""

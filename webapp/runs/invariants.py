"""What must hold of the ledger at every instant, as queries that return what breaks it. A healthy installation has no violation, ever.

They are I1 to I9 and I12 of the design that the ledger follows, said of these tables. What a check constraint or a unique index of
`models.py` already refuses is not asked again; that the triggers are there which refuse the rest is. Files on disk are not looked at here.

A worker may hold more than one lease: of a claim whose answer was lost with the database, or of a result that waits for the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from django.db import connection, transaction

from merging.spaces import population_digest
from webapp.leases import MAX_ATTEMPTS
from webapp.runs import winners
from webapp.runs.config import N_FINALISTS
from webapp.runs.models import Generation, Run

N_EXAMPLES: Final = 5


@dataclass(frozen=True)
class Violation:
    """An invariant that does not hold: its name, what it says, how many rows break it, and a few of these in words."""

    name: str
    sentence: str
    count: int
    examples: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} ({self.count}): {self.sentence} Not so: {'; '.join(self.examples)}"


@dataclass(frozen=True)
class Invariant:
    """A sentence, and a query whose rows break it: one column of text that names what it is about."""

    name: str
    sentence: str
    query: str


_GENERATION: Final = "'generation ' || g.number || ' of run ' || g.run_id"
_EVALUATION: Final = "'evaluation ' || e.id || ' of run ' || e.run_id"
_RUN: Final = "'run ' || r.id"

INVARIANTS: Final = (
    # I1
    Invariant(
        "populations_whole",
        "A generation has the candidates that were announced when it was opened, with the indexes 0, 1, 2 and so on.",
        f"""
        SELECT {_GENERATION} FROM runs_generation g
          LEFT JOIN LATERAL (SELECT count(*) AS n, min(index) AS first, max(index) AS last
                               FROM runs_candidate c WHERE c.generation_id = g.id) c ON true
          LEFT JOIN (SELECT run_id, (payload->>'number')::int AS number, count(*) AS opened,
                            min((payload->>'n_candidates')::int) AS announced
                       FROM runs_event WHERE kind = 'generation.opened' GROUP BY 1, 2) v ON (v.run_id, v.number) = (g.run_id, g.number)
         WHERE (c.n > 0, c.first, c.last, v.opened, v.announced) IS DISTINCT FROM (true, 0, c.n - 1, 1::bigint, c.n)
        """,
    ),
    # I2, which the database enforces as long as these are there
    Invariant(
        "terminal_rows_final",
        "The database refuses to change work that is done, failed or dropped, events, and what is on the trail.",
        """
        SELECT wanted.relation || ' lacks the trigger ' || wanted.name
          FROM (VALUES ('runs_evaluation', 'terminal_is_final'), ('runs_event', 'event_is_final'),
                       ('trials_trial', 'terminal_is_final'), ('hub_similarity', 'terminal_is_final'),
                       ('exports_export', 'terminal_is_final'), ('exports_push', 'terminal_is_final'),
                       ('people_act', 'act_is_final'), ('people_act', 'trail_is_kept')) wanted (relation, name)
         WHERE NOT EXISTS (SELECT FROM pg_trigger t
                            WHERE t.tgrelid = wanted.relation::regclass AND t.tgname = wanted.name AND t.tgenabled = 'O')
        """,
    ),
    Invariant(
        "scores_of_done_work",
        "Work is done exactly if it has one score for each benchmark of its run.",
        f"""
        SELECT {_EVALUATION} FROM runs_evaluation e JOIN runs_run r ON r.id = e.run_id
          LEFT JOIN (SELECT evaluation_id, count(*) AS n FROM runs_score GROUP BY evaluation_id) s ON s.evaluation_id = e.id
         WHERE coalesce(s.n, 0) <> CASE WHEN e.status = 'done' THEN coalesce(jsonb_array_length(r.config->'objectives'), 1) ELSE 0 END
        """,
    ),
    # I3
    Invariant(
        "accepted_once",
        "Work that is done has one accepted attempt, which held its lease; all other work has none.",
        f"""
        SELECT {_EVALUATION} FROM runs_evaluation e
          LEFT JOIN (SELECT evaluation_id, count(*) AS n, min(token) AS token FROM runs_attempt
                      WHERE outcome = 'accepted' GROUP BY evaluation_id) a ON a.evaluation_id = e.id
         WHERE CASE WHEN e.status = 'done' THEN (a.n, a.token) IS DISTINCT FROM (1::bigint, e.lease_token) ELSE a.n IS NOT NULL END
        """,
    ),
    # I4
    Invariant(
        "one_open_generation",
        "The generations of a run are 0, 1, 2 and so on, and all are closed but the newest, and the one before it whose last candidates "
        "are told with the newest.",
        """
        SELECT 'run ' || run_id FROM runs_generation GROUP BY run_id HAVING min(number) <> 0 OR max(number) <> count(*) - 1
         UNION ALL
        SELECT 'run ' || g.run_id FROM runs_generation g JOIN runs_generation n ON n.run_id = g.run_id
         WHERE g.closed IS NULL AND n.number > g.number + (g.ahead_from IS NOT NULL)::int GROUP BY g.id
        """,
    ),
    Invariant(
        "closed_means_scored",
        "In a closed generation every candidate was scored on the search questions or failed.",
        f"""
        SELECT {_GENERATION} FROM runs_generation g JOIN runs_candidate c ON c.generation_id = g.id
          LEFT JOIN runs_evaluation e ON e.candidate_id = c.id AND e.split = 'search'
         WHERE g.closed IS NOT NULL AND (e.status IS NULL OR e.status NOT IN ('done', 'failed'))
         GROUP BY g.id
        """,
    ),
    # I5; the rest of it is in _broken_populations
    Invariant(
        "told_what_was_scored",
        "The search was told each candidate's fitness when its generation closed, or before the next one was opened unless it is told with "
        "that; for those that failed the worst one that is told with them.",
        f"""
        SELECT {_GENERATION} FROM (
               SELECT g.id, g.number, g.run_id, c.told, e.fitness,
                      min(e.fitness) OVER (PARTITION BY g.run_id, g.number + late.is_late::int) AS worst,
                      g.closed IS NOT NULL OR NOT late.is_late AND n.id IS NOT NULL AS is_due
                 FROM runs_generation g JOIN runs_candidate c ON c.generation_id = g.id
                CROSS JOIN LATERAL (SELECT coalesce(c.index >= g.ahead_from, false) AS is_late) late
                 LEFT JOIN runs_generation n ON n.run_id = g.run_id AND n.number = g.number + 1
                 LEFT JOIN runs_evaluation e ON e.candidate_id = c.id AND e.split = 'search') g
         WHERE g.told IS DISTINCT FROM CASE WHEN g.is_due THEN coalesce(g.fitness, g.worst) END
         GROUP BY g.id, g.number, g.run_id
        """,
    ),
    # I6
    Invariant(
        "events_gapless",
        "The events of a run are numbered 1, 2, 3 and so on.",
        f"""
        SELECT {_RUN} FROM runs_run r
          LEFT JOIN (SELECT run_id, count(*) AS n, min(seq) AS first, max(seq) AS last FROM runs_event GROUP BY run_id) v ON v.run_id = r.id
         WHERE (coalesce(v.n, 0), coalesce(v.first, 1), coalesce(v.last, 0)) <> (r.next_seq - 1, 1, r.next_seq - 1)
        """,
    ),
    Invariant(
        "one_event_for_each_result",
        "There is one event for every score and for every failure.",
        f"""
        SELECT {_RUN} FROM runs_run r
          LEFT JOIN (SELECT run_id, count(*) FILTER (WHERE status = 'done') AS done, count(*) FILTER (WHERE status = 'failed') AS failed
                       FROM runs_evaluation GROUP BY run_id) e ON e.run_id = r.id
          LEFT JOIN (SELECT run_id, count(*) FILTER (WHERE kind = 'evaluation.done') AS done,
                            count(*) FILTER (WHERE kind = 'evaluation.failed') AS failed
                       FROM runs_event GROUP BY run_id) v ON v.run_id = r.id
         WHERE (coalesce(e.done, 0), coalesce(e.failed, 0)) <> (coalesce(v.done, 0), coalesce(v.failed, 0))
        """,
    ),
    # I7
    Invariant(
        "leases_have_attempts",
        "Work that is leased has an owner and an open attempt with the token of the lease.",
        f"""
        SELECT {_EVALUATION} FROM runs_evaluation e LEFT JOIN runs_attempt a ON a.token = e.lease_token AND a.evaluation_id = e.id
         WHERE e.status = 'leased' AND (e.lease_owner = '' OR a.outcome IS DISTINCT FROM '')
        """,
    ),
    Invariant(
        "attempts_closed",
        "An open attempt holds the lease of its work, or the work was dropped meanwhile.",
        f"""
        SELECT {_EVALUATION} FROM runs_attempt a JOIN runs_evaluation e ON e.id = a.evaluation_id
         WHERE a.outcome = '' AND e.status <> 'dropped' AND (e.status, e.lease_token) IS DISTINCT FROM ('leased', a.token)
        """,
    ),
    Invariant(
        "tokens_from_the_sequence",
        "No token is greater than the last that was given out: a later holder's is.",
        """
        SELECT 'token ' || max(token) FROM runs_attempt HAVING max(token) > (SELECT last_value FROM lease_seq)
        """,
    ),
    # I8
    Invariant(
        "nothing_open_after_the_end",
        "A run that has ended has an end date and no open work but probes; one that has not ended has no end date.",
        f"""
        SELECT {_RUN} FROM runs_run r
         WHERE (r.ended IS NOT NULL) <> (r.state IN ('done', 'stopped', 'failed'))
            OR r.ended IS NOT NULL AND EXISTS (SELECT FROM runs_evaluation e
                  WHERE e.run_id = r.id AND e.status IN ('pending', 'leased') AND e.split <> 'probe')
        """,
    ),
    Invariant(
        "nothing_happens_after_the_end",
        "The last event of a run that has ended is its end; probes alone may come after it.",
        f"""
        SELECT {_RUN} FROM runs_run r JOIN runs_event last ON last.run_id = r.id AND last.kind = 'run.state'
         WHERE r.ended IS NOT NULL AND last.payload->>'state' IN ('done', 'stopped', 'failed')
           AND EXISTS (SELECT FROM runs_event v
                        WHERE v.run_id = r.id AND v.seq > last.seq AND v.payload->>'split' IS DISTINCT FROM 'probe')
        """,
    ),
    # I9
    Invariant(
        "within_budget",
        "A run has no more evolved candidates than its budget.",
        f"""
        SELECT {_RUN} FROM runs_run r JOIN runs_candidate c ON c.run_id = r.id AND c.kind = 'evolved'
         GROUP BY r.id HAVING count(*) > r.budget
        """,
    ),
    Invariant(
        "attempts_counted",
        f"Every claim that was not given back counts as an attempt, and there are {MAX_ATTEMPTS} at most.",
        f"""
        SELECT {_EVALUATION} FROM runs_evaluation e
          LEFT JOIN (SELECT evaluation_id, count(*) FILTER (WHERE outcome <> 'released') AS n FROM runs_attempt
                      GROUP BY evaluation_id) a ON a.evaluation_id = e.id
         WHERE e.attempts <> coalesce(a.n, 0) OR e.attempts > {MAX_ATTEMPTS}
        """,
    ),
    # I12; the rest of it is in _broken_winners
    Invariant(
        "winners_scored",
        "The winner is an evolved candidate that was scored; a run that is done has one.",
        f"""
        SELECT {_RUN} FROM runs_run r LEFT JOIN runs_candidate c ON c.id = r.winner_id
          LEFT JOIN runs_evaluation e ON e.candidate_id = c.id AND e.split = 'search'
         WHERE CASE WHEN r.winner_id IS NULL THEN r.state = 'done'
                    ELSE (c.run_id, c.kind, e.status) IS DISTINCT FROM (r.id, 'evolved', 'done') END
        """,
    ),
)


def violations() -> list[Violation]:
    """What does not hold now, as of one instant; nothing, unless something is broken. Some milliseconds for a hundred thousand rows."""
    with _one_instant():
        return [found for invariant in INVARIANTS if (found := _asked(invariant))]


def deep_violations() -> list[Violation]:
    """As `violations`, and what takes as long as reading every genome: the digests of all populations, and who wins."""
    with _one_instant():
        deep = (
            _found("populations_intact", "The digest of a population is that of its genomes.", _broken_populations()),
            _found("best_wins", "The winner is who wins when it is reckoned anew.", _broken_winners()),
        )
        return [*violations(), *filter(None, deep)]


@contextmanager
def _one_instant() -> Iterator[None]:
    """A transaction that sees one state of all tables; within a transaction of the caller's, that one."""
    is_ours = not connection.in_atomic_block
    with transaction.atomic():
        if is_ours:
            connection.cursor().execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def _broken_populations() -> Iterator[str]:
    """I5."""
    for generation in Generation.objects.prefetch_related("candidates").iterator(chunk_size=100):
        candidates = sorted(generation.candidates.all(), key=lambda candidate: candidate.index)
        if generation.population_digest != population_digest([tuple(c.genome or ()) for c in candidates]):
            yield f"generation {generation.number} of run {generation.run_id}"


def _broken_winners() -> Iterator[str]:
    """I12. Scores that came after the choice are not among those it is made by."""
    for run in Run.objects.exclude(winner=None).iterator():
        finalists = winners.best(run, int(run.config.get("n_finalists", N_FINALISTS)))
        if winners.winner(run, finalists).pk != run.winner_id:
            yield f"run {run.pk}"


def _asked(invariant: Invariant) -> Violation | None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT what, count(*) OVER () FROM ({invariant.query}) broken (what) LIMIT {N_EXAMPLES}")  # nosec B608
        rows = cursor.fetchall()
    if not rows:
        return None
    return Violation(invariant.name, invariant.sentence, rows[0][1], tuple(what for what, _ in rows))


def _found(name: str, sentence: str, broken: Iterable[str]) -> Violation | None:
    examples = list(broken)
    return Violation(name, sentence, len(examples), tuple(examples[:N_EXAMPLES])) if examples else None

"""One worker process: it owns a device, claims work while there is some, and looks after the ledger every few seconds.

One thread computes, one piece of work at a time, from a wake-up until nothing is left: Celery's thread wakes it when a message comes, the
pulse when one was lost. Knows rows and the device's handle; never imports torch.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection
from django.db.models.functions import Now

from webapp.hub import removals
from webapp.lineage import progress
from webapp.logs import about
from webapp.people import channels
from webapp.runs import transitions, versions
from webapp.system.database import other_version
from webapp.system.models import Worker
from webapp.system.status import ALIVE, code_version
from workers import exporting, pipeline, reach, spool
from workers.aside import COMPARE, DOWNLOAD, FETCH, PUSH, STOCK, TELL, Aside
from workers.events import Publisher
from workers.failpoints import failpoint
from workers.ledger import claims, exports, generations, housekeeping, repairs, trials
from workers.ledger.searches import Searches, load_libraries
from workers.pipeline import Bench, Ending
from workers.runtime import Device

PULSE_SECONDS: Final = 5.0
PATIENCE_PULSES: Final = 2
log = logging.getLogger(__name__)


class Supervisor:
    """Start it, let `wake` be called from any thread, stop it. `name` is unique among live workers."""

    def __init__(self, name: str, device_command: Sequence[str]) -> None:
        self.name = name
        self._version = code_version()
        self._away = -math.inf
        self._reach = reach.of_this_worker()
        self._refused = ""
        self._serving = [self._try_out] if self._reach.is_elsewhere else [self._build, self._try_out]
        self._has_just_served = False
        self._searches = Searches(self._reach)
        self._publisher = Publisher()
        self._ending = Ending()
        self._nudge = threading.Event()
        self._work = threading.Event()
        self._draining = threading.Lock()
        self._device = Device(device_command, self._nudge.set)
        self._bench = Bench(self._device, self._publisher, self._ending, self._reach)
        errands = () if self._reach.is_elsewhere else (FETCH, DOWNLOAD, COMPARE, PUSH, TELL, STOCK)
        self._aside = [Aside(name, errand) for errand in errands]
        self._pulse = threading.Thread(target=self._beat, name="pulse", daemon=True)
        self._drainer = threading.Thread(target=self._drain_when_woken, name="drain", daemon=True)

    def start(self) -> None:
        """Start the device, the pulse and what computes; returns at once."""
        self._sign_on()
        self._device.keep()
        self._pulse.start()
        self._drainer.start()

    def stop_claiming(self) -> None:
        """Claim nothing more; what is being computed has a few seconds left. Safe in a signal handler."""
        self._ending.begin()

    def stop(self) -> None:
        """Wait for the current work, or give it back; then end the device and say so."""
        self.stop_claiming()
        self._nudge.set()
        self._work.set()
        self._pulse.join()
        self._drainer.join()
        self._device.close()
        self._publisher.close()
        self._sign_off()

    def wake(self) -> None:
        """There may be work. Nothing happens while it computes: it looks for more when it has ended."""
        self._work.set()

    def drain(self) -> None:
        """Compute what there is, until nothing is left or staff wants it to take nothing new."""
        with self._draining:
            try:
                while not self._ending.has_begun and self._device.ready and self._takes_work() and self._step():
                    pass
            except (OperationalError, InterfaceError) as error:
                log.warning("the database does not answer, work goes on at the next pulse: %s", error)
                self._database_was_away()
            finally:
                self._bench.activity = {}

    def reconcile(self) -> None:
        """Repair what crashes left behind, and announce what was not."""
        pipeline.deliver()
        self._reap()
        if self._draining.locked():  # that thread advances; here its searches' memory would be taken from it
            self._tell([run_id for run_id in generations.due() if transitions.settle(run_id)])
        else:
            self._advance(generations.due())
        for run_id in repairs.unrelayed():
            self._publisher.announce(run_id)
        spool.sweep()
        if not self._reach.is_elsewhere:
            self._keep_house()

    def _keep_house(self) -> None:
        """What only a worker may do that has the data folder."""
        self._tell(housekeeping.resume_where_there_is_room())
        repairs.sweep_exports()
        removals.finish_removals()
        housekeeping.purge_deleted()
        channels.fill()

    def _step(self) -> bool:
        """One piece of work, and what follows; or, when there is none, whatever may lead to some.

        People who wait for a download or try something come first, each kind in its turn, but no run waits for two of them.
        """
        pipeline.deliver()
        served, self._has_just_served = self._has_just_served, False
        pieces = [self._evaluate, *self._serving] if served else [*self._serving, self._evaluate]
        if not any(piece() for piece in pieces):
            return self._advance(generations.due()) or self._tell(self._go_on()) or self._reap() > 0
        self._tell(self._go_on())
        return True

    def _go_on(self) -> list[UUID]:
        """What follows runs reads the models that were built."""
        return [] if self._reach.is_elsewhere else progress.go_on()

    def _build(self) -> bool:
        export = exports.claim_export(self.name)
        if export is None:
            return False
        self._serves(self._build)
        with about(run=export.run_id, export=export.export_id, attempt=export.lease.token):
            exporting.build(export, self._bench)
        return True

    def _try_out(self) -> bool:
        trial = trials.claim_trial(self.name, self._reach.trials())
        if trial is None:
            return False
        self._serves(self._try_out)
        with about(trial=trial.trial_id, attempt=trial.lease.token):
            pipeline.try_out(trial, self._bench)
        return True

    def _serves(self, piece: Callable[[], bool]) -> None:
        """The other kind comes first the next time, and a run before both."""
        self._serving.sort(key=lambda other: other == piece)
        self._has_just_served = True

    def _evaluate(self) -> bool:
        claim = claims.claim(self.name, self._version, self._reach.runs())
        if claim is None:
            return False
        self._publisher.announce(claim.run_id)
        with about(run=claim.run_id, candidate=claim.candidate_id, attempt=claim.lease.token):
            pipeline.evaluate(claim, self._bench)
        failpoint("before_relay")
        self._publisher.announce(claim.run_id)
        self._advance([claim.run_id])
        return True

    def _reap(self) -> int:
        """As `repairs.reap`. Not just after an outage: nobody could renew, so everybody has a moment to do it, or to deliver."""
        if time.monotonic() - self._away < PATIENCE_PULSES * PULSE_SECONDS:
            return 0
        return repairs.reap()

    def _database_was_away(self) -> None:
        self._away = time.monotonic()
        connection.close()

    def _advance(self, run_ids: Sequence[UUID]) -> bool:
        """Move on what can be moved on, and tell watchers and idle workers. False when that was nothing. What has no files here is left to
        those who have them.
        """
        here = self._reach.runs()
        mine = [run_id for run_id in run_ids if here is None or run_id in here]
        return self._tell([run_id for run_id in mine if generations.advance(run_id, self._searches)])

    def _tell(self, moved: Sequence[UUID]) -> bool:
        for run_id in moved:
            self._publisher.announce(run_id)
        if moved and self._has_others():
            self._publisher.wake()
        return bool(moved)

    def _has_others(self) -> bool:
        return Worker.objects.filter(ready=True, seen__gt=Now() - ALIVE).exclude(pk=self.name).exists()

    def _beat(self) -> None:
        load_libraries()
        while not self._ending.has_begun:
            try:
                self._look_after()
            except (OperationalError, InterfaceError) as error:
                log.warning("the database does not answer: %s", error)
                self._database_was_away()
            except Exception:
                log.exception("the pulse of %s met an error and goes on", self.name)
            self._nudge.wait(PULSE_SECONDS)
            self._nudge.clear()
        self._end_what_is_aside()
        self._reach.close()
        connection.close()

    def _look_after(self) -> None:
        self._device.keep()
        before, self._refused = self._refused, other_version()
        self._report()
        if self._refused:
            if self._refused != before:
                log.warning("nothing is taken: %s", self._refused)
            return
        is_drained = self._is_drained()
        for aside in self._aside:
            aside.look(may_begin=not is_drained)
        if not is_drained:
            self._reach.look()
        self.reconcile()
        if self._device.ready and not self._draining.locked() and self._has_work():
            self.wake()

    def _has_work(self) -> bool:
        """Whether a look would find anything to do."""
        if self._reach.is_elsewhere:
            return repairs.claimable() and bool(self._reach.runs() or self._reach.trials())
        return repairs.claimable() or progress.is_due()

    def _takes_work(self) -> bool:
        """It is of the database's version, and staff has not told it to take nothing new."""
        return not self._refused and not self._is_drained()

    def _is_drained(self) -> bool:
        return Worker.objects.filter(pk=self.name, drained__isnull=False).exists()

    def _end_what_is_aside(self) -> None:
        for aside in self._aside:
            try:
                aside.close()
            except (OperationalError, InterfaceError) as error:
                log.warning("what was done aside is given back later: %s", error)

    def _drain_when_woken(self) -> None:
        while not self._ending.has_begun:
            self._work.wait()
            self._work.clear()
            try:
                self.drain()
            except Exception:
                log.exception("what %s computed met an error, and it goes on", self.name)
            finally:
                connection.close()

    def _sign_on(self) -> None:
        try:
            pipeline.deliver()
            repairs.expire_leases_of(self.name)
            failpoint("after_sign_on")
        except (OperationalError, InterfaceError) as error:
            log.warning("leases of an earlier life of %s end later: %s", self.name, error)
        connection.close()

    def _sign_off(self) -> None:
        try:
            Worker.objects.filter(pk=self.name).update(stopped=Now(), ready=False, activity={})
        except (OperationalError, InterfaceError) as error:
            log.warning("the end of %s was not noted: %s", self.name, error)
        connection.close()

    def _report(self) -> None:
        facts = {
            "device": self._device.description,
            "code_version": self._version,
            "algo_versions": list(versions.KNOWN),
            "seen": Now(),
            "ready": self._device.ready,
            "stopped": None,
            "reach": self._reach.kind,
            "refused": self._refused,
            "trouble": self._reach.trouble,
            "activity": self._bench.activity or self._reach.activity,
        }
        first = {**facts, "started": Now()}
        Worker.objects.update_or_create(name=self.name, defaults=facts, create_defaults=first)

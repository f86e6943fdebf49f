"""Work that computes nothing is done beside everything else: one piece of a kind at a time, in a process that the pulse looks after.

That process imports what a supervisor must not, waits for networks, and writes its own result with the claim's token.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from merging.deaths import die_with_us
from webapp.env import BASE_DIR
from webapp.exports import pushing
from webapp.exports.models import Push
from webapp.hub import downloads, similarities
from webapp.hub.models import Download, Similarity
from webapp.library import fetches
from webapp.library.models import Fetch
from webapp.people import channels
from webapp.people.models import Delivery
from webapp.store import stocking
from webapp.store.models import Stock
from workers.ledger import claims
from workers.ledger.aside import Requests
from workers.ledger.claims import Lease

END_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Errand:
    """One kind of such work: its rows, and what carries one of them out."""

    requests: Requests
    command: Callable[[Lease], Sequence[str]]


def by_command(name: str) -> Callable[[Lease], Sequence[str]]:
    """What carries out a request: the command of that name, told which request, and the claim's token."""
    program = (sys.executable, str(BASE_DIR / "manage.py"), name, "--request")
    return lambda lease: (*program, str(lease.pk), str(lease.token))


WITHOUT_A_WORD: Final = "ended without a word, several times. Look into the log."
FETCH: Final = Errand(
    Requests(Fetch, fetches.fail, f"The process that fetched it {WITHOUT_A_WORD}"), by_command("fetch")
)
"""Tasks of the harness."""
DOWNLOAD: Final = Errand(
    Requests(Download, downloads.fail, f"The process that fetched it {WITHOUT_A_WORD}"), by_command("fetch_model")
)
"""Models of the Hub."""
COMPARE: Final = Errand(
    Requests(Similarity, similarities.fail, f"The process that compared them {WITHOUT_A_WORD}"),
    by_command("compare_parents"),
)
"""Task vectors of two models."""
PUSH: Final = Errand(Requests(Push, pushing.fail, f"The process that pushed it {WITHOUT_A_WORD}"), by_command("push"))
"""Exports to the Hub."""
TELL: Final = Errand(
    Requests(Delivery, channels.fail, f"The process that told it {WITHOUT_A_WORD}"), by_command("tell")
)
"""Notices by mail and to addresses."""
STOCK: Final = Errand(
    Requests(Stock, stocking.fail, f"The process that put it into the store {WITHOUT_A_WORD}"), by_command("stock")
)
"""Models and questions into the store, for workers on other hosts."""


class Aside:
    """Call `look` every few seconds, from one thread, and `close` at the end."""

    def __init__(self, worker: str, errand: Errand) -> None:
        self._worker, self._errand = worker, errand
        self._lease: Lease | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def look(self, may_begin: bool = True) -> None:
        """Begin what waits, where that is wanted, keep the lease of what goes on, and see to what has ended."""
        if self._process is None or self._lease is None:
            if may_begin:
                self._begin()
        elif self._process.poll() is not None:
            self._errand.requests.lose(self._lease)  # nothing is held any more when it has written its result
            self._process = None
        elif not claims.renew(self._lease):
            self._kill()

    def close(self) -> None:
        """End it, and let another worker begin anew."""
        if self._process is not None and self._lease is not None:
            self._kill()
            self._errand.requests.give_back(self._lease)

    def _begin(self) -> None:
        self._lease = self._errand.requests.claim(self._worker)
        if self._lease is not None:
            self._process = subprocess.Popen(
                self._errand.command(self._lease),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=die_with_us(),
            )

    def _kill(self) -> None:
        """With the processes that it has started."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(END_SECONDS)

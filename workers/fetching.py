"""Tasks of the harness are fetched beside everything else: one at a time, in a process of its own that the pulse looks after.

That process imports what a supervisor must not, waits for networks, and writes its own result.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from webapp.env import BASE_DIR
from workers.ledger import claims
from workers.ledger.claims import Lease
from workers.ledger.fetches import claim_fetch, give_back_fetch, lose_fetch

END_SECONDS: Final = 5.0


def fetch_command(lease: Lease) -> Sequence[str]:
    """What fetches for a request."""
    return (sys.executable, str(BASE_DIR / "manage.py"), "fetch", "--request", str(lease.pk), str(lease.token))


class Fetching:
    """Call `look` every few seconds, from one thread, and `close` at the end."""

    def __init__(self, worker: str, command: Callable[[Lease], Sequence[str]] = fetch_command) -> None:
        self._worker, self._command = worker, command
        self._lease: Lease | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def look(self, may_begin: bool = True) -> None:
        """Begin what waits, where that is wanted, keep the lease of what goes on, and see to what has ended."""
        if self._process is None or self._lease is None:
            if may_begin:
                self._begin()
        elif self._process.poll() is not None:
            lose_fetch(self._lease)  # nothing is held any more when it has written its result
            self._process = None
        elif not claims.renew(self._lease):
            self._kill()

    def close(self) -> None:
        """End it, and let another worker begin anew."""
        if self._process is not None and self._lease is not None:
            self._kill()
            give_back_fetch(self._lease)

    def _begin(self) -> None:
        self._lease = claim_fetch(self._worker)
        if self._lease is not None:
            self._process = subprocess.Popen(
                self._command(self._lease), stdin=subprocess.DEVNULL, start_new_session=True
            )

    def _kill(self) -> None:
        """With the processes that it has started."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(END_SECONDS)

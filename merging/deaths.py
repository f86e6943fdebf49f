"""A process that ends with the one that started it, however that one ended. Linux only: elsewhere nobody tells it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from typing import Final

PR_SET_PDEATHSIG: Final = 1


def die_with_us(number: signal.Signals = signal.SIGKILL) -> Callable[[], None] | None:
    """What a new process is to do before it becomes its program (`preexec_fn`): ask the kernel for this signal at our death.

    From its first moment on, whatever it loads or computes. The kernel means the thread that starts it, which has to live as long as we do.
    Takes no lock and imports nothing, so it is safe beside other threads. A change of user clears the request and comes before it.
    """
    if sys.platform != "linux":
        return None
    us, prctl = os.getpid(), ctypes.CDLL(None).prctl

    def request() -> None:
        prctl(PR_SET_PDEATHSIG, int(number))
        if os.getppid() != us:
            os._exit(1)

    return request

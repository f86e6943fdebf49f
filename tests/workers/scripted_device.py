"""A device process for tests of the handle: real pipes, real signals, and a request says what to do instead of computing."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import time
from pathlib import Path

from workers.pipes import Message, Reporter, ignore_ctrl_c, private_line, serve


class Scripted:
    """`request["recipe"]` is the list of things to do, one after the other."""

    def describe(self) -> str:
        return "scripted"

    def evaluate(self, request: Message, progress: Reporter) -> Message:
        for word in request["recipe"]:
            self._do(word, progress)
        return {"scores": {"pid": os.getpid()}, "merge_seconds": 0.0, "evaluate_seconds": 0.0}

    def build(self, request: Message, progress: Reporter) -> Message:
        return {"files": [[request["folder"], len(request["texts"]["README.md"])]]}

    def try_out(self, request: Message, progress: Reporter) -> Message:
        return {"tried": [], "seconds": 0.0}

    def _do(self, word: str, progress: Reporter) -> None:
        if word == "step":
            progress("evaluate", 1, 2)
        elif word == "print":
            print("this is not JSON")
            os.write(1, b"nor is this\n")
        elif word == "steps":
            for done in range(200):
                progress("evaluate", done, 200)
                time.sleep(0.02)
        elif word == "freeze":
            time.sleep(60)
        elif word == "hang in native code":
            ctypes.PyDLL(None).sleep(60)  # holds the GIL: no other thread of this process runs meanwhile
        elif word == "hold the GIL":
            ctypes.PyDLL(None).usleep(2_500_000)
        elif word == "ask for too much":
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + 2**27, resource.RLIM_INFINITY))
            bytearray(2**30)
        elif word == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif word == "out of memory":
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        elif word == "crash":
            raise ZeroDivisionError("division by zero")


if __name__ == "__main__":
    if sys.argv[1:] == ["never ready"]:
        sys.exit(3)
    line = private_line()
    ignore_ctrl_c()
    serve(line, Scripted())

"""A server and a worker in two network namespaces: the worker joins by one command, and reaches models by a store that speaks S3 alone.

It sees neither the server's data folder nor the bundled models, which are hidden from it by mounts of its own.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from merging.demo import PACK
from tests.conftest import wait_for
from tests.system.studios import left_behind
from webapp.env import BASE_DIR

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
SERVER, OTHER = "10.213.7.1", "10.213.7.2"
BUCKET = "progeny"
S3 = {
    "AWS_ENDPOINT_URL": f"http://{SERVER}:5000",
    "AWS_ACCESS_KEY_ID": "somebody",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}
MANAGE = (sys.executable, str(BASE_DIR / "manage.py"))
LEDGER = """
import json
from django.db.models import Count
from webapp.runs.invariants import INVARIANTS
from webapp.runs.models import Attempt
from webapp.store.models import Stock
from webapp.system.models import Worker
from webapp.system.checks import broken_invariants
attempts = {worker: n for worker, n in Attempt.objects.filter(outcome="accepted").values_list("worker").annotate(n=Count("pk"))}
poison = Attempt.objects.filter(evaluation__failure_kind="poison").count()
print(json.dumps({
    "accepted": attempts, "poison": poison, "broken": [str(one) for one in broken_invariants()],
    "stocks": {row.name: row.status for row in Stock.objects.all()},
    "reach": dict(Worker.objects.values_list("name", "reach")),
}))
"""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@contextmanager
def namespace(name: str) -> Iterator[str]:
    try:
        ip("netns", "add", name)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no network namespaces here: {getattr(error, 'stderr', error)}")
    try:
        ip("-n", name, "link", "set", "lo", "up")
        yield name
    finally:
        ip("netns", "delete", name)


@dataclass(frozen=True)
class Host:
    """A namespace, and what programs there are told."""

    name: str
    environment: dict[str, str]

    def start(self, log: Path, *words: str) -> subprocess.Popen[bytes]:
        with log.open("ab") as stream:
            return subprocess.Popen(self._words(words), env=self._all(), stdout=stream, stderr=stream, cwd=BASE_DIR)

    def ask(self, *words: str, says: str = "", seconds: float = 120) -> str:
        """What a program prints; it must end well."""
        done = subprocess.run(
            self._words(words),
            env=self._all(),
            input=says,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _words(self, words: tuple[str, ...]) -> list[str]:
        return ["ip", "netns", "exec", self.name, *words]

    def _all(self) -> dict[str, str]:
        left = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PROGENY_"))}
        return {**left, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", **self.environment}


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[tuple[Host, Host]]:
    """Two of them, with a cable between."""
    data = tmp_path / "server"
    with ExitStack() as made:
        a, b = (made.enter_context(namespace(f"progeny-{side}-{os.getpid()}")) for side in "ab")
        ip("link", "add", "veth-a", "netns", a, "type", "veth", "peer", "name", "veth-b", "netns", b)
        for name, link, address in ((a, "veth-a", SERVER), (b, "veth-b", OTHER)):
            ip("-n", name, "address", "add", f"{address}/24", "dev", link)
            ip("-n", name, "link", "set", link, "up")
        yield (
            Host(a, {"PROGENY_DATA": str(data), "PROGENY_STORE": f"s3://{BUCKET}/store", **S3}),
            Host(b, {"PROGENY_DATA": str(tmp_path / "joined")}),
        )


@contextmanager
def running(host: Host, log: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    process = host.start(log, *words)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def has_said(log: Path, words: str) -> bool:
    return words in log.read_text()


def ledger(server: Host) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = json.loads(server.ask(*MANAGE, "shell", "-v0", says=LEDGER))
    return found


def join(other: Host, log: Path, hidden: tuple[Path, ...], *invite: str) -> subprocess.Popen[bytes]:
    """What somebody types there."""
    hides = "; ".join(f"mount -t tmpfs none {folder}" for folder in hidden)
    typed = f"{hides}; exec {' '.join(MANAGE)} join {' '.join(invite)}"
    return other.start(log, "unshare", "--mount", "sh", "-ec", typed)


def test_a_worker_on_another_host_helps_and_its_death_loses_nothing(hosts: tuple[Host, Host], tmp_path: Path) -> None:
    server, other = hosts
    studio, joined, evolved = (tmp_path / f"{name}.log" for name in ("studio", "joined", "evolved"))
    with ExitStack() as at_end:
        at_end.enter_context(
            running(
                server, tmp_path / "s3.log", sys.executable, "-m", "moto.server", "--host", SERVER, "--port", "5000"
            )
        )
        make = f"import boto3; boto3.client('s3').create_bucket(Bucket={BUCKET!r})"
        wait_for(lambda: has_said(tmp_path / "s3.log", "Running on"), "the store answers", 60)
        server.ask(sys.executable, "-c", make)
        at_end.enter_context(running(server, studio, *MANAGE, "studio", "--workers-at", SERVER, "--host", SERVER))
        wait_for(lambda: has_said(studio, "Ctrl-C stops it"), "the server has started", 180)
        word = server.ask(*MANAGE, "invite").split()[-1]

        hidden = (tmp_path / "server", PACK)
        first = join(other, joined, hidden, word)
        at_end.callback(first.kill)
        wait_for(lambda: has_said(joined, "worker-cpu ready"), "the worker has joined", 180)
        assert has_said(joined, f"files by the store s3://{BUCKET}/store")
        assert not re.search("refused|cannot", joined.read_text())

        evolve = server.start(evolved, *MANAGE, "evolve", "--preset", "quick", "--seed", "1", "--json")
        at_end.callback(evolve.kill)

        def by_joined() -> int:
            return sum(int(n) for name, n in ledger(server)["accepted"].items() if "-" in name)

        wait_for(lambda: by_joined() >= 5, "it has computed", 400)
        assert set(ledger(server)["stocks"].values()) == {"done"}
        for pid in [int(line) for line in _pids(tmp_path / "joined")]:
            os.kill(pid, signal.SIGKILL)
        first.wait(30)
        before = by_joined()
        second = join(other, joined, hidden)
        at_end.callback(lambda: (second.send_signal(signal.SIGINT), second.wait(60)))
        wait_for(lambda: by_joined() > before + 3, "it computes again", 400)
        assert evolve.wait(900) == 0, evolved.read_text()

        result = json.loads(evolved.read_text().splitlines()[-1])
        assert result["state"] == "done" and result["winner"]["final"]["mean"] > 0.5
        found = ledger(server)
        assert (found["broken"], found["poison"]) == ([], 0)
        server.ask(*MANAGE, "fsck")
    assert left_behind(tmp_path / "joined") == []


def _pids(data: Path) -> list[str]:
    """Of all processes of the workers there, parents first."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and f"PROGENY_DATA={data}".encode() in (process / "environ").read_bytes().split(
                b"\0"
            ):
                found.append(process.name)
        except OSError:
            continue
    return sorted(found, key=int)

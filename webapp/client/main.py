"""`./progeny login`, `runs`, `watch`, `download` and `import`: what one asks of a server from a terminal."""

from __future__ import annotations

import getpass
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from rich.console import Console
from rich.text import Text

from webapp.client import keeping
from webapp.client.downloading import built, download
from webapp.client.server import ClientError, RefusedError, Server, plain
from webapp.client.tables import ENDED, runs_table, size
from webapp.client.watching import line, watch

WORDS: Final = ("login", "runs", "watch", "download", "import")
N_SHOWN: Final = 20
N_SOUGHT: Final = 1000
LOCAL: Final = ("localhost", "127.0.0.1", "::1")


def main(arguments: Sequence[str]) -> int:
    """Run one command; the exit status. What goes wrong is said in one sentence."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.does(options, Console()))
    except ClientError as error:
        print(f"progeny: {error}.", file=sys.stderr)
        return 1


def login(options: Namespace, console: Console) -> int:
    """Ask for a token, try it, and keep it."""
    address = options.address.rstrip("/")
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ClientError(f"{plain(address)!r} is no address; expected one such as https://progeny.example.org")
    if parts.scheme == "http" and parts.hostname not in LOCAL:
        console.print("Over http everybody on the way can read the token: use https where you can.", style="yellow")
    token = getpass.getpass("Token, from your Account page: ") if sys.stdin.isatty() else sys.stdin.readline()
    server = Server(address, token.strip())
    me = server.get("/me")
    file = keeping.keep(server)
    console.print(Text(f"You are {plain(me['name'])} there; the token may {', '.join(me['scopes'])}. Kept in {file}."))
    return 0


def runs(options: Namespace, console: Console) -> int:
    """The newest runs."""
    found = list(islice(keeping.known().items("/runs", show=options.show), N_SHOWN))
    console.print(runs_table(found) if found else "No runs.")
    return 0


def follow(options: Namespace, console: Console) -> int:
    """One run until it ends. Ctrl-C ends the watching, not the run."""
    server = keeping.known()
    try:
        run = watch(server, _run(server, options.run)["id"], console)
    except KeyboardInterrupt:
        console.print("The run goes on.")
        return 130
    if not console.is_terminal:
        console.print(Text(line(run)))
    return int(run["state"] == "failed")


def bring(options: Namespace, console: Console) -> int:
    """The files of an export, or of a run's winner, which is built first where it is not."""
    server = keeping.known()
    export = built(server, _export(server, options.what), console)
    folder = Path(options.folder or plain(export["name"]).replace("/", "-"))
    download(server, export, folder, console)
    console.print(
        Text(f"{len(export['files'])} files, {size(export['n_bytes'])}, all as the server has them: {folder}")
    )
    return 0


def take_in(options: Namespace, console: Console) -> int:
    """A configuration of mergekit-evolve: what this server has of it becomes a draft, or a run."""
    server = keeping.known()
    try:
        text = Path(options.file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ClientError(f"{options.file} cannot be read: {error}") from error
    found = server.post("/imports", {"mergekit_evolve": text}, key=uuid4().hex)
    for note in found["notes"]:
        console.print(Text(plain(note), "yellow"))
    if options.launch:
        run = server.post("/runs", found["choices"], key=uuid4().hex)
        console.print(Text(f"Launched: {plain(run['page'])}"))
    else:
        console.print(Text(f"A draft is kept: {plain(found['page'])}"))
    return 0


def _run(server: Server, word: str) -> Mapping[str, Any]:
    """By its id, the beginning of its id, or its name; `last` is the newest."""
    if _is_id(word):
        return dict(server.get(f"/runs/{word}"))
    newest = list(islice(server.items("/runs"), 1 if word == "last" else N_SOUGHT))
    found = newest if word == "last" else [run for run in newest if run["id"].startswith(word) or run["name"] == word]
    if len(found) != 1:
        raise ClientError(f"{len(found)} runs are called {plain(word)!r} or have such an id: ./progeny runs lists them")
    return dict(found[0])


def _export(server: Server, word: str) -> Mapping[str, Any]:
    if _is_id(word):
        try:
            return dict(server.get(f"/exports/{word}"))
        except RefusedError as error:
            if error.status != 404:
                raise
    run = dict(server.get(f"/runs/{_run(server, word)['id']}"))
    if run["winner"] is None:
        hint = "it has none" if run["state"] in ENDED else f"it is {run['state']}"
        raise ClientError(f"“{plain(run['name'])}” has no winner yet: {hint}")
    return dict(server.post(f"/runs/{run['id']}/candidates/{run['winner']}/exports", {"kind": "folder"}))


def _is_id(word: str) -> bool:
    try:
        UUID(word)
    except ValueError:
        return False
    return True


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="progeny", description="Asks a server of Progeny, on this machine or another.")
    words = parser.add_subparsers(required=True, metavar="|".join(WORDS))
    one = words.add_parser("login", help="keep a server's address and a token, for you alone")
    one.add_argument("address", nargs="?", default=keeping.HERE, help=f"{keeping.HERE} without one")
    one.set_defaults(does=login)
    one = words.add_parser("runs", help="list the newest runs")
    one.add_argument("--show", default="all", choices=("all", "live", "paused", "ended", "failed"))
    one.set_defaults(does=runs)
    one = words.add_parser("watch", help="follow a run with a plot of its scores")
    one.add_argument("run", help="its id, the beginning of its id, its name, or last")
    one.set_defaults(does=follow)
    one = words.add_parser("download", help="bring an export here, or the winner of a run")
    one.add_argument("what", help="the id of an export; or a run, as for watch")
    one.add_argument("folder", nargs="?", help="where to; a new one named after it without this")
    one.set_defaults(does=bring)
    one = words.add_parser("import", help="make a draft of a configuration of mergekit-evolve")
    one.add_argument("file")
    one.add_argument("--launch", action="store_true", help="launch it at once, where nothing is missing")
    one.set_defaults(does=take_in)
    return parser

"""Which server is asked, and with which token: from the environment, or from a file that only its owner can read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

from webapp.client.server import ClientError, Server

ADDRESS: Final = "PROGENY_SERVER"
TOKEN: Final = "PROGENY_TOKEN"
HERE: Final = "http://127.0.0.1:8000"


def kept_file() -> Path:
    """`~/.config/progeny/server.json`, or where XDG_CONFIG_HOME says."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "progeny" / "server.json"


def known() -> Server:
    """The server that is asked; ClientError where no token is known. What the environment says counts before the file."""
    found = _read()
    address = os.environ.get(ADDRESS) or found.get("address") or HERE
    token = os.environ.get(TOKEN) or (found.get("token") if found.get("address") == address else None)
    if not token:
        raise ClientError(f"no token is known for {address}: ./progeny login {address}, or set {TOKEN}")
    return Server(address.rstrip("/"), token)


def keep(server: Server) -> Path:
    """Keep the address and the token, whole or not at all."""
    file = kept_file()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = file.with_suffix(".new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        json.dump({"address": server.address, "token": server.token}, opened)
    beside.replace(file)
    return file


def _read() -> dict[str, str]:
    file = kept_file()
    try:
        found = json.loads(file.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ClientError(f"{file} cannot be read: {error}. ./progeny login writes it anew") from error
    return {name: value for name, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}

"""Telling a stranger's server something, without being led anywhere else: it is resolved once, every address that the name has must be
public, the connection goes to the one that was looked at, and no redirect is followed. Knows no rows.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPSConnection
from typing import Final
from urllib.parse import urlsplit

MAX_URL: Final = 500
SECONDS: Final = 10.0
"""For the connection, and for each part of the answer."""
TRANSLATED: Final = ipaddress.ip_network("64:ff9b::/96")
"""IPv4 addresses behind a translator to IPv6."""
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class EgressError(Exception):
    """It was not told, and why: a sentence for whoever gave the address. `may_pass`: it may go better later."""

    def __init__(self, sentence: str, may_pass: bool = False) -> None:
        self.may_pass = may_pass
        super().__init__(sentence)


@dataclass(frozen=True)
class Target:
    """An address that may be tried: `https://host:port/path`."""

    host: str
    port: int
    path: str


def target_of(url: str) -> Target:
    """What an address names, by its letters alone; EgressError for anything but https to a host by its name or public number."""
    if len(url) > MAX_URL or not url.isascii() or any(letter <= " " or letter in '\x7f\\"<>^`{|}' for letter in url):
        raise EgressError(f"An address has at most {MAX_URL} plain letters; give one such as https://example.org/hook.")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, 443 if parts.port is None else parts.port
    except ValueError as error:
        raise EgressError(f"This is no address: {error}.") from error
    if parts.scheme != "https" or not host or not port:
        raise EgressError("An address begins with https:// and a host, such as https://example.org/hook.")
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise EgressError("An address with a name or password in it is not kept; put a secret into its path.")
    path = parts.path or "/"
    return Target(host, port, f"{path}?{parts.query}" if parts.query else path)


def is_public(address: Address) -> bool:
    """Whether an address is of the internet at large: none of this machine, of a private network, of a cloud's own services, of a group."""
    inner = _inner(address)
    if inner is not None:
        return is_public(inner)
    return address.is_global and not address.is_multicast and not address.is_reserved and not address.is_unspecified


def post(url: str, body: bytes, headers: Mapping[str, str]) -> None:
    """Send it; EgressError where the server was not reached, may not be, or did not take it."""
    target = target_of(url)
    connection = _Pinned(target, _resolved(target))
    try:
        connection.request("POST", target.path, body, dict(headers))
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        raise EgressError(f"{target.host} did not answer: {error}.", may_pass=True) from error
    finally:
        connection.close()
    if 300 <= status < 400:
        raise EgressError(f"{target.host} sends one on elsewhere, which is not followed: give the address itself.")
    if not 200 <= status < 300:
        raise EgressError(f"{target.host} answered {status}.", may_pass=status == 429 or status >= 500)


class _Pinned(HTTPSConnection):
    """A connection to the address that was looked at, with the certificate of the host that was named."""

    def __init__(self, target: Target, address: Address) -> None:
        self._context_of_tls = ssl.create_default_context()
        super().__init__(target.host, target.port, timeout=SECONDS, context=self._context_of_tls)
        self._address = str(address)

    def connect(self) -> None:
        plain = socket.create_connection((self._address, self.port), self.timeout)
        self.sock = self._context_of_tls.wrap_socket(plain, server_hostname=self.host)


def _resolved(target: Target) -> Address:
    """The first address of the host; EgressError where any of them is not public, for the next question may be answered by that one."""
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise EgressError(f"{target.host} is not known: {error}.", may_pass=True) from error
    addresses = [ipaddress.ip_address(str(sockaddr[0]).partition("%")[0]) for *_, sockaddr in found]
    if not addresses or not all(map(is_public, addresses)):
        raise EgressError(
            f"{target.host} is not on the internet at large: nothing is sent to machines of this network."
        )
    return addresses[0]


def _inner(address: Address) -> Address | None:
    """The IPv4 address that an IPv6 address stands for; None for one that is its own."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in TRANSLATED:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)

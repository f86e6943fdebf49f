"""What is told to strangers' servers goes there and nowhere else: no machine of this network, by whatever name, is ever reached."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest

from webapp.people import egress
from webapp.people.egress import EgressError, is_public, post, target_of

HERE = (
    "127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "0.0.0.0", "0", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001",
    "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.1.254", "169.254.169.254", "169.254.170.2",
    "100.64.0.1", "100.100.100.200", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250",
    "240.0.0.1", "255.255.255.255", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:169.254.169.254]", "[::ffff:7f00:1]", "[fe80::1]",
    "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]", "[2001:db8::1]", "[2002:7f00:1::]", "[2002:a9fe:a9fe::]",
    "[64:ff9b::7f00:1]", "[64:ff9b::a9fe:a9fe]", "[2001::1]", "[::127.0.0.1]", "[100::1]", "2852039166", "0xa9fea9fe",
    "0251.0376.0251.0376",
    "3232235521", "167772161", "0x7f.0x0.0x0.0x1", "1.1.1.1@127.0.0.1", "example.org@127.0.0.1", "user:pass@169.254.169.254",
)  # fmt: skip
ODD = (
    "", "x", "http://example.org/", "ftp://example.org/", "file:///etc/passwd", "gopher://127.0.0.1:6379/_x", "https:", "https://", "https:///x",
    "//example.org", "https://example.org:0/", "https://example.org:99999/", "https://example.org:x/", "https://[::1", "https://[x]/",
    "https://ex ample.org/", "https://example.org/\r\nX: y", "https://example.org/\x00", "https://exämple.org/", "https://example.org\\@127.0.0.1/",
    "javascript:alert(1)", "data:text/plain,x", "dict://127.0.0.1:11211/", "ldap://127.0.0.1", "jar:https://example.org", "HTTP://127.0.0.1/",
    "https://example.org/" + "a" * 500, "https://user@example.org/", "https://:x@example.org/", "https://@example.org/",
)  # fmt: skip


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Where connections are made to; none is."""
    found: list[Any] = []

    def connect(address: Any, *words: Any, **names: Any) -> None:
        found.append(address)
        raise ConnectionRefusedError("nobody listens")

    monkeypatch.setattr(egress.socket, "create_connection", connect)
    yield found


def answering(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Every name leads to these."""
    family = {4: socket.AF_INET, 6: socket.AF_INET6}
    found = [(family[ip_address(one).version], socket.SOCK_STREAM, 6, "", (one, 443)) for one in addresses]
    monkeypatch.setattr(egress.socket, "getaddrinfo", lambda *words, **names: found)


@pytest.mark.parametrize("port", ["", ":443", ":6379"])
@pytest.mark.parametrize("host", HERE)
def test_no_machine_of_this_network_is_reached(reached: list[Any], host: str, port: str) -> None:
    with pytest.raises(EgressError):
        post(f"https://{host}{port}/latest/meta-data/", b"{}", {})
    assert reached == []


@pytest.mark.parametrize("url", ODD)
def test_what_is_no_address_of_https_is_refused(reached: list[Any], url: str) -> None:
    with pytest.raises(EgressError):
        target_of(url)
    assert reached == []


@pytest.mark.parametrize(
    "addresses", [("93.184.216.34", "10.0.0.1"), ("10.0.0.1", "93.184.216.34"), ("::1",), ("169.254.169.254",)]
)
def test_a_name_that_leads_here_too_is_refused(
    reached: list[Any], monkeypatch: pytest.MonkeyPatch, addresses: tuple[str, ...]
) -> None:
    answering(monkeypatch, *addresses)
    with pytest.raises(EgressError, match="not on the internet at large"):
        post("https://rebinding.example/", b"{}", {})
    assert reached == []


def test_the_connection_goes_to_the_address_that_was_looked_at(
    reached: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, "93.184.216.34")
    with pytest.raises(EgressError, match="did not answer") as caught:
        post("https://example.org:8443/hook", b"{}", {})
    assert reached == [("93.184.216.34", 8443)] and caught.value.may_pass


@pytest.mark.parametrize(
    ("status", "says", "may_pass"),
    [
        (302, "sends one on elsewhere", False),
        (404, "answered 404", False),
        (429, "answered 429", True),
        (503, "answered 503", True),
    ],
)
def test_only_a_server_that_takes_it_has_taken_it(
    monkeypatch: pytest.MonkeyPatch, status: int, says: str, may_pass: bool
) -> None:
    answering(monkeypatch, "93.184.216.34")
    monkeypatch.setattr(egress._Pinned, "request", lambda *words: None)
    monkeypatch.setattr(egress._Pinned, "getresponse", lambda self: type("Answer", (), {"status": status})())
    with pytest.raises(EgressError, match=says) as caught:
        post("https://example.org/hook", b"{}", {})
    assert caught.value.may_pass == may_pass


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_the_internet_at_large_is_public(address: str) -> None:
    assert is_public(ip_address(address))

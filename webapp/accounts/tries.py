"""How often somebody may try to sign in. Counted in Postgres before a password is hashed, so that every process and every
parallel request count together.

Tries for one name from one address are few; from one address, for any names, some more: people may share it. Nothing is
counted for a name alone, so nobody can lock another out from elsewhere. A window of a minute opens with the first try.
"""

from __future__ import annotations

import ipaddress
import logging
from typing import Final

from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

WINDOW_SECONDS: Final = 60
MAX_FOR_NAME: Final = 5
"""For one name from one address in a window."""
MAX_FROM_ADDRESS: Final = 30
_COUNT: Final = """
INSERT INTO accounts_tries AS t (key, n, opened) VALUES (%(key)s, 1, clock_timestamp())
ON CONFLICT (key) DO UPDATE SET
       n = CASE WHEN t.opened < clock_timestamp() - make_interval(secs => %(window)s) THEN 1 ELSE t.n + 1 END,
       opened = CASE WHEN t.opened < clock_timestamp() - make_interval(secs => %(window)s) THEN clock_timestamp() ELSE t.opened END
RETURNING n
"""
_FORGIVE: Final = "UPDATE accounts_tries SET n = greatest(n - 1, 0) WHERE key = ANY(%s)"
_FORGET_OLD: Final = """
DELETE FROM accounts_tries WHERE key IN (
       SELECT key FROM accounts_tries WHERE opened < clock_timestamp() - make_interval(secs => %s)
        LIMIT 1000 FOR UPDATE SKIP LOCKED)
"""
log = logging.getLogger(__name__)


def may_try(request: HttpRequest, name: str) -> bool:
    """Count a try to sign in under a name, known or not; False when it is one too many."""
    address = address_of(request)
    with connection.cursor() as cursor:
        cursor.execute(_FORGET_OLD, [WINDOW_SECONDS])
        return _count(cursor, _key(address), MAX_FROM_ADDRESS, address) and _count(
            cursor, _key(address, name), MAX_FOR_NAME, address
        )


def forgive(request: HttpRequest, name: str) -> None:
    """The try was right, and is not counted any more."""
    address = address_of(request)
    with connection.cursor() as cursor:
        cursor.execute(_FORGIVE, [[_key(address), _key(address, name)]])


def address_of(request: HttpRequest) -> str:
    """Who asks, as the server knows it; of IPv6 the network of 64 bits that a household has. "" over a unix socket."""
    try:
        address = ipaddress.ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.ip_network((int(address), 64), strict=False))
    return str(address)


def _count(cursor: CursorWrapper, key: str, most: int, address: str) -> bool:
    cursor.execute(_COUNT, {"key": key, "window": WINDOW_SECONDS})
    n: int = cursor.fetchone()[0]
    if n == most + 1:
        log.warning("sign-in from %s is refused for up to a minute: more than %d tries", address or "a socket", most)
    return n <= most


def _key(*parts: str) -> str:
    return salted_hmac("webapp.accounts.tries", "\0".join(parts), algorithm="sha256").hexdigest()

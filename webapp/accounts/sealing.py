"""Short secrets that the database holds and must not tell: encrypted with keys that come from the installation's secret keys.

The newest key seals; the older ones, PROGENY_OLD_SECRET_KEYS, still open until everything was sealed again.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

_PURPOSE: Final = b"webapp.accounts.sealing"


class SealError(Exception):
    """What was sealed does not open with any key of this installation."""


def seal(text: str) -> str:
    """The text, encrypted and signed."""
    return _keys().encrypt(text.encode()).decode()


def opened(sealed: str) -> str:
    """The opposite of `seal`; SealError when no key opens it."""
    try:
        return _keys().decrypt(sealed).decode()
    except InvalidToken as error:
        raise SealError("sealed with another key: give it in PROGENY_OLD_SECRET_KEYS") from error


def resealed(sealed: str) -> str:
    """The same secret under the newest key; SealError when no key opens it."""
    return seal(opened(sealed))


def _keys() -> MultiFernet:
    return MultiFernet([_key(secret) for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)])


def _key(secret: str) -> Fernet:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(secret.encode())
    return Fernet(urlsafe_b64encode(derived))

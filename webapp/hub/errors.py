"""What can go wrong with the Hub, in words for the person who asked, with what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal

import httpx2
from huggingface_hub.errors import (
    DisabledRepoError,
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from merging.errors import MergingError

Kind = Literal[
    "name", "offline", "unreachable", "token", "missing", "revision", "gated", "waiting", "refused", "busy", "broken",
    "damaged", "unusable", "disk",
]  # fmt: skip
PASSING: Final[frozenset[Kind]] = frozenset(("unreachable", "busy", "broken"))
"""What may be well a little later."""
MAX_WAIT: Final = 600.0
"""Seconds that the Hub may make somebody wait at once."""
TOKEN: Final = "Give a token of yours under Account"
AWAITS: Final = "awaiting a review"
REJECTED: Final = "has been rejected"
"""Words of the Hub's own sentences, by which alone it tells these apart."""


class HubError(MergingError):
    """What was asked of the Hub was not got. `wait` is how many seconds it wants to be left alone, where it says that."""

    def __init__(self, kind: Kind, sentence: str, wait: float = 0.0) -> None:
        super().__init__(sentence)
        self.kind, self.wait = kind, wait

    @property
    def is_passing(self) -> bool:
        """Whether it may be well a little later."""
        return self.kind in PASSING


@contextmanager
def plainly(about: str, with_token: bool) -> Iterator[None]:
    """What the Hub's library raises inside, as a HubError about this model."""
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise offline() from error
    except HfHubHTTPError as error:
        raise _answered(error, about, with_token) from error
    except httpx2.TimeoutException as error:
        raise HubError("unreachable", "The Hub did not answer in time. Try again.") from error
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise HubError(
            "unreachable", "The Hub cannot be reached from this server. What is here works without it."
        ) from error
    except (ValueError, TypeError, KeyError) as error:  # JSON that is none, or is of something else
        raise HubError("broken", "The Hub answered with something that nobody can read.") from error


def offline() -> HubError:
    """The switch is on."""
    return HubError("offline", "This server is offline by its settings, so the Hub is not asked. What is here works.")


def _answered(error: HfHubHTTPError, about: str, with_token: bool) -> HubError:
    """The Hub has answered, and not with what was wanted."""
    status, said = error.response.status_code, str(error.server_message or "")
    if isinstance(error, GatedRepoError):
        return _at_the_gate(about, with_token, said)
    if isinstance(error, RevisionNotFoundError):
        return HubError(
            "revision", f"{about} is not on the Hub in this revision. Look for its branches and tags there."
        )
    if isinstance(error, EntryNotFoundError):
        return HubError("missing", f"{about} has no such file any more.")
    if isinstance(error, DisabledRepoError):
        return HubError("refused", f"The Hub has closed access to {about}.")
    if isinstance(error, RepositoryNotFoundError):
        more = "or your token may not see it" if with_token else f"or it is private: {TOKEN[0].lower()}{TOKEN[1:]}"
        return HubError("missing", f"There is no model {about} on the Hub, {more}.")
    if status == httpx2.codes.UNAUTHORIZED:
        return HubError(
            "token", "The Hub does not know your token. It may have been revoked: give a new one under Account."
        )
    if status == httpx2.codes.FORBIDDEN:
        return HubError("token", f"Your token may not read {about}: it needs the right to read it.")
    if status == httpx2.codes.TOO_MANY_REQUESTS:
        wait = _seconds(error)
        return HubError("busy", f"The Hub has been asked too often and wants {wait:.0f} s of rest.", wait)
    if status >= httpx2.codes.INTERNAL_SERVER_ERROR or status == httpx2.codes.REQUEST_TIMEOUT:
        return HubError(
            "broken", f"The Hub has a problem of its own (status {status}). Try again a little later.", _seconds(error)
        )
    return HubError("refused", f"The Hub refuses with status {status}{': ' if said else ''}{said[:300]}.")


def _at_the_gate(about: str, with_token: bool, said: str) -> HubError:
    if not with_token:
        return HubError(
            "gated",
            f"{about} is given only to people who have accepted its terms on the Hub. {TOKEN}, and accept them there.",
        )
    if AWAITS in said:
        return HubError("waiting", f"You have asked for access to {about}, and its authors have not answered yet.")
    if REJECTED in said:
        return HubError("refused", f"The authors of {about} have refused your request for access.")
    return HubError(
        "gated", f"{about} is given only to people who have accepted its terms: ask for access on its page on the Hub."
    )


def _seconds(error: HfHubHTTPError) -> float:
    """How long it wants to be left alone; a minute where a limit was met and it does not say."""
    said = error.response.headers.get("Retry-After", "")
    usual = 60.0 if error.response.status_code == httpx2.codes.TOO_MANY_REQUESTS else 0.0
    return min(float(said), MAX_WAIT) if said.isascii() and said.isdigit() and len(said) < 7 else usual

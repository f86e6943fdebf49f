"""Static files are answered from memory: each goes through Django once, and takes no thread after that.

A page asks for 15 to 40 of them at once when a browser has not seen them, and it paints when the style sheets among them have come.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.conf import settings

from webapp.system.observing import Application, Message, Receive, Scope, Send

ASKS_FOR_MORE: Final = (b"range", b"if-none-match", b"if-modified-since", b"if-range")
"""What Django has to look at."""

Key = tuple[str, bool, bool]


def remembered(application: Application) -> Application:
    """The ASGI application; whole answers to GET for files that never change are kept, by address, compression and HTTPS. They are as many
    as there are files, 5 MB in all.
    """
    kept: dict[Key, tuple[Message, ...]] = {}

    async def remember(scope: Scope, receive: Receive, send: Send) -> None:
        key = _key(scope)
        if key is None:
            return await application(scope, receive, send)
        if key not in kept:
            said: list[Message] = []

            async def listen(message: Message) -> None:
                said.append(message)
                await send(message)

            await application(scope, receive, listen)
            if _is_whole(said):
                kept[key] = tuple(said)
            return
        for message in kept[key]:
            await send(dict(message))

    return remember


def _key(scope: Scope) -> Key | None:
    """What the answer depends on; None where it has to be made."""
    if (
        settings.DEBUG
        or scope["type"] != "http"
        or scope["method"] != "GET"
        or not scope["path"].startswith(settings.STATIC_URL)
    ):
        return None
    headers: dict[bytes, Any] = dict(scope["headers"])
    if any(name in headers for name in ASKS_FOR_MORE):
        return None
    return scope["path"], b"gzip" in headers.get(b"accept-encoding", b""), headers.get(b"x-forwarded-proto") == b"https"


def _is_whole(said: Sequence[Message]) -> bool:
    """Whether a file was sent to its end, and no refusal."""
    return len(said) > 1 and said[0]["status"] == 200 and not said[-1].get("more_body", False)

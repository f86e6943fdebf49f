"""A websocket client of the application, without a server between. `channels.testing` would need daphne for this."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

from asgiref.testing import ApplicationCommunicator

from webapp.asgi import application

SECONDS = 5


class Socket:
    """One connection. `close_code` is set once the application has closed it, or refused it before it was open.

    `is_gone` is a peer that has vanished: as with uvicorn, whatever is sent to it raises an OSError. While `reads` is not set, it reads
    nothing: as with uvicorn, whatever is sent to it waits.
    """

    def __init__(self, address: str, headers: list[tuple[bytes, bytes]]) -> None:
        parts = urlsplit(address)
        scope = {
            "type": "websocket",
            "path": parts.path,
            "query_string": parts.query.encode(),
            "headers": headers,
            "subprotocols": [],
        }
        self._communicator = ApplicationCommunicator(self._serve, scope)
        self.close_code: int | None = None
        self.is_gone = False
        self.reads = asyncio.Event()
        self.reads.set()

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_unless_gone(message: Any) -> None:
            await self.reads.wait()
            if self.is_gone:
                raise ConnectionResetError
            await send(message)

        await application(scope, receive, send_unless_gone)

    async def open(self) -> bool:
        """False when the handshake was refused."""
        await self._communicator.send_input({"type": "websocket.connect"})
        return (await self._answer())["type"] == "websocket.accept"

    async def frame(self) -> Any:
        """The next frame."""
        answer = await self._answer()
        assert answer["type"] == "websocket.send", answer
        return json.loads(answer["text"])

    async def closed(self) -> int | None:
        """Waits for the application to close it; the code."""
        while self.close_code is None:
            await self._answer()
        return self.close_code

    async def is_silent(self, seconds: float) -> bool:
        return bool(await self._communicator.receive_nothing(timeout=seconds))

    async def say(self, words: str) -> None:
        await self._communicator.send_input({"type": "websocket.receive", "text": words})

    async def leave(self) -> None:
        await self._communicator.send_input({"type": "websocket.disconnect", "code": 1000})
        await self._communicator.wait(SECONDS)

    async def _answer(self) -> dict[str, Any]:
        answer: dict[str, Any] = await self._communicator.receive_output(timeout=SECONDS)
        if answer["type"] == "websocket.close":
            self.close_code = answer.get("code", 1000)
        return answer

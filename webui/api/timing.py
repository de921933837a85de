"""The header X-Process-Time on answers of /sdapi/…: how many seconds the server took, as A1111 says it."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

PREFIX = "/sdapi/"


class Timing:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def timed(message: Message) -> None:
            if message["type"] == "http.response.start":
                seconds = f"{time.perf_counter() - began:.4f}".encode()
                message = {**message, "headers": [*message.get("headers", ()), (b"x-process-time", seconds)]}
            await send(message)

        await self._app(scope, receive, timed)

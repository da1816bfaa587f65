"""What surrounds every request, as plain ASGI: its id in and out, and the limit of its body."""

import secrets
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from moe_gateway.errors import body_too_large, invalid_request
from moe_gateway.openai.reply import error_response

_HEADER = "x-request-id"
_LONGEST_ID = 128


class RequestEnvelope:
    """Gives each request an id (the client's, where it sent a sane one) and stops reading bodies that are too large."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        name = _sane_id(headers.get(_HEADER))
        scope.setdefault("state", {})["request_id"] = name

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[_HEADER] = name
            await send(message)

        if int(headers.get("content-length") or 0) > self._max_body_bytes:
            too_large = invalid_request(body_too_large(self._max_body_bytes), status=413)
            await error_response(too_large)(scope, receive, send_named)
            return
        await self._app(scope, _limited(receive, self._max_body_bytes), send_named)


def _limited(receive: Receive, max_body_bytes: int) -> Receive:
    num_bytes = 0

    async def receive_limited() -> Message:
        nonlocal num_bytes
        message: dict[str, Any] = dict(await receive())
        num_bytes += len(message.get("body", b""))
        if num_bytes > max_body_bytes:
            raise HTTPException(413, body_too_large(max_body_bytes))
        return message

    return receive_limited


def _sane_id(sent: str | None) -> str:
    if sent and len(sent) <= _LONGEST_ID and sent.isascii() and sent.isprintable():
        return sent
    return f"req-{secrets.token_hex(12)}"

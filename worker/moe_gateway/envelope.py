"""What surrounds every request, as plain ASGI: its id in and out, who may ask at all, the limit of its body, our own
bugs, and a line in the log and a count when it is answered.
"""

import logging
import secrets
import time
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from moe_gateway.errors import ApiError, body_too_large, internal_error, invalid_request
from moe_gateway.keys import ApiKeys
from moe_gateway.metrics import Metrics
from moe_gateway.openai.reply import error_response

logger = logging.getLogger(__name__)

_HEADER = "x-request-id"
_LONGEST_ID = 128
_OPEN_PATHS = ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs")
_UNKNOWN_PATH = "other"


class RequestEnvelope:
    """Gives each request an id (the client's, where it sent a sane one), turns strangers away before their body is
    read, and stops reading bodies that are too large.
    """

    def __init__(self, app: ASGIApp, *, max_body_bytes: int, keys: ApiKeys, metrics: Metrics) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._keys = keys
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        name = _sane_id(headers.get(_HEADER))
        scope.setdefault("state", {})["request_id"] = name
        start, status = time.monotonic(), 0

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[_HEADER] = name
            await send(message)

        refusal = self._refusal(scope, headers)
        try:
            if refusal is not None:
                await error_response(refusal)(scope, receive, send_named)
            else:
                await self._app(scope, _limited(receive, self._max_body_bytes), send_named)
        except Exception:
            # Answered here and not further out, where the answer would have no id.
            logger.exception("%s failed", name)
            if status:
                raise
            await error_response(internal_error(name))(scope, receive, send_named)
        finally:
            self._note(scope, name, status, time.monotonic() - start)

    def _refusal(self, scope: Scope, headers: Headers) -> ApiError | None:
        if scope["path"] not in _OPEN_PATHS:
            stranger = self._keys.refusal(headers.get("authorization"))
            if stranger is not None:
                return stranger
        if int(headers.get("content-length") or 0) > self._max_body_bytes:
            return invalid_request(body_too_large(self._max_body_bytes), status=413)
        return None

    def _note(self, scope: Scope, name: str, status: int, seconds: float) -> None:
        """A status of 0: the client left before the answer began. Unknown paths are one series."""
        path = getattr(scope.get("route"), "path", _UNKNOWN_PATH)
        self._metrics.answered(path, status)
        level = logging.DEBUG if scope["path"] in _OPEN_PATHS else logging.INFO
        logger.log(level, "%s %s %s: %d after %.3f s", name, scope["method"], scope["path"], status, seconds)


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

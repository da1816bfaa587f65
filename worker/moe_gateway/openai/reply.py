"""Answers one request, whole or as server-sent events, and lets go of the heads the moment the client is gone.

An error before the first piece is an HTTP error; after it, an event with OpenAI's error body.
"""

import asyncio
import json
from collections.abc import Sequence

from fastapi.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from moe_gateway.choice import Piece
from moe_gateway.errors import ApiError
from moe_gateway.exchange import Exchange
from moe_gateway.openai.dialect import Dialect, Envelope
from moe_gateway.openai.responses import ResponseModel, Usage

_DONE = b"data: [DONE]\n\n"


class Reply(Response):
    """A response that is made while it is sent: one write for all that is new at one moment."""

    def __init__(self, exchange: Exchange, dialect: Dialect, envelope: Envelope, *, is_stream: bool) -> None:
        super().__init__(media_type="text/event-stream" if is_stream else "application/json")
        del self.headers["content-length"]
        self._exchange = exchange
        self._dialect = dialect
        self._envelope = envelope
        self._is_stream = is_stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        watcher = asyncio.create_task(self._close_when_client_leaves(receive))
        try:
            self._exchange.open()
            await (
                self._send_stream(scope, receive, send) if self._is_stream else self._send_whole(scope, receive, send)
            )
        finally:
            self._exchange.close()
            watcher.cancel()

    async def _close_when_client_leaves(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._exchange.close()

    async def _send_whole(self, scope: Scope, receive: Receive, send: Send) -> None:
        parts: list[list[Piece]] = [[] for _ in self._exchange.choices]
        try:
            async for pieces in self._exchange.pieces():
                for index, piece in pieces:
                    parts[index].append(piece)
        except ApiError as error:
            await error_response(error)(scope, receive, send)
            return
        if self._exchange.is_closed:
            return
        joined = [_join(parts[index]) for index in self._exchange.shown()]
        content = self._dialect.whole(joined, self._usage()).to_json().encode()
        self.headers["content-length"] = str(len(content))
        await self._start(send)
        await send({"type": "http.response.body", "body": content})

    async def _send_stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_started = False
        last = b""
        try:
            async for pieces in self._exchange.pieces():
                events = [self._dialect.chunk(index, piece) for index, piece in pieces if self._is_worth_sending(piece)]
                if not has_started:
                    has_started = True
                    self.headers["cache-control"] = "no-cache"
                    await self._start(send)
                    events = [*self._dialect.opening(len(self._exchange.choices)), *events]
                if events:
                    await send({"type": "http.response.body", "body": _encode(events), "more_body": True})
            if self._envelope.has_usage_chunk:
                last = _encode([self._dialect.usage_chunk(self._usage())])
        except ApiError as error:
            if not has_started:
                await error_response(error)(scope, receive, send)
                return
            last = b"data: " + json.dumps(error.body(), ensure_ascii=False).encode() + b"\n\n"
        if has_started:
            await send({"type": "http.response.body", "body": last + _DONE, "more_body": False})

    async def _start(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})

    def _is_worth_sending(self, piece: Piece) -> bool:
        return bool(piece.text or piece.finish or piece.scores or self._envelope.has_token_ids)

    def _usage(self) -> Usage:
        old, new = self._exchange.num_prompt_tokens, self._exchange.num_new_tokens
        return Usage(prompt_tokens=old, completion_tokens=new, total_tokens=old + new)


def error_response(error: ApiError) -> JSONResponse:
    return JSONResponse(error.body(), status_code=error.status, headers=dict(error.headers))


def _join(pieces: Sequence[Piece]) -> Piece:
    return Piece(
        text="".join(piece.text for piece in pieces),
        tokens=tuple(token for piece in pieces for token in piece.tokens),
        scores=tuple(score for piece in pieces for score in piece.scores),
        finish=pieces[-1].finish,
    )


def _encode(events: Sequence[ResponseModel]) -> bytes:
    return "".join(f"data: {event.to_json()}\n\n" for event in events).encode()

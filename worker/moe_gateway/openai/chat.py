"""/v1/chat/completions: messages in, the assistant's message out."""

from collections.abc import Sequence
from typing import Any

from moe_gateway.choice import Piece
from moe_gateway.openai.dialect import Envelope
from moe_gateway.openai.logprobs import chat_logprobs
from moe_gateway.openai.responses import (
    AssistantMessage,
    ChatChoice,
    ChatChunkChoice,
    ChatCompletion,
    ChatCompletionChunk,
    ChatLogprobs,
    Delta,
    Usage,
)


class ChatDialect:
    """Answers and chunks of /v1/chat/completions."""

    def __init__(self, envelope: Envelope) -> None:
        self._envelope = envelope
        self._usage: dict[str, Any] = {"usage": None} if envelope.has_usage_chunk else {}

    def opening(self, num_choices: int) -> Sequence[ChatCompletionChunk]:
        delta = Delta(role="assistant", content="")
        return [
            self._chunk([ChatChunkChoice(index=index, delta=delta, logprobs=None, finish_reason=None)], **self._usage)
            for index in range(num_choices)
        ]

    def chunk(self, index: int, piece: Piece) -> ChatCompletionChunk:
        delta = Delta(content=piece.text) if piece.text else Delta()
        choice = ChatChunkChoice(
            index=index, delta=delta, logprobs=self._logprobs(piece), finish_reason=piece.finish, **self._ids(piece)
        )
        return self._chunk([choice], **self._usage)

    def usage_chunk(self, usage: Usage) -> ChatCompletionChunk:
        return self._chunk([], usage=usage)

    def whole(self, pieces: Sequence[Piece], usage: Usage) -> ChatCompletion:
        envelope = self._envelope
        choices = [self._choice(index, piece) for index, piece in enumerate(pieces)]
        return ChatCompletion(
            id=envelope.id,
            object="chat.completion",
            created=envelope.created,
            model=envelope.model,
            choices=choices,
            usage=usage,
        )

    def _choice(self, index: int, piece: Piece) -> ChatChoice:
        message = AssistantMessage(role="assistant", content=piece.text, refusal=None)
        return ChatChoice(
            index=index,
            message=message,
            logprobs=self._logprobs(piece),
            finish_reason=piece.finish,
            **self._ids(piece),
        )

    def _logprobs(self, piece: Piece) -> ChatLogprobs | None:
        return chat_logprobs(piece.scores) if self._envelope.has_logprobs else None

    def _ids(self, piece: Piece) -> dict[str, Any]:
        return {"token_ids": list(piece.tokens)} if self._envelope.has_token_ids else {}

    def _chunk(self, choices: list[ChatChunkChoice], **usage: Any) -> ChatCompletionChunk:
        envelope = self._envelope
        return ChatCompletionChunk(
            id=envelope.id,
            object="chat.completion.chunk",
            created=envelope.created,
            model=envelope.model,
            choices=choices,
            **usage,
        )

"""/v1/completions: prompts in, text out."""

from collections.abc import Sequence
from typing import Any

from moe_gateway.choice import Piece
from moe_gateway.openai.dialect import Envelope
from moe_gateway.openai.logprobs import completion_logprobs
from moe_gateway.openai.requests import CompletionRequest
from moe_gateway.openai.responses import Completion, CompletionChoice, Usage

DEFAULT_MAX_TOKENS = 16


def prompts_of(request: CompletionRequest) -> list[str | list[int]]:
    """One or several prompts, each text or token ids."""
    prompt = request.prompt
    if isinstance(prompt, str):
        return [prompt]
    if all(isinstance(token, int) for token in prompt) and prompt:
        return [[token for token in prompt if isinstance(token, int)]]
    return [part for part in prompt if not isinstance(part, int)]


class CompletionDialect:
    """Answers and chunks of /v1/completions, which have the same form."""

    def __init__(self, envelope: Envelope) -> None:
        self._envelope = envelope
        self._usage: dict[str, Any] = {"usage": None} if envelope.has_usage_chunk else {}

    def opening(self, num_choices: int) -> Sequence[Completion]:
        return ()

    def chunk(self, index: int, piece: Piece) -> Completion:
        return self._completion([self._choice(index, piece)], **self._usage)

    def usage_chunk(self, usage: Usage) -> Completion:
        return self._completion([], usage=usage)

    def whole(self, pieces: Sequence[Piece], usage: Usage) -> Completion:
        return self._completion([self._choice(index, piece) for index, piece in enumerate(pieces)], usage=usage)

    def _choice(self, index: int, piece: Piece) -> CompletionChoice:
        ids: dict[str, Any] = {"token_ids": list(piece.tokens)} if self._envelope.has_token_ids else {}
        logprobs = completion_logprobs(piece.scores) if self._envelope.has_logprobs else None
        return CompletionChoice(index=index, text=piece.text, logprobs=logprobs, finish_reason=piece.finish, **ids)

    def _completion(self, choices: list[CompletionChoice], **usage: Any) -> Completion:
        envelope = self._envelope
        return Completion(
            id=envelope.id,
            object="text_completion",
            created=envelope.created,
            model=envelope.model,
            choices=choices,
            **usage,
        )

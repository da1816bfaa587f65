"""What a kind of completion must be able to say, so that one reply serves them all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from moe_gateway.choice import Piece
from moe_gateway.openai.responses import ResponseModel, Usage


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """What is the same in all chunks of one answer. `created` is in Unix seconds."""

    id: str
    created: int
    model: str
    has_token_ids: bool
    has_logprobs: bool
    has_usage_chunk: bool


class Dialect(Protocol):
    """Pieces of text in the form of one of OpenAI's endpoints."""

    def opening(self, num_choices: int) -> Sequence[ResponseModel]:
        """Chunks that come before any text."""
        ...

    def chunk(self, index: int, piece: Piece) -> ResponseModel: ...

    def usage_chunk(self, usage: Usage) -> ResponseModel: ...

    def whole(self, pieces: Sequence[Piece], usage: Usage) -> ResponseModel: ...

"""One HTTP request's generations, from asking for them to the last piece of each."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from moe_gateway.balancer import Balancer
from moe_gateway.choice import Choice, Piece
from moe_gateway.detokenizer import Decoder
from moe_gateway.stream import Generation
from moe_wire.messages import Sampling


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What one choice asks for. Lengths are in tokens; `max_tokens` counts new ones."""

    prompt: tuple[int, ...]
    max_tokens: int
    sampling: Sampling
    end_tokens: tuple[int, ...]
    stops: tuple[str, ...]


class Exchange:
    """The choices of one request. Whoever makes it must close it: that frees the heads at once."""

    def __init__(self, name: str, wishes: Sequence[Wish], *, balancer: Balancer, decoder: Decoder) -> None:
        self.name = name
        self._balancer = balancer
        self._news = asyncio.Event()
        self.choices = [
            Choice(
                Generation(
                    name=name, prompt=wish.prompt, sampling=wish.sampling, max_tokens=wish.max_tokens,
                    stop_tokens=wish.end_tokens, wake=self._news.set,
                ),
                decoder,
                wish.stops,
            )
            for wish in wishes
        ]  # fmt: skip
        self.is_closed = False

    @property
    def num_prompt_tokens(self) -> int:
        return sum(len(choice.generation.prompt) for choice in self.choices)

    @property
    def num_new_tokens(self) -> int:
        return sum(choice.num_tokens for choice in self.choices)

    def open(self) -> None:
        for choice in self.choices:
            self._balancer.open(choice.generation)

    def close(self) -> None:
        """Ends what still runs; pieces() ends too."""
        self.is_closed = True
        for choice in self.choices:
            self._balancer.cancel(choice.generation)
        self._news.set()

    async def pieces(self) -> AsyncIterator[list[tuple[int, Piece]]]:
        """All that is new at one moment, by the choice's index; raises the ApiError of a generation that failed."""
        while not self.is_closed and not all(choice.is_finished for choice in self.choices):
            await self._news.wait()
            self._news.clear()
            pieces = ((index, self._read(choice)) for index, choice in enumerate(self.choices))
            found = [(index, piece) for index, piece in pieces if piece is not None]
            if found:
                yield found
            for choice in self.choices:
                if choice.generation.failure is not None:
                    raise choice.generation.failure

    def _read(self, choice: Choice) -> Piece | None:
        piece = choice.read()
        if choice.is_finished and piece is not None:
            self._balancer.cancel(choice.generation)  # a stop string ends it before its head knows
        return piece

"""One HTTP request's generations, from asking for them to the last piece of each."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from math import inf

from moe_gateway.balancer import Balancer
from moe_gateway.choice import Choice, Piece
from moe_gateway.scores import Scorer
from moe_gateway.stream import Generation
from moe_gateway.tokenizer import TextModel
from moe_wire.messages import Sampling


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What one choice asks for. Lengths are in tokens; `max_tokens` counts new ones, `echo` is text to begin with.
    `prompt_logprobs`: how many of the likeliest are told beside each of its tokens, -1 for none.
    """

    prompt: tuple[int, ...]
    max_tokens: int
    sampling: Sampling
    end_tokens: tuple[int, ...]
    stops: tuple[str, ...]
    priority: int = 0
    limit_seconds: float = inf
    echo: str = ""
    shows_logprobs: bool = False
    prompt_logprobs: int = -1


class Exchange:
    """The choices of one request: `num_tried` in a row for each prompt, of which the best `num_shown` are the answer.
    Whoever makes it must close it: that frees the heads at once.
    """

    def __init__(
        self,
        name: str,
        wishes: Sequence[Wish],
        *,
        balancer: Balancer,
        text_model: TextModel,
        num_tried: int = 1,
        num_shown: int = 1,
    ) -> None:
        self.name = name
        self._balancer = balancer
        self._text_model = text_model
        self._num_tried = num_tried
        self._num_shown = num_shown
        self._news = asyncio.Event()
        self.choices = [self._choice(wish) for wish in wishes]
        self.is_closed = False

    @property
    def num_prompt_tokens(self) -> int:
        """Each prompt counts once, however many choices it has."""
        return sum(len(choice.generation.prompt) for choice in self.choices[:: self._num_tried])

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

    def shown(self) -> list[int]:
        """The indices of the choices that make the answer; of more than are shown, those of the likeliest tokens."""
        groups = [range(first, first + self._num_tried) for first in range(0, len(self.choices), self._num_tried)]
        if self._num_tried == self._num_shown:
            return [index for group in groups for index in group]
        return [index for group in groups for index in sorted(group, key=self._unlikeliness)[: self._num_shown]]

    def _unlikeliness(self, index: int) -> float:
        """Minus the mean logprob of a token; equal ones stay in their order."""
        told = [one.chosen for one in self.choices[index].generation.logprobs if one is not None]
        return -sum(told) / max(1, len(told))

    def _choice(self, wish: Wish) -> Choice:
        generation = Generation(
            name=self.name, prompt=wish.prompt, sampling=wish.sampling, max_tokens=wish.max_tokens,
            stop_tokens=wish.end_tokens, wake=self._news.set, priority=wish.priority, limit_seconds=wish.limit_seconds,
            prompt_logprobs=wish.prompt_logprobs,
        )  # fmt: skip
        scorer = Scorer(self._text_model.token_bytes, echo=wish.echo) if wish.shows_logprobs else None
        return Choice(generation, self._text_model, wish.stops, echo=wish.echo, scorer=scorer)

    def _read(self, choice: Choice) -> Piece | None:
        piece = choice.read()
        if choice.is_finished and piece is not None:
            # A stop string ends it before its head knows.
            self._balancer.cancel(choice.generation, finish="stop")
        return piece

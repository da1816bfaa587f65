"""The rule that makes failover invisible: the gateway holds the tokens.

A request is its prompt plus the tokens emitted so far. Tokens are taken by position: a repeated position is ignored,
a gap is a protocol error, and what was emitted once is a fact that no later message changes. Knows nothing of heads,
text or HTTP.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from math import inf

from moe_gateway.errors import ApiError
from moe_wire.messages import Logprobs, Sampling


class Verdict(Enum):
    """What became of one emitted token."""

    NEW = "new"
    REPEATED = "repeated"
    MISMATCH = "mismatch"
    GAP = "gap"


@dataclass(eq=False, slots=True, kw_only=True)
class Generation:
    """One request's facts. `wake` is called whenever there is something new to read.

    `logprobs` has one for each of `tokens`, so that neither is ever told twice. `prompt_logprobs`: how many of the
    likeliest are wanted beside each of the prompt's tokens, -1 for none; `prompt_scores` are those told, from the
    second token on (the first comes after nothing). `limit_seconds` is how long all of it
    may take; of those that wait at a head, the highest `priority` goes first. `replica` is the one that is to serve it,
    and `head` the rank in it that gets it where that is possible.
    """

    name: str
    prompt: tuple[int, ...]
    sampling: Sampling
    max_tokens: int
    stop_tokens: tuple[int, ...]
    wake: Callable[[], None]
    priority: int = 0
    prompt_logprobs: int = -1
    limit_seconds: float = inf
    replica: int | None = None
    head: int | None = None
    tokens: list[int] = field(default_factory=list)
    logprobs: list[Logprobs | None] = field(default_factory=list)
    prompt_scores: list[Logprobs] = field(default_factory=list)
    finish: str = ""
    failure: ApiError | None = None
    cancelled: bool = False

    @property
    def is_over(self) -> bool:
        return bool(self.finish) or self.failure is not None or self.cancelled

    def take(self, position: int, token: int, finish: str, logprobs: Logprobs | None = None) -> Verdict:
        """Judge one emitted token and keep it if it is the next one."""
        known = len(self.tokens)
        if position > known:
            return Verdict.GAP
        if position < known:
            return self._compare(position, token, finish)
        if self.finish:
            return Verdict.MISMATCH
        self.tokens.append(token)
        self.logprobs.append(logprobs)
        self.finish = finish or ("length" if len(self.tokens) >= self.max_tokens else "")
        self.wake()
        return Verdict.NEW

    @property
    def prompt_logprobs_left(self) -> int:
        """As `prompt_logprobs`, for whoever goes on with it: what is known need not be told again."""
        return self.prompt_logprobs if len(self.prompt_scores) < len(self.prompt) - 1 else -1

    def take_scores(self, position: int, logprobs: Sequence[Logprobs]) -> Verdict:
        """Keep what is new of the logprobs of the prompt's tokens from `position` (1: the second) on."""
        known = len(self.prompt_scores) + 1
        if position > known or position + len(logprobs) > len(self.prompt):
            return Verdict.GAP
        new = logprobs[known - position :]
        self.prompt_scores += new
        return Verdict.NEW if new else Verdict.REPEATED

    def fail(self, error: ApiError) -> None:
        self.failure = error
        self.wake()

    def _compare(self, position: int, token: int, finish: str) -> Verdict:
        if self.tokens[position] != token:
            return Verdict.MISMATCH
        if finish and not self.finish and position == len(self.tokens) - 1:
            self.finish = finish
            self.wake()
        return Verdict.REPEATED

"""The rule that makes failover invisible: the gateway holds the tokens.

A request is its prompt plus the tokens emitted so far. Tokens are taken by position: a repeated position is ignored,
a gap is a protocol error, and what was emitted once is a fact that no later message changes. Knows nothing of heads,
text or HTTP.
"""

from collections.abc import Callable
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

    `logprobs` has one for each of `tokens`, so that neither is ever told twice. `limit_seconds` is how long all of it
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
    limit_seconds: float = inf
    replica: int | None = None
    head: int | None = None
    tokens: list[int] = field(default_factory=list)
    logprobs: list[Logprobs | None] = field(default_factory=list)
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

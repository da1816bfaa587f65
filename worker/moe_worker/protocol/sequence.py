"""One request at its lane's head: what it wants, the tokens it has, and how much of them the lane's cache holds."""

from moe_wire.messages import Sampling, Scoring, Submit
from moe_worker.protocol import prefixes
from moe_worker.protocol.transport import ConnectionId


class Sequence:
    """`tokens` are prompt and generated ones; those before `scheduled` are in the cache once the steps in flight are
    done.

    `blocks` are its KV blocks in order of position, the first `num_announced` of them known to the other ranks; the
    last stage knows the first `num_told` tokens where the sampling needs them. `prompt_logprobs`: how many of the
    likeliest are told beside each of the prompt's tokens, -1 for none; the first `num_scored` have theirs.
    `number` names it in the lane while it runs; every admission gives a new one, so tokens for an earlier life of it
    fall through. `order` is its place among all of the lane, lower going first; the scheduler gives it once.
    """

    __slots__ = (
        "_block_names",
        "blocks",
        "connection",
        "max_tokens",
        "name",
        "num_announced",
        "num_prompt",
        "num_scored",
        "num_told",
        "number",
        "order",
        "priority",
        "prompt_logprobs",
        "request",
        "sampling",
        "scheduled",
        "stop_tokens",
        "tokens",
    )

    def __init__(self, submit: Submit, connection: ConnectionId) -> None:
        self.request = submit.request
        self.name = submit.name
        self.connection = connection
        self.tokens = [*submit.prompt, *submit.generated]
        self.num_prompt = len(submit.prompt)
        self.sampling: Sampling = submit.sampling
        self.max_tokens = submit.max_tokens
        self.stop_tokens = frozenset(submit.stop_tokens)
        self.priority = submit.priority
        self.prompt_logprobs = submit.prompt_logprobs if self.num_prompt > 1 else -1
        self.num_scored = 1
        self.order = (0, 0)
        self.number = 0
        self.scheduled = 0
        self.blocks: list[int] = []
        self.num_announced = 0
        self.num_told = 0
        self._block_names: list[bytes] = []

    @property
    def num_pending(self) -> int:
        """Tokens that no step has taken yet."""
        return len(self.tokens) - self.scheduled

    @property
    def is_scored(self) -> bool:
        """Whether its prompt's logprobs are wanted still: they come of computing it, not of what the cache holds."""
        return self.prompt_logprobs >= 0

    @property
    def num_generated(self) -> int:
        return len(self.tokens) - self.num_prompt

    @property
    def finish(self) -> str:
        """Why the sequence is complete with its newest token, or ""."""
        if self.tokens[-1] in self.stop_tokens:
            return "stop"
        return "length" if self.num_generated >= self.max_tokens else ""

    def block_names(self, block_size: int) -> list[bytes]:
        """What each full block of its tokens holds, by name."""
        prefixes.extend(self._block_names, self.tokens, block_size)
        return self._block_names

    def tell(self) -> tuple[int, ...]:
        """The tokens that the last stage does not know yet; it knows them all from now on."""
        start, self.num_told = self.num_told, len(self.tokens)
        return tuple(self.tokens[start:])

    def scoring(self, start: int, end: int) -> Scoring | None:
        """Of the prompt's tokens that follow those from `start` up to `end`."""
        targets = self.tokens[start + 1 : min(end + 1, self.num_prompt)] if self.is_scored else ()
        return Scoring(self.prompt_logprobs, tuple(targets)) if targets else None

    def count_scored(self, count: int) -> int:
        """So many more have their logprobs; the position of the first of them. Nobody wants them twice."""
        first, self.num_scored = self.num_scored, self.num_scored + count
        if self.num_scored == self.num_prompt:
            self.prompt_logprobs = -1
        return first

    def forget_progress(self) -> None:
        """Back to its tokens alone: everything else is computed again."""
        self.number = 0
        self.num_scored = 1
        self.scheduled = 0
        self.blocks = []
        self.num_announced = 0
        self.num_told = 0

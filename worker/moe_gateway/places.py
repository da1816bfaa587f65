"""What the balancer remembers: where each generation is, what each head has, and how often what has happened."""

from dataclasses import dataclass, field
from typing import Protocol

from moe_gateway.router import HeadKey
from moe_gateway.stream import Generation
from moe_wire.messages import Load, Message


class HeadLink(Protocol):
    """An established connection to one head."""

    @property
    def key(self) -> HeadKey: ...

    @property
    def num_lanes(self) -> int: ...

    @property
    def num_open_lanes(self) -> int: ...

    def send(self, message: Message) -> None: ...

    def abort(self, reason: str) -> None:
        """Give the connection up; `Balancer.lost` follows."""
        ...


@dataclass(kw_only=True)
class Counts:
    """What has happened since the start, for people who look at /readyz."""

    resubmitted: int = 0
    gave_up: int = 0
    mismatches: int = 0
    gaps: int = 0
    overloaded: int = 0
    prefix_tokens_asked: int = 0
    prefix_tokens_found: int = 0


@dataclass(eq=False, slots=True)
class Place:
    """Where a generation is, and how it fared. `key` begins the ids of all its attempts, of which `request` is the
    newest one's. `progress` is when it last got a token, `avoid` who would not have it since.
    """

    generation: Generation
    prefix: bytes | None
    key: bytes
    opened: float
    progress: float
    first_seconds: float = 0.0
    attempt: int = 0
    request: bytes = b""
    head: HeadKey | None = None
    avoid: frozenset[HeadKey] = frozenset()
    num_returns: int = 0
    not_before: float = 0.0


@dataclass(eq=False, slots=True)
class Head:
    """`load` is what it said last, `num_others` how many of those requests other gateways had given it."""

    link: HeadLink
    heard: float
    load: Load | None = None
    num_others: int = 0
    places: dict[bytes, Place] = field(default_factory=dict)

    @property
    def num_outstanding(self) -> int:
        return len(self.places) + self.num_others

    def loaded(self, load: Load, counts: Counts) -> None:
        """What a head counts begins again when another process takes its seat."""
        before, self.load = self.load, load
        self.num_others = max(0, load.waiting + load.running - len(self.places))
        if before is not None and before.tokens_admitted <= load.tokens_admitted:
            counts.prefix_tokens_asked += load.tokens_admitted - before.tokens_admitted
            counts.prefix_tokens_found += load.tokens_found - before.tokens_found

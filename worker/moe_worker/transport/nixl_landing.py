"""Where fetched bytes land: registered memory that is never used again once a fetch into it was given up, for its
bytes may still come.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from moe_worker.transport.nixl_slab import Slab


class Registering(Protocol):
    """The part of the agent that is needed here."""

    def register(self, slab: Slab) -> Any: ...

    def deregister(self, registered: Any) -> None: ...


class _Ground:
    """One slab. Retired, it is deregistered as soon as nothing lands there any more; its addresses stay taken."""

    def __init__(self, agent: Registering, num_bytes: int) -> None:
        self.slab = Slab(num_bytes)
        self.is_retired = False
        self._agent = agent
        self._registered = agent.register(self.slab)

    def give(self, offset: int) -> None:
        self.slab.give(offset)
        if self.is_retired and self.slab.num_taken == 0:
            self._agent.deregister(self._registered)
            self.slab.empty()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Room for one fetch."""

    ground: _Ground
    offset: int
    num_bytes: int

    @property
    def address(self) -> int:
        return self.ground.slab.address + self.offset

    def view(self) -> memoryview:
        return self.ground.slab.view(self.offset, self.num_bytes)


class Landing:
    """Hands out places of at most `num_bytes` together."""

    def __init__(self, agent: Registering, num_bytes: int) -> None:
        self.num_bytes = num_bytes
        self._agent = agent
        self._ground = _Ground(agent, num_bytes)
        self._retired: list[_Ground] = []

    def take(self, num_bytes: int) -> Place | None:
        """None while others fill it."""
        offset = self._ground.slab.take(num_bytes)
        return None if offset is None else Place(ground=self._ground, offset=offset, num_bytes=num_bytes)

    def give(self, place: Place) -> None:
        """Whatever was to land there has."""
        place.ground.give(place.offset)

    def abandon(self, place: Place) -> None:
        """Something may still land there, so whatever comes from now on lands elsewhere."""
        ground = place.ground
        if not ground.is_retired:
            ground.is_retired = True
            self._retired.append(ground)
            self._ground = _Ground(self._agent, self.num_bytes)
        ground.give(place.offset)

"""One rank's whole protocol: hears events, does one unit of work at a time, and acts only through its compute and its transport."""

from collections.abc import Mapping

from moe_worker.protocol.compute import Compute
from moe_worker.protocol.settings import Identity, Settings
from moe_worker.protocol.status import RankStatus
from moe_worker.protocol.transport import Event, Transport
from moe_worker.protocol.view import SeatView, View


class RankCore:
    """The process around it feeds events and views, calls run_one() until it returns False, and then waits until next_deadline().

    `now` is any monotonic clock in seconds. Calls never block and are never made from two threads.
    """

    def __init__(self, identity: Identity, settings: Settings, compute: Compute, transport: Transport) -> None:
        self.identity = identity
        self.settings = settings

    def on_event(self, event: Event, now: float) -> None:
        """Take in one thing the transport has to tell."""
        raise NotImplementedError

    def on_view(self, view: View, now: float) -> None:
        """Follow a new view; afterwards wanted_peers() may have changed."""
        raise NotImplementedError

    def tick(self, now: float) -> None:
        """Do what was due by `now`; call it at next_deadline() or later."""
        raise NotImplementedError

    def run_one(self, now: float) -> bool:
        """Do one unit of work, experts' first, then lanes' in turn; False if there was none."""
        raise NotImplementedError

    def next_deadline(self) -> float | None:
        """When tick() should be called next though nothing happened; None: whenever."""
        raise NotImplementedError

    def wanted_peers(self) -> Mapping[int, SeatView]:
        """The seats to keep dialled, by rank: those of the own stage, and of its lanes in the next; never its own, never without address."""
        raise NotImplementedError

    def status(self) -> RankStatus:
        raise NotImplementedError

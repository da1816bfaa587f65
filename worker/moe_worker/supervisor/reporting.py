"""What is reported, and when it is written: only when it differs, at once, then in steps of 100 ms; again until it is
through.

Pure. A failed GPU does not wait for the 100 ms: streams do. A death waits a moment for what becomes of the seat.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from moe_api.report import ExpertLoad, FailedExpert, GpuHealth, LaneLoad, Report, SeatReport, SlowPeer, UnreachablePeer
from moe_worker.logs import timestamp
from moe_worker.supervisor.seat import Seat

STEP_S = 0.1
HOLD_S = 0.25
FIRST_RETRY_S = 0.05
MAX_RETRY_S = 0.5


class ReportWriter:
    """Paces the writes of one annotation."""

    def __init__(self) -> None:
        self._written = ""
        self._wanted = ""
        self._earliest = 0.0
        self._retry_s = 0.0

    def offer(self, text: str, now: float, *, is_urgent: bool = False) -> None:
        self._wanted = text
        if is_urgent and not self._retry_s:
            self._earliest = now

    def hold(self, now: float) -> None:
        """A rank is being started again: soon it serves, or tells that its GPU has failed, and then this report would
        be in the way of that. What is under way, or already late, is not held.
        """
        if self._wanted == self._written:
            self._earliest = max(self._earliest, now + HOLD_S)

    def due(self, now: float) -> str | None:
        """What to write now, if anything."""
        return self._wanted if self._wanted != self._written and now >= self._earliest else None

    def next_due(self) -> float | None:
        return self._earliest if self._wanted != self._written else None

    def written(self, text: str, now: float) -> None:
        self._written = text
        self._retry_s = 0.0
        self._earliest = now + STEP_S

    def failed(self, now: float) -> None:
        self._retry_s = min(max(self._retry_s * 2, FIRST_RETRY_S), MAX_RETRY_S)
        self._earliest = now + self._retry_s


class Reporter:
    """Builds the report; remembers since when each seat is in its state and each peer is out of reach.

    What it says of loads is `loads_every` old at most, and the same in between: a write is dear, and /metrics tells
    them sooner.
    """

    def __init__(self, wall_clock: Callable[[], datetime]) -> None:
        self._wall_clock = wall_clock
        self._states: dict[int, tuple[str, str]] = {}
        self._unreachable: dict[int, str] = {}
        self._slow: dict[int, SlowPeer] = {}
        self._loads: dict[int, tuple[list[ExpertLoad], list[LaneLoad]]] = {}
        self.loads_every = timedelta(minutes=10)
        self._loads_at = wall_clock()

    def build(self, epoch: int, seats: Iterable[Seat], error: str, slow: Mapping[int, float]) -> Report:
        seats = sorted(seats, key=lambda seat: seat.rank)
        errors = [error, *(seat.error for seat in seats)]
        self._look_at_loads(seats)
        return Report(
            epoch=epoch,
            seats=[self._seat(seat) for seat in seats],
            unreachable=self._peers(seats),
            slow=self._slow_peers(slow),
            error=next((text for text in errors if text), ""),
        )

    def _slow_peers(self, slow: Mapping[int, float]) -> list[SlowPeer]:
        since = timestamp(self._wall_clock())
        self._slow = {
            rank: self._slow.get(rank) or SlowPeer(rank=rank, factor=round(factor, 1), since=since)
            for rank, factor in slow.items()
        }
        return list(self._slow.values())

    def _look_at_loads(self, seats: Iterable[Seat]) -> None:
        now = self._wall_clock()
        if now >= self._loads_at + self.loads_every:
            self._loads = {seat.rank: _load(seat) for seat in seats}
            self._loads_at = now

    def _seat(self, seat: Seat) -> SeatReport:
        if self._states.get(seat.rank, ("", ""))[0] != seat.state:
            self._states[seat.rank] = (seat.state, timestamp(self._wall_clock()))
        served, lanes = self._loads.get(seat.rank, ([], []))
        return SeatReport(
            rank=seat.rank,
            incarnation=seat.incarnation,
            address="" if seat.state == "failed" else seat.address,
            state=seat.state,
            experts=sorted(seat.experts),
            loading=sorted(seat.loading),
            failed=[FailedExpert(expert=expert, reason=text) for expert, text in sorted(seat.failed_experts.items())],
            gpu=_health(seat),
            restarts=seat.restarts,
            since=self._states[seat.rank][1],
            served=served,
            lanes=lanes,
        )

    def _peers(self, seats: Iterable[Seat]) -> list[UnreachablePeer]:
        own, longest = {seat.rank for seat in seats}, dict[int, float]()
        for seat in seats:
            for rank, seconds in seat.unreachable.items():
                if rank in own:  # the pod's own ranks are told of as seats, by who can tell
                    continue
                longest[rank] = max(longest.get(rank, 0.0), seconds)
        now = self._wall_clock()
        self._unreachable = {
            rank: self._unreachable.get(rank) or timestamp(now - timedelta(seconds=seconds))
            for rank, seconds in sorted(longest.items())
        }
        return [UnreachablePeer(rank=rank, since=since) for rank, since in self._unreachable.items()]


def _health(seat: Seat) -> GpuHealth:
    return GpuHealth(
        index=seat.gpu,
        id=seat.gpu_id,
        healthy=not seat.reason,
        reason=seat.reason,
        is_rehearsed=seat.is_rehearsed,
    )


def _load(seat: Seat) -> tuple[list[ExpertLoad], list[LaneLoad]]:
    """What the seat's rank says of its experts and lanes."""
    experts = [ExpertLoad(expert=expert, tokens=tokens) for expert, tokens in sorted(seat.expert_tokens.items())]
    return experts, [LaneLoad(**figures) for figures in seat.lane_figures]

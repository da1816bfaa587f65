"""One rank's whole protocol: hears events, does a unit of work at a time, acts only through its compute and transport.

It ties the parts together and decides nothing itself: lanes (lane.py) ask for experts (requests.py), hosts answer
(experts.py), heads (heads.py) start steps. What the rank says to itself loops back in memory, so a single rank runs
the same code as many.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from moe_wire.messages import Broken, Cancel, Dispatch, Load, NotHere, Reset, Result, Step, Submit, Tokens
from moe_worker.protocol.compute import Compute
from moe_worker.protocol.deadlines import sooner
from moe_worker.protocol.experts import Experts
from moe_worker.protocol.heads import Heads
from moe_worker.protocol.lane import Lane
from moe_worker.protocol.links import Links
from moe_worker.protocol.requests import Requests
from moe_worker.protocol.settings import Identity, Settings
from moe_worker.protocol.status import RankStatus
from moe_worker.protocol.transport import (
    Answered,
    Arrived,
    Connected,
    ConnectionClosed,
    ConnectionId,
    Event,
    Lost,
    Transport,
)
from moe_worker.protocol.view import SeatView, StageView, View


class RankCore:
    """The process around it feeds events and views, and calls run_one() until it is False, then waits for more.

    `now` is any monotonic clock in seconds. Calls never block and are never made from two threads. An exception means
    that this process must end: a device error, or a broken invariant.

    `deadline`: when to call tick() though nothing happens, None: never. It is looked for only where one may have come
    up or gone by, so it may be too early, never too late.
    """

    def __init__(self, identity: Identity, settings: Settings, compute: Compute, transport: Transport) -> None:
        self.identity = identity
        self.settings = settings
        self._compute = compute
        self._links = Links(identity.rank, transport)
        self._experts = Experts(compute, self._links)
        self._requests = Requests(self._links)
        self._heads = Heads(identity.incarnation, settings, self._links)
        self._lanes: dict[int, Lane] = {}
        self._seated: deque[Lane] = deque()
        self._view: View | None = None
        self._num_views = 0
        self._is_first = settings.is_first
        self.deadline: float | None = None
        self._on_arrived: dict[type, Callable[[ConnectionId, Any], None]] = {
            Dispatch: self._experts.on_dispatch,
            Step: self._on_step,
            Tokens: self._on_tokens,
            Reset: self._on_reset,
            Submit: self._on_submit,
            Cancel: self._on_cancel,
        }

    def on_event(self, event: Event, now: float) -> None:
        """Take in one thing the transport has to tell."""
        self._handle(event, now)
        if self._links.looped:
            self._hear_itself(now)

    def on_view(self, view: View, now: float) -> None:
        """Follow a view, stage by stage never back to an older epoch; afterwards wanted_peers() may have changed."""
        self._num_views += 1
        self._view = view = _newest(self._view, view)
        own = view.own
        is_named = self._is_named(own)
        rank = self.identity.rank
        serving = {expert for expert, ranks in own.serving.items() if is_named and rank in ranks}
        loading = {expert for expert, ranks in own.loading.items() if is_named and rank in ranks}
        shared = {expert for expert, ranks in own.serving.items() if ranks and ranks != (rank,)}
        self._experts.follow(serving | loading, shared, now)
        self._requests.follow(own.serving)
        self._seat_lanes({lane for lane, seat in own.lanes.items() if is_named and seat == rank}, view)
        self._hear_itself(now)
        self._look_ahead()

    def tick(self, now: float) -> None:
        """Do what was due by `now`; call it at `deadline` or later."""
        self._experts.tick(now)
        self._requests.tick(now)
        self._heads.tick(now)
        for lane in self._lanes.values():
            lane.tick(now)
        self._hear_itself(now)
        self._look_ahead()

    def run_one(self, now: float) -> bool:
        """Do one unit of work, experts' first, then lanes' in turn; False if there was none."""
        did_work = self._experts.run_one() or self._run_lane()
        if self._links.looped:
            self._hear_itself(now)
        return did_work

    def has_work(self) -> bool:
        """Whether run_one() may find something to do: if not, there is nothing before an event or a deadline."""
        if self._experts.ready:
            return True
        for lane in self._seated:  # noqa: SIM110  # asked for after every event: a generator takes as long again
            if lane.can_advance or (self._is_first and self._heads.may_form(lane)):
                return True
        return False

    @property
    def has_notes(self) -> bool:
        return bool(self._links.notes)

    def take_notes(self) -> list[str]:
        """What is to stand in the log of requests that were returned, went on here, or lost their gateway."""
        notes, self._links.notes = self._links.notes, []
        return notes

    def num_changes(self) -> int:
        """Grows with every change of what status() says of views and experts: most of the time there is none."""
        return self._num_views + self._experts.num_changes

    def num_done(self) -> int:
        """Grows with the work that status() counts."""
        return self._experts.num_rows_served + self._heads.tokens_admitted

    def wanted_peers(self) -> Mapping[int, SeatView]:
        """The seats to keep dialled, by rank: the other ones of the stage, and those of its lanes in the next.

        A connection to another pod than the wanted one, or that is no longer wanted, is to be ended (and Lost told).
        """
        if self._view is None or not self._is_named(self._view.own):
            return {}
        wanted = dict(self._view.own.seats)
        following = self._view.next
        for lane in self._seated:
            rank = following.lanes.get(lane.lane)
            if rank is not None and rank in following.seats:
                wanted[rank] = following.seats[rank]
        wanted.pop(self.identity.rank, None)
        return {rank: seat for rank, seat in wanted.items() if seat.address is not None}

    def status(self) -> RankStatus:
        headed = self._heads.statuses()
        return RankStatus(
            epoch=0 if self._view is None else self._view.own.epoch,
            held=tuple(sorted(self._experts.held)),
            loading=tuple(sorted(self._experts.loading)),
            failed=dict(self._experts.failed),
            lanes=tuple(sorted(lane.lane for lane in self._seated)),
            headed=headed,
            outstanding=self._requests.num_outstanding,
            stalled=self._requests.stalled,
            queued=self._experts.num_queued,
            step_rows=sum(lane.num_rows for lane in self._lanes.values()),
            asked_rows=self._requests.num_rows,
            queued_rows=self._experts.num_rows,
            rows_served=dict(self._experts.rows_served),
            passes=self._experts.num_passes,
            sent_again=self._requests.num_sent_again,
            breaks=sum((Counter(lane.breaks) for lane in self._lanes.values()), Counter()),
            requests=self._heads.num_requests,
            blocks_used=sum(lane.blocks_used for lane in headed),
        )

    def load(self) -> Load | None:
        """What the lanes that this rank heads have to do; None where it heads none."""
        return self._heads.load()

    # Work.

    def _look_ahead(self) -> None:
        soonest = sooner(self._experts.next_deadline(), self._requests.next_deadline())
        for lane in self._lanes.values():
            soonest = sooner(soonest, lane.next_deadline())
        self.deadline = sooner(soonest, self._heads.next_deadline()) if self._is_first else soonest

    def _run_lane(self) -> bool:
        for _ in range(len(self._seated)):
            lane = self._seated[0]
            self._seated.rotate(-1)
            if lane.can_advance:
                lane.advance()
                return True
            if self._is_first and self._heads.form_step(lane.lane):
                return True
        return False

    # Views.

    def _is_named(self, own: StageView) -> bool:
        """Whether this pod still has the seat: a rank given to another pod is not this one's."""
        seat = own.seats.get(self.identity.rank)
        return seat is not None and seat.pod_uid == self.identity.pod_uid

    def _seat_lanes(self, wanted: set[int], view: View) -> None:
        """Give up what is no longer this rank's, then learn who comes next, and only then begin what is new."""
        self._heads.give_up(wanted)
        for number, lane in self._lanes.items():
            if number not in wanted:
                lane.unseat()
        self._seated = deque(self._lane(number) for number in sorted(wanted))
        for number, lane in self._lanes.items():
            lane.follow(view.next.lanes.get(number))
        for lane in self._seated:
            lane.seat()
        if self._num_lanes_with_steps() > self.settings.lanes_per_rank:
            for lane in self._lanes.values():
                if lane.holds_steps:
                    lane.turn_away()
        if self._is_first:
            self._heads.take_up(self._seated, view.own.epoch, view.own.draining)

    def _lane(self, number: int) -> Lane:
        lane = self._lanes.get(number)
        if lane is None:
            lane = self._lanes[number] = self._make_lane(number)
        return lane

    def _make_lane(self, number: int) -> Lane:
        report = self._heads.on_broken if self._is_first else self._report_upstream
        layers = self.settings.layers
        return Lane(number, layers, self._compute, self._requests, self._links, report, self._may_hold)

    def _may_hold(self) -> bool:
        """Whether there is room for the steps of a lane that no view of this rank seats here yet."""
        return self._num_lanes_with_steps() < self.settings.lanes_per_rank

    def _num_lanes_with_steps(self) -> int:
        """At most: those seated here, and those of which steps are held."""
        return len(self._seated) + sum(lane.holds_steps for lane in self._lanes.values())

    def _report_upstream(self, lane: Lane, term: int) -> None:
        self._links.reply(lane.upstream, Broken(lane.lane, term))

    # Events.

    def _hear_itself(self, now: float) -> None:
        looped = self._links.looped
        while looped:
            self._handle(looped.popleft(), now)

    def _handle(self, event: Event, now: float) -> None:
        if isinstance(event, Arrived):
            self._on_arrived[type(event.message)](event.connection, event.message)
        elif isinstance(event, Answered):
            self._on_answered(event.peer, event.message, now)
        elif isinstance(event, Connected):
            self._on_connected(event.peer, event.incarnation)
        elif isinstance(event, Lost):
            self._on_lost(event.peer)
        else:
            self._on_closed(event)

    def _on_connected(self, peer: int, incarnation: int) -> None:
        self._links.connected(peer, incarnation)
        self._requests.on_connected(peer)
        for lane in self._seated:
            lane.on_connected(peer)

    def _on_lost(self, peer: int) -> None:
        self._links.lost(peer)
        self._requests.on_lost(peer)
        for lane in self._seated:
            lane.on_lost(peer)

    def _on_closed(self, event: ConnectionClosed) -> None:
        self._experts.on_closed(event.connection)
        self._heads.on_closed(event.connection)

    def _on_answered(self, peer: int, message: Any, now: float) -> None:
        if isinstance(message, Result):
            if self._requests.settle(peer, message):
                self._lanes[message.lane].on_answer(message.expert, message.rows)
        elif isinstance(message, NotHere):
            self._requests.refuse(peer, message, now)
            self._look_ahead()
        elif isinstance(message, Broken):
            self._lane(message.lane).on_broken(peer, message.term)

    def _on_step(self, connection: ConnectionId, message: Step) -> None:
        if not self._is_first:
            lane = self._lane(message.lane)
            lane.on_step(message, connection)
            if lane.holds_steps:
                self._look_ahead()

    def _on_reset(self, connection: ConnectionId, message: Reset) -> None:
        if self._is_first:
            self._heads.on_reset(message)
        else:
            self._lane(message.lane).on_reset(message.term, connection)

    def _on_tokens(self, _connection: ConnectionId, message: Tokens) -> None:
        self._heads.on_tokens(message)

    def _on_submit(self, connection: ConnectionId, message: Submit) -> None:
        self._heads.submit(connection, message)
        self._look_ahead()

    def _on_cancel(self, connection: ConnectionId, message: Cancel) -> None:
        self._heads.cancel(connection, message.request)


def _newest(known: View | None, told: View) -> View:
    """Each stage at the highest epoch heard of. What is told with an older own stage is of the lanes it had then."""
    if known is None:
        return told
    if told.own.epoch < known.own.epoch:
        return known
    return replace(
        told,
        previous=told.previous if told.previous.epoch >= known.previous.epoch else known.previous,
        next=told.next if told.next.epoch >= known.next.epoch else known.next,
    )

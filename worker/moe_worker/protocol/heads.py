"""The lanes whose head is this rank: which of them live, under which terms, and which one takes a request.

A rank heads a lane while its view of the first stage seats the lane here and nobody is known to head it under a later
term. When a later head is heard of, this one returns its requests and is silent until a newer view lets it make a
still higher term.
"""

from collections.abc import Iterable, Set

from moe_wire.messages import Load, Reset, Submit, Tokens
from moe_worker.protocol.deadlines import sooner
from moe_worker.protocol.head import Head
from moe_worker.protocol.lane import Lane
from moe_worker.protocol.links import Links
from moe_worker.protocol.settings import Settings
from moe_worker.protocol.status import LaneStatus
from moe_worker.protocol.terms import next_term
from moe_worker.protocol.transport import ConnectionId


class Heads:
    """Empty everywhere but in the first stage."""

    def __init__(self, incarnation: int, settings: Settings, links: Links) -> None:
        self._incarnation = incarnation
        self._settings = settings
        self._links = links
        self._epoch = 0
        self._draining: Set[int] = frozenset()
        self._heads: dict[int, Head] = {}

    @property
    def num_requests(self) -> int:
        return sum(head.num_requests for head in self._heads.values())

    @property
    def tokens_admitted(self) -> int:
        return sum(head.tokens_admitted for head in self._heads.values())

    def statuses(self) -> tuple[LaneStatus, ...]:
        return tuple(head.status() for head in self._heads.values())

    def load(self) -> Load | None:
        """What the lanes headed here have to do; None where no lane is."""
        loads = [head.load() for head in self._heads.values()]
        if not loads:
            return None
        return Load(*map(sum, zip(*loads, strict=True)))

    def give_up(self, seated: Set[int]) -> None:
        """Return the requests of lanes that are no longer seated here."""
        for number in self._heads.keys() - seated:
            self._heads.pop(number).return_all("the lane has moved to another rank")

    def take_up(self, lanes: Iterable[Lane], epoch: int, draining: Set[int] = frozenset()) -> None:
        """Head these lanes, which the first stage's layout of this epoch seats here.

        What waits in a draining lane that does not live is returned: some stage may have no rank for the lane.
        """
        self._epoch, self._draining = epoch, draining
        for lane in lanes:
            head = self._heads.get(lane.lane)
            if head is None:
                self._start(lane)
            elif lane.lane in draining and not head.is_live:
                head.return_all("the lane is about to move, or has no rank in some stage")

    def on_broken(self, lane: Lane, term: int) -> None:
        """A term of the lane is broken, or a higher one than its own is known."""
        head = self._heads.get(lane.lane)
        if head is None or term < lane.term:
            return
        lane.hear(term)
        new_term = self._next_term(lane)
        if new_term is None:
            del self._heads[lane.lane]
            head.return_all("another head has taken the lane over")
        else:
            head.restart(new_term)

    def on_reset(self, message: Reset) -> None:
        head = self._heads.get(message.lane)
        if head is None:
            return
        if message.term == head.lane.term:
            head.on_reset_returned()
        elif message.term > head.lane.term:
            self.on_broken(head.lane, message.term)

    def on_tokens(self, message: Tokens) -> None:
        head = self._heads.get(message.lane)
        if head is None or message.term < head.lane.term:
            return
        if message.term > head.lane.term or not head.on_tokens(message):
            self.on_broken(head.lane, message.term)

    def submit(self, connection: ConnectionId, message: Submit) -> None:
        """Give the request to the live lane with the fewest, one that stays if there is one.

        If it comes again, it goes on from what this message knows.
        """
        for head in self._heads.values():
            head.yield_request(connection, message.request)
        if not self._heads:
            self._links.give_back(connection, message, "no lane has its head at this rank")
            return
        head = min(self._heads.values(), key=self._unfitness)
        head.submit(connection, message)

    def cancel(self, connection: ConnectionId, request: bytes) -> None:
        for head in self._heads.values():
            head.cancel(connection, request)

    def on_closed(self, connection: ConnectionId) -> None:
        """A gateway has gone: nobody wants its requests any more."""
        for head in self._heads.values():
            head.on_closed(connection)

    def may_form(self, lane: Lane) -> bool:
        """Whether form_step() may find something to do."""
        head = self._heads.get(lane.lane)
        return head is not None and head.may_form

    def form_step(self, lane: int) -> bool:
        """Start the lane's next step if it is headed here and there is something to do."""
        head = self._heads.get(lane)
        return head is not None and head.form_step()

    def tick(self, now: float) -> None:
        for head in self._heads.values():
            head.tick(now)

    def next_deadline(self) -> float | None:
        earliest: float | None = None
        for head in self._heads.values():
            earliest = sooner(earliest, head.next_deadline())
        return earliest

    def _unfitness(self, head: Head) -> tuple[bool, bool, int]:
        return head.lane.lane in self._draining, not head.is_live, head.num_requests

    def _start(self, lane: Lane) -> None:
        term = self._next_term(lane)
        if term is not None:
            head = self._heads[lane.lane] = self._make_head(lane)
            head.restart(term)

    def _make_head(self, lane: Lane) -> Head:
        return Head(lane, self._settings, self._links)

    def _next_term(self, lane: Lane) -> int | None:
        return next_term(lane.highest_term, epoch=self._epoch, incarnation=self._incarnation)

"""A rank's side of one lane: an ordered log of steps, in lives that are numbered by terms.

A life begins with a Reset that travels once around the ring. Each rank of the ring accepts it (dropping the KV cache,
and nothing but a Reset or losing the seat drops it), then forwards it exactly once, to exactly one seat, as soon as it
is connected to it. So for each term there is at most one path of ranks that know it, every one of them with an empty
cache, and along it:
* steps are executed in the order of their numbers, without a gap and without repetition, or not at all (Broken);
* a lower or unknown term is refused, so the ranks of an older path, or an older head, can at most finish what is their
  own;
* what goes out before the Reset could be forwarded waits behind it: while the next seat is being replaced the ranks
  before it compute again already;
* whatever ends the path ends the life: the next seat's connection is lost, the view seats the lane elsewhere, the next
  seat says Broken. This goes up the path, against the ring, to the head, which starts a higher term. Said more than
  once it changes nothing.

`Broken(term)` from the seat this rank forwarded that same term to means "it cannot go on". From anybody, a term above
the own means "you are overtaken": it is passed up so that an old head learns it, and it cannot end the life that it
names, because the receiver is not that life's path or does not count the sender as its next seat. A seat that is not
this rank's by its own view keeps the highest Reset until it is, and the steps behind it.
"""

from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum

from moe_wire.messages import Broken, Payload, Reset, Step, Tokens
from moe_worker.protocol.compute import Compute, Sampled
from moe_worker.protocol.execution import Execution
from moe_worker.protocol.links import LOCAL, Links
from moe_worker.protocol.requests import Requests
from moe_worker.protocol.transport import ConnectionId

TokenLists = Sequence[Sequence[int]]
HOLD_SECONDS = 2.0
"""For so long steps may wait for the view that gives the lane to this rank; else an older view has sent them."""


class State(Enum):
    """How far this rank is in the life `Lane.term`."""

    CLOSED = "no life here"
    HELD = "accepted, not yet forwarded: what is computed waits here"
    OPEN = "forwarded: steps flow"
    BROKEN = "cannot go on, and the head has been told"


class Lane:
    """`report` tells towards the head that a term is broken or overtaken; it is always the last thing a method does.
    `may_hold` says whether the rank has room for the steps of one more lane that it has no seat of yet.

    `breaks` counts by their causes the lives that ended here: "moved" (the next seat did), "lost" (the connection to
    it), "order" (a step came out of it), "told" (by the next seat, or of a higher term), "unseated".
    """

    def __init__(
        self,
        lane: int,
        layers: range,
        compute: Compute,
        requests: Requests,
        links: Links,
        report: Callable[["Lane", int], None],
        may_hold: Callable[[], bool],
    ) -> None:
        self.lane = lane
        self.term = 0
        self.highest_term = 0
        self.upstream: ConnectionId = LOCAL
        self.state = State.CLOSED
        self.is_seated = False
        self.breaks: dict[str, int] = {}
        self._layers = layers
        self._compute = compute
        self._requests = requests
        self._links = links
        self._report = report
        self._may_hold = may_hold
        self._next_seat: int | None = None
        self._expected_step = 1
        self._inbox: deque[tuple[Step, TokenLists | None]] = deque()
        self._active: Execution | None = None
        self._outbox: list[Step | Tokens] = []
        self._held_reset: tuple[int, ConnectionId] | None = None
        self._held_steps: list[Step] = []
        self._held_until = 0.0

    # What the view says.

    def seat(self) -> None:
        """The view gives this lane to this rank."""
        if self.is_seated:
            return
        self.is_seated = True
        if self._held_reset is not None:
            (term, connection), steps = self._held_reset, self._held_steps
            self._held_reset, self._held_steps = None, []
            if term == self.highest_term:
                self._accept(term, connection)
                for step in steps:
                    self.on_step(step, connection)

    def unseat(self) -> None:
        """The view gives this lane to another: its cache here is of no more use to anyone."""
        if not self.is_seated:
            return
        self.is_seated = False
        was_alive = self.state in (State.HELD, State.OPEN)
        self._abandon()
        if self.state is not State.CLOSED:
            self._compute.drop_lane(self.lane)
            self.state = State.CLOSED
        if was_alive:
            self._count("unseated")
            self._report(self, self.term)

    def follow(self, next_seat: int | None) -> None:
        """The view names the lane's seat in the next stage."""
        moved = next_seat != self._next_seat
        self._next_seat = next_seat
        if self.state is State.HELD:
            self._forward()
        elif self.state is State.OPEN and moved:
            self._break(self.term, "moved")

    # What happens on the ring.

    def on_reset(self, term: int, connection: ConnectionId) -> None:
        if term <= self.highest_term:
            self._links.reply(connection, Broken(self.lane, self.highest_term))
            return
        self.highest_term = term
        if self.is_seated:
            self._accept(term, connection)
        else:
            self._held_reset, self._held_steps, self._held_until = (term, connection), [], 0.0

    def on_step(self, step: Step, connection: ConnectionId) -> None:
        if self._held_reset == (step.term, connection):
            self._hold(step)
        elif step.term != self.term or self.state not in (State.HELD, State.OPEN):
            self._links.reply(connection, Broken(self.lane, max(step.term, self.highest_term)))
        elif step.step != self._expected_step:
            self._break(self.term, "order")
        else:
            self.take(step, None)

    def on_broken(self, peer: int, term: int) -> None:
        """The peer, asked by this rank, says that a term is broken or that there is a higher one."""
        self.hear(term)
        ends_own = term == self.term and peer == self._next_seat and self.state is State.OPEN
        overtaken = term > self.term and self.state is not State.CLOSED
        if ends_own or overtaken:
            self._break(term, "told")

    def hear(self, term: int) -> None:
        """Somebody lives, or lived, under this term."""
        self.highest_term = max(self.highest_term, term)

    @property
    def holds_steps(self) -> bool:
        """Of a life for which this rank has no seat yet."""
        return bool(self._held_steps)

    def tick(self, now: float) -> None:
        """Do what was due by `now`."""
        if not self._held_steps:
            return
        if not self._held_until:
            self._held_until = now + HOLD_SECONDS
        elif now >= self._held_until:
            self.turn_away()

    def next_deadline(self) -> float | None:
        """At once where steps have just come to be held."""
        return self._held_until if self._held_steps else None

    def turn_away(self) -> None:
        """Refuse the life for which this rank has no seat yet."""
        if self._held_reset is not None:
            (term, connection), self._held_reset, self._held_steps = self._held_reset, None, []
            self._links.reply(connection, Broken(self.lane, term))

    def on_connected(self, peer: int) -> None:
        if self.state is State.HELD and peer == self._next_seat:
            self._forward()

    def on_lost(self, peer: int) -> None:
        if self.state is State.OPEN and peer == self._next_seat:
            self._break(self.term, "lost")

    def on_answer(self, expert: int, rows: Payload) -> bool:
        """An expert's answer that counts; True if the lane can advance by it."""
        assert self._active is not None
        return self._active.on_answer(expert, rows)

    # What the rank does.

    def restart(self, term: int) -> None:
        """Begin the life `term` with an empty cache. The head calls this; elsewhere a Reset does."""
        assert term > self.term, "a life begins above all earlier ones"
        assert self.is_seated
        self._abandon()
        if self.state is not State.CLOSED:
            self._compute.drop_lane(self.lane)
        self._compute.open_lane(self.lane)
        self.term = term
        self.hear(term)
        self._expected_step = 1
        self.state = State.HELD
        self._forward()

    def take(self, step: Step, tokens: TokenLists | None) -> None:
        """Append the next step to the log. In the first stage the head gives it, with its tokens."""
        self._expected_step += 1
        self._inbox.append((step, tokens))

    @property
    def is_idle(self) -> bool:
        return self._active is None and not self._inbox

    @property
    def can_advance(self) -> bool:
        return bool(self._inbox) if self._active is None else self._active.is_ready

    @property
    def num_rows(self) -> int:
        """Rows of the steps that wait, to be begun or to go out, or are under way."""
        steps = [*self._held_steps, *(step for step, _ in self._inbox)]
        steps += [message for message in self._outbox if isinstance(message, Step)]
        if self._active is not None:
            steps.append(self._active.step)
        return sum(segment.count for step in steps for segment in step.segments)

    def advance(self) -> None:
        """Begin the next step, or take the one under way one layer further; hand it on when it is through."""
        if self._active is None:
            step, tokens = self._inbox.popleft()
            self._active = Execution(self._compute, self._requests, self._layers, step)
            self._active.begin(tokens, None if tokens is not None else step.hidden)
            return
        outcome = self._active.advance()
        if outcome is not None:
            step, self._active = self._active.step, None
            self._hand_on(step, outcome)

    def _hand_on(self, step: Step, outcome: Payload | Sampled) -> None:
        message: Step | Tokens
        if isinstance(outcome, Payload):
            message = Step(step.lane, step.term, step.step, step.segments, step.freed, outcome, step.packed)
        else:
            message = Tokens(step.lane, step.term, step.step, outcome.tokens, outcome.logprobs, outcome.scored)
        if self.state is State.HELD:
            self._outbox.append(message)
            return
        assert self._next_seat is not None
        self._links.send(self._next_seat, message)

    def _hold(self, step: Step) -> None:
        if self._held_steps or self._may_hold():
            self._held_steps.append(step)
        else:
            self.turn_away()

    def _accept(self, term: int, connection: ConnectionId) -> None:
        if connection != self.upstream and self.state is not State.CLOSED:
            self._links.reply(self.upstream, Broken(self.lane, term))
        self.upstream = connection
        self.restart(term)

    def _forward(self) -> None:
        if self._next_seat is not None and self._links.is_connected(self._next_seat):
            self.state = State.OPEN
            waiting, self._outbox = self._outbox, []
            for message in (Reset(self.lane, self.term), *waiting):
                self._links.send(self._next_seat, message)

    def _break(self, term: int, cause: str) -> None:
        if self.state in (State.HELD, State.OPEN):
            self._count(cause)
        self.state = State.BROKEN
        self._abandon()
        self._report(self, term)

    def _count(self, cause: str) -> None:
        self.breaks[cause] = self.breaks.get(cause, 0) + 1

    def _abandon(self) -> None:
        self._inbox.clear()
        self._outbox.clear()
        if self._active is not None:
            self._active.abandon()
            self._active = None

"""A lane's head: admits requests, forms the steps of the lane's current life, and gives the sampled tokens out.

All that a request is, is its tokens. A life that breaks costs work, never a token: every running sequence goes back to waiting and is
computed again from its tokens in the next life, and as sampling is a pure function of (parameters, tokens, seed, position), it goes on as if
nothing had happened. Tokens count only in the order of the steps of the current term.

Two heads of one lane may be alive at once. Each emits right tokens only, the older one until a rank of its path has accepted a higher term
and says so; then it returns its requests. A gateway takes tokens by position, so a token that both emit is one token.
"""

from moe_wire.messages import DType, Emitted, Payload, Returned, Step, Submit, Tokens
from moe_worker.protocol.lane import Lane
from moe_worker.protocol.limits import refusal
from moe_worker.protocol.links import Links
from moe_worker.protocol.scheduler import Scheduler
from moe_worker.protocol.sequence import Sequence
from moe_worker.protocol.settings import Settings
from moe_worker.protocol.status import LaneStatus
from moe_worker.protocol.transport import ConnectionId

_NOTHING = Payload(DType.FLOAT32, (0,), b"")


class Head:
    """One lane as its head sees it. Steps flow once the Reset of the current term has come round the ring (`is_live`)."""

    def __init__(self, lane: Lane, settings: Settings, links: Links) -> None:
        self.lane = lane
        self.is_live = False
        self._settings = settings
        self._links = links
        self._sequences: dict[bytes, Sequence] = {}
        self._last_step = 0
        self._finished_steps = 0
        self._may_form = False
        self._scheduler = Scheduler(
            block_size=settings.block_size, num_blocks=settings.blocks_per_lane, max_step_tokens=settings.max_step_tokens
        )

    @property
    def num_requests(self) -> int:
        return len(self._sequences)

    @property
    def steps_in_flight(self) -> int:
        return self._last_step - self._finished_steps

    # Requests.

    def submit(self, connection: ConnectionId, submit: Submit) -> None:
        """Take a request over, or refuse it. Submitted again, it belongs to the newer connection and starts from what that knows."""
        refused = refusal(submit, self._settings)
        if refused is not None:
            self._links.reply(connection, refused)
            return
        self.cancel(submit.request)
        sequence = Sequence(submit, connection)
        self._sequences[submit.request] = sequence
        self._scheduler.add(sequence)
        self._may_form = True

    def holds(self, request: bytes) -> bool:
        return request in self._sequences

    def cancel(self, request: bytes) -> None:
        sequence = self._sequences.pop(request, None)
        if sequence is not None:
            self._scheduler.remove(sequence)
            self._may_form = True

    def on_closed(self, connection: ConnectionId) -> None:
        for request in [request for request, sequence in self._sequences.items() if sequence.connection == connection]:
            self.cancel(request)

    def return_all(self, reason: str) -> None:
        """Give every request back, to be continued by another lane."""
        for request, sequence in list(self._sequences.items()):
            self._links.reply(sequence.connection, Returned(request, reason))
            self.cancel(request)

    # Lives.

    def restart(self, term: int) -> None:
        """Begin a new life of the lane and send its Reset on its way."""
        self.is_live = False
        self._last_step = self._finished_steps = 0
        self._scheduler.restart()
        self.lane.restart(term)

    def on_reset_returned(self) -> None:
        """Every rank of the ring has an empty cache for the current term: steps may flow."""
        self.is_live = True
        self._may_form = True

    # Steps.

    def form_step(self) -> bool:
        """Put the next step into the lane's log, if one may start and there is something to do."""
        has_room = self.steps_in_flight < self._settings.max_steps_in_flight
        if not (self._may_form and self.is_live and has_room and self.lane.is_idle):
            return False
        micro = self._scheduler.form()
        if micro is None:
            self._may_form = False
            return False
        self._last_step += 1
        step = Step(self.lane.lane, self.lane.term, self._last_step, micro.segments, micro.freed, _NOTHING)
        self.lane.take(step, micro.tokens)
        return True

    def on_tokens(self, message: Tokens) -> bool:
        """A step of the current term has come round. False if another one had to come first: the life is broken."""
        if not self.is_live or message.step != self._finished_steps + 1:
            return False
        self._finished_steps += 1
        self._may_form = True
        for number, token in message.tokens:
            self._emit(number, token)
        return True

    def status(self) -> LaneStatus:
        return LaneStatus(
            lane=self.lane.lane,
            term=self.lane.term,
            live=self.is_live,
            waiting=self._scheduler.num_waiting,
            running=self._scheduler.num_running,
            steps_in_flight=self.steps_in_flight,
            blocks_used=self._scheduler.blocks_used,
        )

    def _emit(self, number: int, token: int) -> None:
        sequence = self._scheduler.accept(number, token)
        if sequence is None:
            return
        finish = sequence.finish
        self._links.reply(sequence.connection, Emitted(sequence.request, sequence.num_generated - 1, token, finish))
        if finish:
            self.cancel(sequence.request)

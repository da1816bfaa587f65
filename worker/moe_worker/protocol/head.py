"""A lane's head: admits requests, forms the steps of the lane's current life, and gives the sampled tokens out.

All that a request is, is its tokens. A life that breaks costs work, never a token: every running sequence goes back to
waiting and is computed again from its tokens in the next life, and as sampling is a pure function of (parameters,
tokens, seed, position), it goes on as if nothing had happened. Tokens count only in the order of the steps of the
current term.

Two heads of one lane may be alive at once. Each emits right tokens only, the older one until a rank of its path has
accepted a higher term and says so; then it returns its requests. A gateway takes tokens by position, so a token that
both emit is one token.
"""

from moe_wire.messages import (
    NO_TOKEN,
    NOT_FINITE,
    DType,
    Emitted,
    Logprobs,
    Payload,
    Refused,
    Scored,
    Step,
    Submit,
    Tokens,
)
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
    """One lane as its head sees it. `is_live`: the Reset of the current term has come round.

    Steps follow the Reset at once, so that what is intact of the lane computes while the rest is mended: as many as may
    be in flight less those that earlier lives may have left on the links (`_left_behind`), which a Reset that comes
    round has swept away.
    """

    def __init__(self, lane: Lane, settings: Settings, links: Links) -> None:
        self.lane = lane
        self.is_live = False
        self._settings = settings
        self._links = links
        self._sequences: dict[bytes, Sequence] = {}
        self._last_step = 0
        self._finished_steps = 0
        # An earlier head's, which nobody here knows.
        self._left_behind = settings.max_steps_in_flight
        self._may_form = False
        self._has_progressed = True
        self._gives_up_at = 0.0
        self._scheduler = Scheduler(
            block_size=settings.block_size,
            num_blocks=settings.blocks_per_lane,
            max_step_tokens=settings.max_step_tokens,
        )

    @property
    def num_requests(self) -> int:
        return len(self._sequences)

    @property
    def tokens_admitted(self) -> int:
        return self._scheduler.tokens_admitted

    @property
    def steps_in_flight(self) -> int:
        return self._last_step - self._finished_steps

    # Requests.

    def submit(self, connection: ConnectionId, submit: Submit) -> None:
        """Take a request over, or refuse it."""
        refused = refusal(submit, self._settings, self._scheduler.num_waiting)
        if refused is not None:
            self._links.reply(connection, refused)
            return
        sequence = Sequence(submit, connection)
        if submit.generated:
            self._links.note(submit, f"goes on in lane {self.lane.lane} after {len(submit.generated)} tokens")
        elif self._settings.log_requests:
            self._links.note(submit, f"begins in lane {self.lane.lane} with {len(submit.prompt)} tokens")
        if not self._sequences:
            self._has_progressed, self._gives_up_at = True, 0.0
        self._sequences[submit.request] = sequence
        self._scheduler.add(sequence)
        self._may_form = True

    def cancel(self, connection: ConnectionId, request: bytes) -> None:
        """Drop a request, unless it has come again over another connection since."""
        sequence = self._sequences.get(request)
        if sequence is not None and sequence.connection == connection:
            self._drop(sequence)

    def yield_request(self, connection: ConnectionId, request: bytes) -> None:
        """The request comes again over this connection: the one that brought it before is told not to wait."""
        sequence = self._sequences.get(request)
        if sequence is not None:
            if sequence.connection != connection:
                self._links.give_back(sequence.connection, sequence, "submitted again over another connection")
            self._drop(sequence)

    def on_closed(self, connection: ConnectionId) -> None:
        for sequence in [one for one in self._sequences.values() if one.connection == connection]:
            self._links.note(sequence, "dropped: its gateway's connection is gone")
            self._drop(sequence)

    def return_all(self, reason: str) -> None:
        """Give every request back, to be continued by another lane."""
        for sequence in list(self._sequences.values()):
            self._links.give_back(sequence.connection, sequence, reason)
            self._drop(sequence)

    # Lives.

    def restart(self, term: int) -> None:
        """Begin a new life of the lane and send its Reset on its way."""
        self.is_live = False
        self._may_form = True
        self._left_behind += self.steps_in_flight
        self._last_step = self._finished_steps = 0
        self._scheduler.restart()
        self.lane.restart(term)

    def on_reset_returned(self) -> None:
        """Every rank of the ring has an empty cache for the current term."""
        self.is_live = True
        self._left_behind = 0
        self._may_form = True
        self._has_progressed = True

    # Steps.

    @property
    def may_form(self) -> bool:
        """Whether a step may start, for all that is known without looking for something to do."""
        has_room = self.steps_in_flight + self._left_behind < self._settings.max_steps_in_flight
        return self._may_form and has_room and self.lane.is_idle

    def form_step(self) -> bool:
        """Put the next step into the lane's log, if one may start and there is something to do."""
        if not self.may_form:
            return False
        micro = self._scheduler.form(more_to_come=self.steps_in_flight > 0)
        if micro is None:
            self._may_form = False
            return False
        self._last_step += 1
        step = Step(self.lane.lane, self.lane.term, self._last_step, micro.segments, micro.freed, _NOTHING)
        self.lane.take(step, micro.tokens)
        return True

    def on_tokens(self, message: Tokens) -> bool:
        """A step of the current term has come round. False if it is not the next one due: the life is broken."""
        if not self.is_live or not self.steps_in_flight or message.step != self._finished_steps + 1:
            return False
        self._finished_steps += 1
        self._may_form = True
        self._has_progressed = True
        for number, scores in message.scored:
            self._tell(number, scores)
        logprobs = message.logprobs or (None,) * len(message.tokens)
        for (number, token), logprob in zip(message.tokens, logprobs, strict=True):
            if token == NO_TOKEN:
                self._fail(number)
            else:
                self._emit(number, token, logprob)
        return True

    # Patience.

    def next_deadline(self) -> float | None:
        return self._gives_up_at if self._sequences else None

    def tick(self, now: float) -> None:
        """Return what waits here in vain. News move the deadline, but only once it is due: most steps touch nothing."""
        if not self._sequences or now < self._gives_up_at:
            return
        if self._has_progressed:
            self._has_progressed = False
            self._gives_up_at = now + self._settings.patience_seconds
        else:
            self.return_all(f"nothing has come round the lane for {self._settings.patience_seconds:g} s")

    def load(self) -> tuple[int, int, int, int, int, int]:
        """What the lane has to do, as Load has it, asked for at every beat."""
        scheduler, pool = self._scheduler, self._scheduler.pool
        return (
            scheduler.num_waiting,
            scheduler.num_running,
            pool.num_blocks,
            pool.num_used,
            scheduler.tokens_admitted,
            scheduler.tokens_found,
        )

    def status(self) -> LaneStatus:
        pool = self._scheduler.pool
        return LaneStatus(
            lane=self.lane.lane,
            term=self.lane.term,
            live=self.is_live,
            waiting=self._scheduler.num_waiting,
            running=self._scheduler.num_running,
            steps_in_flight=self.steps_in_flight,
            blocks=pool.num_blocks,
            blocks_used=pool.num_used,
            blocks_cached=pool.num_cached,
            tokens_admitted=self.tokens_admitted,
            tokens_found=self._scheduler.tokens_found,
        )

    def _emit(self, number: int, token: int, logprobs: Logprobs | None) -> None:
        sequence = self._scheduler.accept(number, token)
        if sequence is None:
            return
        finish = sequence.finish
        position = sequence.num_generated - 1
        self._links.reply(sequence.connection, Emitted(sequence.request, position, token, finish, logprobs))
        if finish:
            if self._settings.log_requests:
                text = f"ends in lane {self.lane.lane} after {sequence.num_generated} tokens: {finish}"
                self._links.note(sequence, text)
            self._drop(sequence)

    def _fail(self, number: int) -> None:
        """It would fail in every lane alike; the others of this one go on."""
        sequence = self._scheduler.running(number)
        if sequence is not None:
            text = (
                f"After {len(sequence.tokens)} tokens the model's numbers are infinite or NaN, which no token can be "
                "chosen from. Check the checkpoint, or set spec.model.dtype to a wider type."
            )
            self._links.note(sequence, f"failed: {text}")
            self._links.reply(sequence.connection, Refused(sequence.request, NOT_FINITE, text))
            self._drop(sequence)

    def _tell(self, number: int, scores: tuple[Logprobs, ...]) -> None:
        """What the model thought of the prompt; before the token that comes after it, which may be in the same step."""
        sequence = self._scheduler.running(number)
        if sequence is not None:
            position = sequence.count_scored(len(scores))
            self._links.reply(sequence.connection, Scored(sequence.request, position, scores))

    def _drop(self, sequence: Sequence) -> None:
        """Its blocks are available at once; tokens still to come for it fall through."""
        del self._sequences[sequence.request]
        self._scheduler.remove(sequence)
        self._may_form = True

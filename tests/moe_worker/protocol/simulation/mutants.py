"""Cores that break one rule each. The simulation must find every one of them, or it would not find our own mistakes
either.

Each mutant swaps one of the core's collaborators for a subclass, as it would be composed; production code knows
nothing of this.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from moe_wire.messages import NotHere, Result, Step, Tokens
from moe_worker.protocol.head import Head
from moe_worker.protocol.heads import Heads
from moe_worker.protocol.lane import Lane, State
from moe_worker.protocol.rank import RankCore
from moe_worker.protocol.requests import Requests
from moe_worker.protocol.scheduler import Scheduler
from moe_worker.protocol.sequence import Sequence
from tests.moe_worker.protocol.simulation import faults

MakeCore = Callable[..., RankCore]


def with_lane(lane_type: type[Lane]) -> MakeCore:
    class Core(RankCore):
        def _make_lane(self, number: int) -> Lane:
            lane = super()._make_lane(number)
            lane.__class__ = lane_type
            return lane

    return Core


def with_requests(requests_type: type[Requests]) -> MakeCore:
    class Core(RankCore):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self._requests = requests_type(self._links)

    return Core


def with_heads(heads_type: type[Heads]) -> MakeCore:
    class Core(RankCore):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self._heads = heads_type(self.identity.incarnation, self.settings, self._links)

    return Core


def with_scheduler(scheduler_type: type[Scheduler]) -> MakeCore:
    class OwnHeads(Heads):
        def _make_head(self, lane: Lane) -> Head:
            head = super()._make_head(lane)
            head._scheduler.__class__ = scheduler_type
            return head

    return with_heads(OwnHeads)


class AcceptsAnyAnswer(Requests):
    """Counts an answer whatever step, term and attempt it belongs to."""

    def _matching(self, peer: int, answer: Result | NotHere) -> Any:
        return self._outstanding.get((answer.lane, answer.expert))


class AcceptsOldAttempt(Requests):
    """Counts an answer of an earlier attempt of the same sub-batch."""

    def _matching(self, peer: int, answer: Result | NotHere) -> Any:
        asked = self._outstanding.get((answer.lane, answer.expert))
        if asked is not None and (asked.message.term, asked.message.step) == (answer.term, answer.step):
            return asked
        return None


class SkipsResend(Requests):
    """Does not ask again when the connection to the host is lost."""

    def on_lost(self, peer: int) -> None:
        self._owed = {debt for debt in self._owed if debt[0] != peer}


class AsksInDebt(Requests):
    """Asks a host again though it still owes the answer to an abandoned question."""

    def _owe(self, asked: Any) -> None:
        pass


class LeavesHole(Lane):
    """Goes on when an answer is missing."""

    @property
    def can_advance(self) -> bool:
        return bool(self._inbox) if self._active is None else True


class AcceptsLowerTerm(Lane):
    """Begins a life that an older one's head asks for."""

    def on_reset(self, term: int, connection: int) -> None:
        self.highest_term = self.term = min(self.term, term - 1)
        super().on_reset(term, connection)


class ExecutesForeignTerm(Lane):
    """Executes a step whatever life it belongs to."""

    def on_step(self, step: Step, connection: int) -> None:
        if self.state is State.OPEN:
            self.take(step, None)


class DoesNotForward(Lane):
    """Keeps the Reset to itself."""

    def _forward(self) -> None:
        self.state = State.OPEN


class KeepsCache(Lane):
    """Does not drop the KV cache at a Reset."""

    def restart(self, term: int) -> None:
        if self.state is State.CLOSED:
            super().restart(term)
            return
        self._abandon()
        self.term = self.highest_term = term
        self._expected_step = 1
        self.state = State.HELD
        self._forward()


class IgnoresGap(Lane):
    """Takes neither the loss of the link nor a missing step for a break. (Each is the other's second guard.)"""

    def on_lost(self, peer: int) -> None:
        pass

    def on_step(self, step: Step, connection: int) -> None:
        self._expected_step = step.step
        super().on_step(step, connection)

    def _hand_on(self, step: Step, outcome: Any) -> None:
        if self._next_seat is not None and self._links.is_connected(self._next_seat):
            super()._hand_on(step, outcome)


class IgnoresBroken(Lane):
    """Does not pass on what the next seat says."""

    def on_broken(self, peer: int, term: int) -> None:
        pass


class StaysWithOldSeat(Lane):
    """Goes on with the next seat of before, whatever the view says."""

    def follow(self, next_seat: int | None) -> None:
        if self._next_seat is None:
            super().follow(next_seat)


class AbandonsNothing(Lane):
    """Leaves the sub-batches of a step that a Reset ended outstanding."""

    def _abandon(self) -> None:
        self._inbox.clear()
        self._outbox.clear()
        self._active = None


class HoldsNothing(Lane):
    """Forgets the steps behind a Reset for a seat that is not its own yet."""

    def _hold(self, step: Step) -> None:
        pass


class ForgetsLeftBehind(Heads):
    """Fills the links anew in each life, whether or not a Reset has swept them."""

    def on_broken(self, lane: Lane, term: int) -> None:
        super().on_broken(lane, term)
        if lane.lane in self._heads:
            self._heads[lane.lane]._left_behind = 0


class TakesAnyTokens(Heads):
    """Counts tokens of whatever life."""

    def on_tokens(self, message: Tokens) -> None:
        head = self._heads.get(message.lane)
        if head is not None:
            head.on_tokens(Tokens(message.lane, head.lane.term, head._finished_steps + 1, message.tokens))


class ReusesTerm(Heads):
    """Forgets which terms were used before."""

    def _next_term(self, lane: Lane) -> int | None:
        lane.term = lane.highest_term = 0
        return super()._next_term(lane)


class KeepsProgress(Scheduler):
    """Does not compute again what the lost caches held."""

    def restart(self) -> None:
        self._freed.clear()


class LeaksBlocks(Scheduler):
    """Forgets to take blocks back."""

    def _release(self, sequence: Sequence) -> None:
        sequence.blocks = sequence.blocks[:-1]
        super()._release(sequence)


class ForgetsFreed(Scheduler):
    """Does not tell the lane's ranks whose blocks came back."""

    def _release(self, sequence: Sequence) -> None:
        super()._release(sequence)
        self._freed.clear()


class SharesUnwritten(Scheduler):
    """Shares a block that is still being written: it counts as full as soon as its sequence runs."""

    def _start(self, sequence: Sequence, found: list[int]) -> None:
        super()._start(sequence, found)
        for block, name in zip(sequence.blocks, sequence.block_names(self._block_size), strict=False):
            self.pool.keep(block, name)


class KeepsIndex(Scheduler):
    """Shares after a reset what the caches held before it."""

    def restart(self) -> None:
        for sequence in list(self._running.values()):
            self._put_back(sequence)
        self._freed.clear()


class GivesBackShared(Scheduler):
    """Takes a sequence's blocks back though others share them."""

    def _release(self, sequence: Sequence) -> None:
        for block in sequence.blocks:
            while self.pool.references(block) > 1:
                self.pool.give_back([block])
        super()._release(sequence)


class TellsOnce(Scheduler):
    """Believes that the last stage remembers a sequence's tokens when it runs again."""

    def _release(self, sequence: Sequence) -> None:
        num_told = sequence.num_told
        super()._release(sequence)
        sequence.num_told = num_told


class MixesLogprobs(Heads):
    """Gives a token the logprobs of another."""

    def on_tokens(self, message: Tokens) -> None:
        super().on_tokens(replace(message, logprobs=message.logprobs[::-1]))


@dataclass(frozen=True, slots=True)
class Mutant:
    """`menu`: the faults under which the broken rule matters most, so that few histories suffice."""

    make_core: MakeCore
    menu: faults.Menu = faults.FAULTS


_COPIES = (faults.change_copies,)
_SEATS = (faults.replace_pod, faults.cut_connection, faults.move_lane)

MUTANTS: dict[str, Mutant] = {
    "accepts any answer": Mutant(with_requests(AcceptsAnyAnswer)),
    "accepts an old attempt": Mutant(with_requests(AcceptsOldAttempt), _COPIES),
    "skips the resend": Mutant(with_requests(SkipsResend)),
    "asks in debt": Mutant(with_requests(AsksInDebt)),
    "leaves a hole": Mutant(with_lane(LeavesHole)),
    "accepts a lower term": Mutant(with_lane(AcceptsLowerTerm), _SEATS),
    "executes a foreign term": Mutant(with_lane(ExecutesForeignTerm), _SEATS),
    "does not forward the reset": Mutant(with_lane(DoesNotForward)),
    "keeps the cache": Mutant(with_lane(KeepsCache)),
    "ignores a gap": Mutant(with_lane(IgnoresGap)),
    "ignores broken": Mutant(with_lane(IgnoresBroken)),
    "stays with the old seat": Mutant(with_lane(StaysWithOldSeat)),
    "abandons nothing": Mutant(with_lane(AbandonsNothing)),
    "holds nothing": Mutant(with_lane(HoldsNothing)),
    "forgets what was left behind": Mutant(with_heads(ForgetsLeftBehind), (faults.cut_connection,)),
    "takes any tokens": Mutant(with_heads(TakesAnyTokens), _SEATS),
    "reuses a term": Mutant(with_heads(ReusesTerm)),
    "keeps progress": Mutant(with_scheduler(KeepsProgress)),
    "leaks blocks": Mutant(with_scheduler(LeaksBlocks)),
    "forgets what was freed": Mutant(with_scheduler(ForgetsFreed)),
    "shares a block that is still being written": Mutant(with_scheduler(SharesUnwritten)),
    "keeps the index over a reset": Mutant(with_scheduler(KeepsIndex)),
    "gives back what is shared": Mutant(with_scheduler(GivesBackShared)),
    "tells the history once": Mutant(with_scheduler(TellsOnce)),
    "mixes the logprobs up": Mutant(with_heads(MixesLogprobs)),
}

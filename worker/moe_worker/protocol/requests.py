"""The requester's side of experts: every sub-batch asked is answered exactly once, however often it has to be sent.

Why this is safe. A step waits for all its sub-batches, so it is never finished with a hole. A sub-batch is sent again
under a new attempt number, and only the answer of the outstanding attempt, from the host it was sent to, counts: late,
repeated and crossed answers fall through. As any holder of an expert gives the same rows, it does not matter which
attempt wins. Names never repeat: a lane's terms grow, its steps grow within a term, and an answer can only come back
on this process's own connections.

Why it is bounded. At most one Dispatch for each (host, lane, expert) is unanswered on a connection: an abandoned one
(`_owed`) must be answered, or its connection lost, before that host is asked again for that lane and expert.

Why it goes on. A sub-batch without a usable host waits, shown by `stalled`, and is looked at again when a host
connects, the view changes, a debt is paid, or 20 ms after the last of its hosts refused it.
"""

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from moe_wire.messages import Dispatch, NotHere, Result, Step
from moe_worker.protocol.compute import Routed
from moe_worker.protocol.links import Links

_REFUSED_RETRY_SECONDS = 0.02


class _Asked:
    """One sub-batch that waits for its answer. `host` is who was asked last, None while nobody can be; `message` is
    what was said, under attempt 0 before anybody was asked.

    `refused_by` are not asked again before there is news or a retry: while it keeps all hosts away, a retry is due.
    """

    __slots__ = ("host", "message", "refused_by")

    def __init__(self, message: Dispatch, host: int | None) -> None:
        self.message = message
        self.host = host
        self.refused_by: tuple[int, ...] = ()


class Requests:
    """All outstanding sub-batches of this rank. A lane asks one layer at a time: (lane, expert) names at most one.

    `num_sent_again` counts how often one had to be sent once more. `_usual` are the experts' hosts where there is no
    choice: of all sub-batches, nearly all go there without a further thought.
    """

    def __init__(self, links: Links) -> None:
        self._links = links
        self._hosts: Mapping[int, tuple[int, ...]] = {}
        self._usual: dict[int, int] = {}
        self._outstanding: dict[tuple[int, int], _Asked] = {}
        self._owed: set[tuple[int, int, int]] = set()
        self._retries: deque[tuple[float, _Asked]] = deque()
        self.num_sent_again = 0

    @property
    def num_outstanding(self) -> int:
        return len(self._outstanding)

    @property
    def num_rows(self) -> int:
        return sum(asked.message.rows.num_rows for asked in self._outstanding.values())

    @property
    def stalled(self) -> tuple[int, ...]:
        """Experts that sub-batches wait for without anyone having been asked."""
        return tuple(sorted({asked.message.expert for asked in self._outstanding.values() if asked.host is None}))

    def ask(self, step: Step, layer: int, routed: Sequence[Routed]) -> None:
        """Have the experts of this layer run over the step's rows that were sent to them."""
        lane, term, number = step.lane, step.term, step.step
        for one in routed:
            expert = one.expert
            host = None if self._owed else self._usual.get(expert)
            if host is None:
                asked = _Asked(Dispatch(lane, term, number, layer, expert, 0, one.rows), None)
                self._outstanding[lane, expert] = asked
                self._route(asked)
            else:
                message = Dispatch(lane, term, number, layer, expert, 1, one.rows)
                self._outstanding[lane, expert] = _Asked(message, host)
                self._links.send(host, message)

    def settle(self, peer: int, answer: Result) -> bool:
        """Whether this answer counts. If so the sub-batch is done with."""
        asked = self._matching(peer, answer)
        if asked is None:
            self._pay(peer, answer.lane, answer.expert)
            return False
        del self._outstanding[answer.lane, answer.expert]
        return True

    def refuse(self, peer: int, answer: NotHere, now: float) -> None:
        """The host has it not (yet, or no longer): ask another at once, or all of them again a little later."""
        asked = self._matching(peer, answer)
        if asked is None:
            self._pay(peer, answer.lane, answer.expert)
            return
        asked.host = None
        asked.refused_by += (peer,)
        self._route(asked)
        if asked.host is None:
            self._retries.append((now + _REFUSED_RETRY_SECONDS, asked))

    def abandon(self, lane: int, experts: Collection[int]) -> None:
        """The lane no longer wants these answers."""
        for expert in experts:
            asked = self._outstanding.pop((lane, expert), None)
            if asked is not None:
                self._owe(asked)

    def on_connected(self, peer: int) -> None:
        """Ask the peer for what waits for it, or is with a host that the view has given up."""
        self._find_usual()
        for asked in list(self._outstanding.values()):
            if peer in self._named(asked) and asked.host not in self._named(asked):
                self._route(asked)

    def on_lost(self, peer: int) -> None:
        """All that was unanswered there is lost with the connection: ask others, or wait."""
        self._find_usual()
        self._owed = {debt for debt in self._owed if debt[0] != peer}
        for asked in list(self._outstanding.values()):
            if asked.host == peer:
                asked.host = None
                asked.refused_by = ()
                self._route(asked)

    def follow(self, hosts: Mapping[int, tuple[int, ...]]) -> None:
        """The view names these hosts. What is with one no longer named moves as soon as a named one can be reached."""
        self._hosts = hosts
        self._find_usual()
        for asked in list(self._outstanding.values()):
            if asked.host not in self._named(asked):
                asked.refused_by = ()
                self._route(asked)

    def tick(self, now: float) -> None:
        while self._retries and self._retries[0][0] <= now:
            _, asked = self._retries.popleft()
            asked.refused_by = ()
            if asked.host is None and self._is_outstanding(asked):
                self._route(asked)

    def next_deadline(self) -> float | None:
        return self._retries[0][0] if self._retries else None

    def _find_usual(self) -> None:
        self._usual = {}
        for expert, hosts in self._hosts.items():
            host = self._links.own_rank if self._links.own_rank in hosts else hosts[0] if len(hosts) == 1 else None
            if host is not None and self._links.is_connected(host):
                self._usual[expert] = host

    def _is_outstanding(self, asked: _Asked) -> bool:
        return self._outstanding.get((asked.message.lane, asked.message.expert)) is asked

    def _named(self, asked: _Asked) -> tuple[int, ...]:
        return self._hosts.get(asked.message.expert, ())

    def _matching(self, peer: int, answer: Result | NotHere) -> _Asked | None:
        asked = self._outstanding.get((answer.lane, answer.expert))
        if asked is None or asked.host != peer:
            return None
        message = asked.message
        is_same = message.attempt == answer.attempt and message.step == answer.step and message.term == answer.term
        return asked if is_same else None

    def _route(self, asked: _Asked) -> None:
        """Send it to the best host there is; with none it stays where it was."""
        host = self._choose(asked)
        if host is None:
            return
        if asked.message.attempt:
            self._owe(asked)
            self.num_sent_again += 1
        asked.host = host
        asked.message = replace(asked.message, attempt=asked.message.attempt + 1)
        self._links.send(host, asked.message)

    def _choose(self, asked: _Asked) -> int | None:
        """This rank itself, else the first usable host from the lane's own place on, so that lanes share the copies."""
        hosts, own_rank = self._named(asked), self._links.own_rank
        if own_rank in hosts and self._may_ask(own_rank, asked):
            return own_rank
        for index in range(len(hosts)):
            host = hosts[(asked.message.lane + index) % len(hosts)]
            if self._may_ask(host, asked):
                return host
        return None

    def _may_ask(self, host: int, asked: _Asked) -> bool:
        return (
            self._links.is_connected(host)
            and host not in asked.refused_by
            and (not self._owed or (host, asked.message.lane, asked.message.expert) not in self._owed)
        )

    def _owe(self, asked: _Asked) -> None:
        """The host asked last still has to answer, though it will not count."""
        if asked.host is not None:
            self._owed.add((asked.host, asked.message.lane, asked.message.expert))

    def _pay(self, peer: int, lane: int, expert: int) -> None:
        self._owed.discard((peer, lane, expert))
        waiting = self._outstanding.get((lane, expert))
        if waiting is not None and waiting.host is None:
            self._route(waiting)

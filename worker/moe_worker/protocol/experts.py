"""The host's side of experts: serves what it holds, keeps what waits for a load, and says not-here to the rest.

What waits for a load is kept only where nobody else serves the expert; else not-here sends it to the others at once.

Serving is pure: any holder gives the same rows for the same rows, whoever asks and whichever term, attempt or view
made them ask. So a host judges nothing, and answers every Dispatch exactly once (Result or NotHere) unless its
connection is lost first. It therefore never holds more than its requesters have unanswered: one sub-batch for each
(connection, lane, expert), see requests.py.
"""

from collections import deque
from collections.abc import Set

from moe_wire.messages import Dispatch, NotHere, Result
from moe_worker.protocol.compute import Compute
from moe_worker.protocol.links import Links
from moe_worker.protocol.transport import ConnectionId

_FIRST_RETRY_SECONDS = 1.0
_LONGEST_RETRY_SECONDS = 30.0
_POLL_SECONDS = 0.005


class Experts:
    """`held`, `loading`, `failed` (why the last load failed; it is tried again, ever more slowly) and `rows_served`
    (how many rows each expert was run over here so far) are only read; `num_changes` counts those of the first three,
    `num_rows_served` sums the last up, `num_passes` counts passes over weights. `ready` are the experts that run_one()
    may serve, in order.
    """

    def __init__(self, compute: Compute, links: Links) -> None:
        self._compute = compute
        self._links = links
        self._queues: dict[int, list[tuple[ConnectionId, Dispatch]]] = {}
        self.ready: deque[int] = deque()
        self._retries: dict[int, tuple[float, float]] = {}
        self._shared: Set[int] = frozenset()
        self._next_poll = 0.0
        self.held: set[int] = set()
        self.loading: set[int] = set()
        self.failed: dict[int, str] = {}
        self.rows_served: dict[int, int] = {}
        self.num_rows_served = 0
        self.num_passes = 0
        self.num_changes = 0

    @property
    def num_queued(self) -> int:
        return sum(map(len, self._queues.values()))

    @property
    def num_rows(self) -> int:
        return sum(message.rows.num_rows for queue in self._queues.values() for _, message in queue)

    def follow(self, wanted: Set[int], shared: Set[int], now: float) -> None:
        """Load what the view newly gives to this rank, drop what it takes away. `shared` are served by others too."""
        self._shared = shared
        for expert in (self.held | self.loading | self.failed.keys()) - wanted:
            self._drop(expert)
        for expert in sorted(wanted - self.held - self.loading - self.failed.keys()):
            self._load(expert, now)
        for expert in self.loading & shared:
            self._refuse_queue(expert)

    def on_dispatch(self, connection: ConnectionId, message: Dispatch) -> None:
        expert = message.expert
        queue = self._queues.get(expert)
        if queue is not None:
            queue.append((connection, message))
        elif expert in self.held:
            self._queues[expert] = [(connection, message)]
            self.ready.append(expert)
        elif expert in self.loading and expert not in self._shared:
            self._queues[expert] = [(connection, message)]
        else:
            self._refuse(connection, message)

    def on_closed(self, connection: ConnectionId) -> None:
        """Nobody will hear the answers: forget the questions."""
        for expert, queue in list(self._queues.items()):
            kept = [entry for entry in queue if entry[0] != connection]
            if kept:
                self._queues[expert] = kept
            else:
                del self._queues[expert]

    def run_one(self) -> bool:
        """Serve everything that waits for one expert, from all lanes, in one pass over its weights."""
        while self.ready:
            expert = self.ready.popleft()
            queue = self._queues.pop(expert, None)
            if queue is not None:
                self._serve(expert, queue)
                return True
        return False

    def tick(self, now: float) -> None:
        """Take note of loads that have ended, and start those again that are due."""
        if self.loading:
            self._next_poll = now + _POLL_SECONDS
        # Asked also while nothing loads: a wake-up that came just after the last load was told must be taken, or the
        # rank is woken for ever.
        for expert, error in self._compute.loaded():
            self._on_loaded(expert, error, now)
        if self._retries:
            for expert in [expert for expert, (due, _) in self._retries.items() if due <= now]:
                if expert not in self.loading:
                    self._load(expert, now)

    def next_deadline(self) -> float | None:
        if self.loading:
            return self._next_poll
        return min(due for due, _ in self._retries.values()) if self._retries else None

    def _serve(self, expert: int, queue: list[tuple[ConnectionId, Dispatch]]) -> None:
        answers = self._compute.expert(expert, [message.rows for _, message in queue])
        num_rows, reply = 0, self._links.reply
        for (connection, asked), rows in zip(queue, answers, strict=True):
            num_rows += rows.shape[0]
            reply(connection, Result(asked.lane, asked.term, asked.step, asked.layer, expert, asked.attempt, rows))
        self.rows_served[expert] = self.rows_served.get(expert, 0) + num_rows
        self.num_rows_served += num_rows
        self.num_passes += 1

    def _refuse(self, connection: ConnectionId, asked: Dispatch) -> None:
        self._links.reply(
            connection, NotHere(asked.lane, asked.term, asked.step, asked.layer, asked.expert, asked.attempt)
        )

    def _refuse_queue(self, expert: int) -> None:
        for connection, message in self._queues.pop(expert, ()):
            self._refuse(connection, message)

    def _load(self, expert: int, now: float) -> None:
        self.num_changes += 1
        self.loading.add(expert)
        self._next_poll = now
        self._compute.load(expert)

    def _on_loaded(self, expert: int, error: str | None, now: float) -> None:
        if expert not in self.loading:
            return
        self.num_changes += 1
        self.loading.discard(expert)
        if error is not None:
            _, delay = self._retries.get(expert, (0.0, _FIRST_RETRY_SECONDS))
            self._retries[expert] = (now + delay, min(2 * delay, _LONGEST_RETRY_SECONDS))
            self.failed[expert] = error
            self._refuse_queue(expert)
            return
        self._retries.pop(expert, None)
        self.failed.pop(expert, None)
        self.held.add(expert)
        if expert in self._queues:
            self.ready.append(expert)

    def _drop(self, expert: int) -> None:
        self.num_changes += 1
        self.held.discard(expert)
        self.loading.discard(expert)
        self.failed.pop(expert, None)
        self._retries.pop(expert, None)
        self._compute.drop(expert)
        self._refuse_queue(expert)

"""A transport and a compute that only write down what they were asked, for tests of one part at a time."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from moe_wire.messages import DType, Message, Payload, Segment
from moe_worker.protocol.compute import Routed

ROWS = Payload(DType.FLOAT32, (1, 1), b"\0\0\0\0")


class RecordingTransport:
    """`sent` are (peer, message), `replied` (connection, message)."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, Message]] = []
        self.replied: list[tuple[int, Message]] = []

    def send(self, peer: int, message: Message) -> None:
        self.sent.append((peer, message))

    def reply(self, connection: int, message: Message) -> None:
        self.replied.append((connection, message))

    def take_sent(self) -> list[tuple[int, Message]]:
        sent, self.sent = self.sent, []
        return sent

    def take_replied(self) -> list[tuple[int, Message]]:
        replied, self.replied = self.replied, []
        return replied


class RecordingCompute:
    """A step goes to the experts `routes[layer]`. `calls` names what was asked, in order; loads end as `ended` says."""

    def __init__(self, routes: Mapping[int, Sequence[int]] | None = None, outcome: Any = ROWS) -> None:
        self.routes = routes or {}
        self.outcome = outcome
        self.calls: list[tuple[Any, ...]] = []
        self.ended: list[tuple[int, str | None]] = []

    def open_lane(self, lane: int) -> None:
        self.calls.append(("open", lane))

    def drop_lane(self, lane: int) -> None:
        self.calls.append(("drop lane", lane))

    def free(self, lane: int, sequences: Sequence[int]) -> None:
        self.calls.append(("free", lane, tuple(sequences)))

    def begin(
        self, lane: int, segments: Sequence[Segment], tokens: Sequence[Sequence[int]] | None, hidden: Payload | None
    ) -> Any:
        self.calls.append(("begin", lane))
        return object()

    def attend(self, batch: Any, layer: int) -> Sequence[Routed]:
        self.calls.append(("attend", layer))
        return [Routed(expert, ROWS) for expert in self.routes.get(layer, ())]

    def expert(self, expert: int, rows: Sequence[Payload]) -> Sequence[Payload]:
        self.calls.append(("expert", expert, len(rows)))
        return rows

    def combine(self, batch: Any, layer: int, answers: Mapping[int, Payload]) -> None:
        self.calls.append(("combine", layer, tuple(sorted(answers))))

    def finish(self, batch: Any) -> Any:
        self.calls.append(("finish",))
        return self.outcome

    def load(self, expert: int) -> None:
        self.calls.append(("load", expert))

    def loaded(self) -> Iterable[tuple[int, str | None]]:
        ended, self.ended = self.ended, []
        return ended

    def drop(self, expert: int) -> None:
        self.calls.append(("drop", expert))

    def take_calls(self) -> list[tuple[Any, ...]]:
        calls, self.calls = self.calls, []
        return calls

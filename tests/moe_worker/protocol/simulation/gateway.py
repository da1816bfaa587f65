"""The simulation's gateway: streams take tokens by position, and go elsewhere when a head is lost or returns them."""

from random import Random
from typing import TYPE_CHECKING, Any

from moe_wire.messages import Cancel, Emitted, Refused, Returned, Sampling, Submit
from moe_worker.protocol.transport import Arrived, ConnectionClosed
from tests.moe_worker.protocol.simulation.arithmetic import VOCABULARY, generate, logprobs_of
from tests.moe_worker.protocol.simulation.network import Connection, Direction

if TYPE_CHECKING:
    from tests.moe_worker.protocol.simulation.process import Process
    from tests.moe_worker.protocol.simulation.world import World


class Stream:
    """One client's request. What it must give is known beforehand; every token is compared when it comes."""

    def __init__(self, world: "World", number: int, random: Random) -> None:
        config = world.config
        self.world = world
        self.request = number.to_bytes(16, "big")
        self.prompt = world.random_prompt(random.randint(1, config.longest_prompt))
        self.max_tokens = random.randint(1, config.longest_answer)
        self.priority = random.choice((0, 0, 0, 0, 1, -1))
        self.sampling = Sampling(
            temperature=1.0,
            seed=random.randrange(1000),
            presence_penalty=random.choice((0.0, 0.0, 0.0, 0.5)),
            logprobs=random.choice((-1, -1, 0, 2)),
        )
        self.stop_tokens = tuple(random.sample(range(VOCABULARY), 12)) if random.random() < 0.3 else ()
        self.expected = generate(
            config.model, self.prompt, sampling=self.sampling, max_tokens=self.max_tokens, stop_tokens=self.stop_tokens
        )
        self.tokens: list[int] = []
        self.is_done = False
        self.is_hung = False
        self.connections: list[StreamConnection] = []

    def submit(self) -> None:
        """Give the request to some rank of the first stage; to none if it has ended meanwhile."""
        if self.is_done:
            return
        process = self.world.random_head()
        if process is None:
            self.world.after(0.05, self.submit)
            return
        connection = StreamConnection(self, process)
        self.connections.append(connection)
        process.accepted[connection.number] = connection
        known = tuple(self.tokens)
        wanted = (self.sampling, self.max_tokens, self.stop_tokens, self.priority)
        connection.forward.put(Submit(self.request, self.prompt, known, *wanted))

    def cancel(self) -> None:
        """The client has gone."""
        for connection in self.connections:
            connection.forward.put(Cancel(self.request))
        self.end()

    def end(self) -> None:
        self.is_done = True
        for connection in self.connections:
            connection.leave(self)
        self.connections = []

    def on_answer(self, connection: "StreamConnection", message: Any) -> None:
        assert message.request == self.request
        if isinstance(message, Refused):
            assert message.code == "overloaded", message
            assert not connection.began_with, "a stream that has begun is let in"
        if isinstance(message, Returned | Refused):
            self.resubmit(connection)
            return
        assert isinstance(message, Emitted)
        place = len(self.prompt) + message.position
        assert message.logprobs == logprobs_of(message.token, self.sampling, place), message
        if message.position == len(self.tokens):
            self.tokens.append(message.token)
        assert self.tokens == self.expected[: len(self.tokens)], f"{self.tokens} instead of {self.expected}"
        assert self.tokens[message.position] == message.token, message
        is_last = message.position == len(self.expected) - 1
        assert bool(message.finish) == is_last, message
        if is_last:
            self.end()

    def resubmit(self, connection: "StreamConnection") -> None:
        """This head will give nothing more."""
        self.connections.remove(connection)
        connection.leave(self)
        if not self.connections:
            self.world.after(self.world.random.random() * 0.03, self.submit)


class StreamConnection(Connection):
    """Between a gateway and a head. `began_with` tokens the stream came here."""

    __slots__ = ("began_with",)

    def __init__(self, stream: Stream, process: "Process") -> None:
        self.began_with = len(stream.tokens)
        super().__init__(stream.world.network, stream, process, process.identity.pod_uid)
        self.forward = Direction(self.network, process, self._asked, self._closed, 0.0)
        self.back = Direction(self.network, stream, self._answered, self._lost, 0.0)

    def _asked(self, message: Any) -> None:
        self.acceptor.world.trace("%r <- gateway: %s", self.acceptor, message)
        self.acceptor.on_event(Arrived(self.number, message))

    def _closed(self) -> None:
        del self.acceptor.accepted[self.number]
        self.acceptor.on_event(ConnectionClosed(self.number))

    def _answered(self, message: Any) -> None:
        self.acceptor.world.trace("gateway <- %r: %s", self.acceptor, message)
        self.dialler.on_answer(self, message)

    def _lost(self) -> None:
        self.dialler.resubmit(self)

"""Stand-ins at the gateway's borders: a head on a real socket, a link in memory, a clock, a small real tokenizer."""

import asyncio
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from moe_gateway.heads import Credentials
from moe_gateway.router import HeadKey
from moe_gateway.topology import HeadTarget
from moe_wire.framing import Decoder, encode
from moe_wire.handshake import Identity, judge_hello, make_welcome
from moe_wire.messages import Cancel, Challenge, Emitted, Hello, Logprobs, Message, Returned, Scored, Submit

CREDENTIALS = Credentials(secret=b"s" * 32, deployment="demo", pod_uid="gateway-uid")
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SENTENCES = ["the quick brown fox jumps over the lazy dog", "once upon a time there was a model with sixteen experts"]


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def make_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(SENTENCES * 5, trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet))
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in ("<|end|>", "<|im_start|>", "<|im_end|>")])
    return tokenizer


def write_checkpoint(folder: Path) -> Path:
    """The files of a checkpoint that the gateway reads."""
    tokenizer = make_tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    ends = [tokenizer.token_to_id("<|end|>"), tokenizer.token_to_id("<|im_end|>")]
    (folder / "config.json").write_text(json.dumps({"vocab_size": 400, "eos_token_id": ends[0]}))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"chat_template": CHAT_TEMPLATE, "eos_token": {"content": "<|end|>"}, "bos_token": None})
    )
    return folder


class FakeLink:
    """A connection that remembers what was sent."""

    def __init__(self, rank: int = 0, num_lanes: int = 1) -> None:
        self.key = HeadKey(replica=0, rank=rank, pod_uid="pod")
        self.num_lanes = self.num_open_lanes = num_lanes
        self.sent: list[Message] = []
        self.aborted = ""

    def send(self, message: Message) -> None:
        self.sent.append(message)

    def abort(self, reason: str) -> None:
        self.aborted = reason

    @property
    def submits(self) -> list[Submit]:
        return [message for message in self.sent if isinstance(message, Submit)]

    @property
    def cancels(self) -> list[bytes]:
        return [message.request for message in self.sent if isinstance(message, Cancel)]


Answer = Callable[[Submit], Sequence[int]]


def counting(submit: Submit) -> Sequence[int]:
    """A model whose tokens depend on the prompt and the position only, as greedy decoding's do."""
    return [(sum(submit.prompt) + 7 * position) % 250 for position in range(submit.max_tokens)]


def told(submit: Submit, position: int, token: int) -> Logprobs | None:
    """What a head tells of a token: exact in binary, and different for every position and token."""
    num_top = submit.sampling.logprobs
    if num_top < 0:
        return None
    top = tuple((abs(token - other), -0.25 - position - other) for other in range(num_top))
    return Logprobs(-0.25 - position, top)


def prompt_score(submit: Submit, place: int) -> Logprobs:
    """Of the prompt's token number `place`: exact in binary as well."""
    return Logprobs(-0.5 - place, tuple((other, -0.5 - other) for other in range(submit.prompt_logprobs)))


class FakeHead:
    """A head that speaks the real protocol on loopback. What it does wrong is set before or while it runs."""

    def __init__(self, rank: int = 0, answer: Answer = counting, pod_uid: str = "") -> None:
        self.key = HeadKey(replica=0, rank=rank, pod_uid=pod_uid or f"pod-{rank}")
        self.answer = answer
        self.duplicates = False
        self.die_at: int | None = None
        """Position before which the process dies, once."""
        self.return_at: int | None = None
        """Position before which it returns the request, once."""
        self.skip_at: int | None = None
        """Position that it leaves out, once."""
        self.pause_at: int | None = None
        """Position before which it waits for `resumed`."""
        self.resumed = asyncio.Event()
        self.submits: list[Submit] = []
        self.cancels: list[bytes] = []
        self.cancelled = asyncio.Event()
        self.num_connections = 0
        self.secret = CREDENTIALS.secret
        self._server: asyncio.Server | None = None
        self._transports: set[asyncio.Transport] = set()
        self._tasks: dict[bytes, asyncio.Task[None]] = {}

    @property
    def target(self) -> HeadTarget:
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()[:2]
        return HeadTarget(key=self.key, num_lanes=1, num_open_lanes=1, epoch=1, address=(host, port))

    async def start(self, port: int = 0) -> "FakeHead":
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _FakeHeadConnection(self), "127.0.0.1", port, reuse_address=True
        )
        return self

    def drop_connections(self) -> None:
        for transport in list(self._transports):
            transport.abort()

    @property
    def is_alive(self) -> bool:
        return self._server is not None and self._server.is_serving()

    def kill(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks.values():
            if task is not asyncio.current_task():
                task.cancel()
        self.drop_connections()

    def take(self, message: Message, reply: Callable[[Message], None]) -> None:
        if isinstance(message, Submit):
            self.submits.append(message)
            self._tasks[message.request] = asyncio.create_task(self._generate(message, reply))
        elif isinstance(message, Cancel):
            self.cancels.append(message.request)
            self._tasks[message.request].cancel()
            self.cancelled.set()

    async def _generate(self, submit: Submit, reply: Callable[[Message], None]) -> None:
        if submit.prompt_logprobs >= 0:
            scores = tuple(prompt_score(submit, place) for place in range(1, len(submit.prompt)))
            reply(Scored(submit.request, 1, scores))
        tokens = list(self.answer(submit))[: submit.max_tokens]
        for position in range(len(submit.generated), len(tokens)):
            await asyncio.sleep(0)
            if position == self.pause_at:
                await self.resumed.wait()
            if position == self.die_at:
                self.die_at = None
                self.kill()
                return
            if position == self.return_at:
                self.return_at = None
                reply(Returned(submit.request, "the lane moved"))
                return
            if position == self.skip_at:
                self.skip_at = None
                continue
            token = tokens[position]
            finish = "stop" if token in submit.stop_tokens else "length" if position + 1 == submit.max_tokens else ""
            for _ in range(2 if self.duplicates else 1):
                reply(Emitted(submit.request, position, token, finish, told(submit, position, token)))
            if finish:
                return


class _FakeHeadConnection(asyncio.Protocol):
    def __init__(self, head: FakeHead) -> None:
        self._head = head
        self._decoder = Decoder()
        self._challenge = Challenge(os.urandom(32))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._head._transports.add(self._transport)
        self._head.num_connections += 1
        self._reply(self._challenge)

    def connection_lost(self, exc: Exception | None) -> None:
        self._head._transports.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        for message in self._decoder.feed(data):
            if isinstance(message, Hello):
                self._welcome(message)
            else:
                self._head.take(message, self._reply)

    def _welcome(self, hello: Hello) -> None:
        key = self._head.key
        own = Identity(
            kind="rank", deployment="demo", replica=key.replica, rank=key.rank, pod_uid=key.pod_uid, incarnation=1
        )
        judge_hello(CREDENTIALS.secret, own, self._challenge, hello)
        self._reply(make_welcome(self._head.secret, own, 1, hello))

    def _reply(self, message: Message) -> None:
        if not self._transport.is_closing():
            self._transport.writelines(encode(message))

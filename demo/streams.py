"""Streams over HTTP as a client sees them: which tokens arrived, and when. Knows the gateway's API, no Kubernetes."""

import asyncio
import itertools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import httpx

TIMEOUT = httpx.Timeout(60.0, read=180.0)
"""Seconds; longer than any failover may take, so that a stall is measured and not cut off."""


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What is asked of one stream: greedy unless a temperature is given."""

    text: str
    max_tokens: int
    temperature: float = 0.0
    seed: int = 0

    def body(self, model: str) -> dict[str, object]:
        return {
            "model": model,
            "prompt": self.text,
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "seed": self.seed,
            "stream": True,
            "return_token_ids": True,
        }


@dataclass(kw_only=True)
class Stream:
    """One stream's tokens with their times of arrival (seconds of the monotonic clock)."""

    prompt: Prompt
    began: float
    tokens: list[int] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    text: str = ""
    finish: str = ""
    error: str = ""

    @property
    def is_complete(self) -> bool:
        return bool(self.finish) and not self.error

    @property
    def longest_stall(self) -> float:
        """Seconds between two tokens that followed each other, at most; 0 for fewer than two tokens."""
        return max((later - earlier for earlier, later in itertools.pairwise(self.arrivals)), default=0.0)

    @property
    def time_to_first_token(self) -> float:
        return self.arrivals[0] - self.began if self.arrivals else float("inf")


class Load:
    """Many streams at once against one gateway; `streams` can be read while they run."""

    def __init__(self, url: str, model: str, prompts: Sequence[Prompt]) -> None:
        self._url = f"{url}/v1/completions"
        self._model = model
        self._after_tokens = 0
        self._moment = asyncio.Event()
        self.streams = [Stream(prompt=prompt, began=time.monotonic()) for prompt in prompts]

    @property
    def num_tokens(self) -> int:
        return sum(len(stream.tokens) for stream in self.streams)

    @property
    def least_tokens(self) -> int:
        """How far the slowest stream is."""
        return min(len(stream.tokens) for stream in self.streams)

    async def run(self) -> list[Stream]:
        """Run every stream to its end. A failed one carries its error; nothing is raised, so all can be judged."""
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(timeout=TIMEOUT, limits=limits, trust_env=False) as client:
            await asyncio.gather(*(self._run(client, stream) for stream in self.streams))
        return self.streams

    async def run_with(self, event: Callable[[], None], *, after_tokens: int) -> list[Stream]:
        """Run, and let `event` (a blocking call) happen once every stream has `after_tokens` tokens or has ended."""
        self._after_tokens = after_tokens
        running = asyncio.create_task(self.run())
        await self._moment.wait()
        await asyncio.to_thread(event)
        return await running

    def _look(self) -> None:
        if all(len(one.tokens) >= self._after_tokens or one.finish or one.error for one in self.streams):
            self._moment.set()

    async def _run(self, client: httpx.AsyncClient, stream: Stream) -> None:
        await ask(client, self._url, self._model, stream, seen=self._look)
        self._look()


async def ask(
    client: httpx.AsyncClient, url: str, model: str, stream: Stream, *, seen: Callable[[], None], name: str = ""
) -> None:
    """Run one stream to its end; `seen` is called after every line, `name` is the request's id. Raises nothing."""
    stream.began = time.monotonic()
    headers = {"X-Request-Id": name} if name else {}
    try:
        async with client.stream("POST", url, json=stream.prompt.body(model), headers=headers) as answer:
            if answer.status_code != httpx.codes.OK:
                stream.error = f"HTTP {answer.status_code}: {(await answer.aread()).decode()}"
                return
            async for line in answer.aiter_lines():
                _take(stream, line)
                seen()
    except httpx.HTTPError as error:
        stream.error = f"{type(error).__name__}: {error}"
    if not stream.finish and not stream.error:
        stream.error = "the stream ended without a finish_reason"


def _take(stream: Stream, line: str) -> None:
    if not line.startswith("data: ") or line == "data: [DONE]":
        return
    event = json.loads(line.removeprefix("data: "))
    if "error" in event:
        stream.error = json.dumps(event["error"])
        return
    for choice in event["choices"]:
        tokens = choice.get("token_ids") or []
        stream.tokens.extend(tokens)
        stream.arrivals.extend([time.monotonic()] * len(tokens))
        stream.text += choice.get("text") or ""
        stream.finish = choice.get("finish_reason") or stream.finish


def differing(streams: Sequence[Stream], wanted: Sequence[Sequence[int]]) -> list[str]:
    """One line for every stream that failed or whose tokens are not those `wanted` of it; empty when all are right."""
    found = []
    for number, (stream, tokens) in enumerate(zip(streams, wanted, strict=True)):
        if not stream.is_complete:
            found.append(f"stream {number}: {stream.error} after {len(stream.tokens)} tokens")
        elif list(tokens) != stream.tokens:
            pairs = zip(tokens, stream.tokens, strict=False)
            position = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
            found.append(f"stream {number}: differs from position {position}: {stream.tokens} is not {list(tokens)}")
    return found

"""One soak from the first answer alone to the last check: clients, kills and samples at the same time."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import httpx

from benchmarks.soak.clients import Answer, Crowd, Tally, ask
from benchmarks.soak.gateway import LoadListener
from benchmarks.soak.processes import MIB, Watched
from benchmarks.soak.questions import Question
from benchmarks.soak.ranks import Ranks
from moe_wire.messages import Load

SAMPLE_S = 2.0
TIMEOUT = httpx.Timeout(600.0)
READY_LIMIT_S = 120
REST_LIMIT_S = 60
REST_S = 3
"""For so long nothing may be under way before it counts as rest."""
CHECKED = 16
"""Questions asked at once after everything, so that every lane has shown that it still answers."""
Show = Callable[[str], None]


@dataclass(kw_only=True)
class Soak:
    """What is there to be asked, watched and killed."""

    http: httpx.AsyncClient
    ranks: Ranks
    gateway_pid: int
    listener: LoadListener
    watched: Watched
    show: Show
    highest_used: float = 0.0
    seconds: float = 0.0
    resting: Mapping[int, Load] = field(default_factory=dict)

    async def wait_ready(self) -> None:
        """Until every rank serves and the gateway has every head."""
        async with asyncio.timeout(READY_LIMIT_S):
            while not self.ranks.are_ready() or await self._heads() < len(self.ranks.addresses):  # noqa: ASYNC110  # no event reaches us
                await asyncio.sleep(0.1)

    async def answer_alone(self, questions: Sequence[Question]) -> dict[int, Answer]:
        """Each question's answer, undisturbed, one after the other. Raises RuntimeError."""
        right: dict[int, Answer] = {}
        for question in questions:
            answer = right[question.number] = Answer()
            await ask(self.http, question, answer)
            if answer.error or answer.retry_after:
                raise RuntimeError(f"question {question.number} alone: {answer.error or 'turned away'}")
            self.show(f"{len(right)} of {len(questions)} questions answered alone")
        return right

    async def disturb(self, crowd: Crowd, *, num_streams: int, seconds: float, kill_every: float) -> None:
        """The crowd, while ranks are killed and memory is sampled."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            others = [group.create_task(self._sample(crowd.tally, began, seconds))]
            if kill_every:
                others.append(group.create_task(self._kill(kill_every, began + seconds)))
            await crowd.run(num_streams, seconds)
            for task in others:
                task.cancel()
        self.seconds = time.monotonic() - began

    async def come_to_rest(self, crowd: Crowd, questions: Sequence[Question]) -> None:
        """Ask a little once more, then wait until no head has anything to do, and keep what they say then."""
        await self.wait_ready()
        await crowd.check(questions[:CHECKED])
        since, limit = time.monotonic(), time.monotonic() + REST_LIMIT_S
        while (now := time.monotonic()) < min(since + REST_S, limit):
            if not self._is_at_rest():
                since = now
            await asyncio.sleep(0.1)
        self.resting = dict(self.listener.loads)
        self._look()

    async def gateway_figures(self) -> dict[str, float]:
        """Its metrics that have no labels but the model's, by name."""
        lines = (await self.http.get("/metrics")).text.splitlines()
        found = [line.rpartition(" ") for line in lines if not line.startswith("#") and "le=" not in line]
        return {name.partition("{")[0]: float(value) for name, _, value in found}

    def _is_at_rest(self) -> bool:
        loads = self.listener.loads
        return len(loads) == len(self.ranks.addresses) and not any(
            load.waiting or load.running or load.blocks_used for load in loads.values()
        )

    async def _heads(self) -> int:
        try:
            return int((await self.http.get("/readyz")).json()["heads"])
        except httpx.TransportError:
            return 0

    async def _kill(self, every: float, until: float) -> None:
        while time.monotonic() + every < until:
            await asyncio.sleep(every)
            self.ranks.kill_next()

    def _look(self) -> None:
        self.watched.look(time.monotonic(), {"gateway": self.gateway_pid, **self.ranks.pids()})

    async def _sample(self, tally: Tally, began: float, seconds: float) -> None:
        while True:
            now = time.monotonic()
            self._look()
            used = [load.blocks_used / load.blocks for load in self.listener.loads.values()]
            self.highest_used = max(self.highest_used, *used, 0.0)
            self.show(f"{now - began:.0f} of {seconds:g} s: {self._progress(tally, now - began)}")
            await asyncio.sleep(SAMPLE_S)

    def _progress(self, tally: Tally, seconds: float) -> str:
        mib = {place: one.sizes[-1] / MIB for place, one in self.watched.series.items()}
        ranks = " ".join(f"{size:.0f}" for place, size in mib.items() if place.startswith("rank"))
        return (
            f"{tally.finished} finished, {tally.left} left, {len(tally.wrong)} wrong, {len(tally.failed)} failed, "
            f"{self.ranks.kills} kills, {tally.tokens / max(seconds, 1):.0f} tokens/s, "
            f"gateway {mib['gateway']:.0f} MiB, ranks {ranks} MiB"
        )

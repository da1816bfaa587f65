"""A whole world in one thread: processes, links, an operator and a gateway, driven by one seeded scheduler.

Every turn either hands one message over or lets one rank do one unit of work, chosen at random; so any order that the
links allow can happen. Time passes with turns and jumps when nobody has anything to do.
"""

import heapq
from collections.abc import Callable, Iterable
from itertools import count
from random import Random
from typing import Any

from moe_worker.protocol.bounds import bounds
from moe_worker.protocol.rank import RankCore
from moe_worker.protocol.settings import Identity
from moe_worker.protocol.view import SeatView, StageView, View
from tests.moe_worker.protocol.simulation import layouts
from tests.moe_worker.protocol.simulation.arithmetic import VOCABULARY
from tests.moe_worker.protocol.simulation.config import FOREVER, Config
from tests.moe_worker.protocol.simulation.gateway import Stream
from tests.moe_worker.protocol.simulation.network import Network
from tests.moe_worker.protocol.simulation.process import Process

TURN_SECONDS = 0.001
SLOWNESS = (0.0, 0.0, 0.0, 0.0, 0.7, 0.95)
"""The chances, to draw from, that a link or a process lets its turn pass."""
CHECK_EVERY = 32


class World:
    """`make_core` builds the ranks' cores (production's, or a mutant's). `tracer` gets what happens as (turn, text)."""

    def __init__(
        self, config: Config, random: Random, make_core: Callable[..., RankCore], tracer: Callable[..., None] | None
    ) -> None:
        self.config = config
        self.random = random
        self.make_core = make_core
        self.now = 0.0
        self.turns = 0
        self.network = Network(random)
        self.layouts = [layouts.initial(config, stage, random) for stage in range(config.stages)]
        self.processes: dict[int, Process] = {}
        self.zombies: list[Process] = []
        self.masked: set[int] = set()
        self.streams: list[Stream] = []
        self._texts = [
            tuple(random.randrange(VOCABULARY) for _ in range(config.longest_prompt)) for _ in range(config.num_texts)
        ]
        self._tracer = tracer
        self._marked: list[Process] = []
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count(1)
        self._incarnations = count(1)
        self._redialling: set[Process] = set()
        self._in_vain: list[Process] = []
        self._bounds = [
            bounds(config.settings(0), ranks_per_stage=config.ranks, experts_per_token=config.experts_per_token)
        ]
        for rank in range(config.stages * config.ranks):
            self.fork(rank)

    def slowness(self) -> float:
        return self.random.choice(SLOWNESS)

    # Time.

    def after(self, delay: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (self.now + delay, next(self._numbers), action))

    def run(self, max_turns: int) -> None:
        """Until nothing can happen any more."""
        filled, marked, agenda = self.network.filled, self._marked, self._agenda
        random, randrange = self.random.random, self.random.randrange
        last_turn = self.turns + max_turns
        while True:
            self.turns += 1
            assert self.turns < last_turn, f"no end after {max_turns} turns"
            self.now += TURN_SECONDS
            while agenda and agenda[0][0] <= self.now:
                heapq.heappop(agenda)[2]()
            if self.turns % CHECK_EVERY == 0:
                self._look_around()
            num_filled, num_marked = len(filled), len(marked)
            if num_filled + num_marked == 0:
                if not self._skip():
                    return
                continue
            choice = randrange(num_filled + num_marked)
            if choice < num_filled:
                direction = filled[choice]
                if not direction.receiver.is_hung and random() >= direction.slowness:
                    direction.deliver()
            else:
                self._run(choice - num_filled)

    def _run(self, index: int) -> None:
        process = self._marked[index]
        if process.is_alive and not process.is_hung and (self.random.random() < process.slowness or process.run()):
            return
        process.is_marked = False
        last = self._marked.pop()
        if last is not process:
            self._marked[index] = last

    def mark(self, process: Process) -> None:
        """It may have something to do."""
        if not process.is_marked:
            process.is_marked = True
            self._marked.append(process)

    def _skip(self) -> bool:
        """Nobody has anything to do: on to the next thing that is due. False if nothing ever will be."""
        due, times = self._due()
        if times and min(times) >= FOREVER:
            for _, process in due:  # whose patience it is may have been served since
                process.core.tick(self.now)
            due, times = self._due()
        if not times:
            return False
        self.now = max(self.now, min(times))
        assert self.now < FOREVER, "deadlock: nothing but patience is left"
        for deadline, process in due:
            if deadline <= self.now:
                self.mark(process)
        return True

    def _due(self) -> tuple[list[tuple[float, Process]], list[float]]:
        due = [(deadline, process) for process in self.everyone() if (deadline := process.core.deadline) is not None]
        return due, [deadline for deadline, _ in due] + [time for time, _, _ in self._agenda[:1]]

    def _look_around(self) -> None:
        """Wake who has something due, and check that nobody holds more than it may."""
        for process in self.everyone():
            deadline = process.core.deadline
            if deadline is not None and deadline <= self.now:
                self.mark(process)
        self.check_bounds(self.random.choice(list(self.processes.values())))

    def check_bounds(self, process: Process) -> None:
        status, limit, settings = process.core.status(), self._bounds[0], process.core.settings
        assert status.step_rows <= limit.step_rows
        assert status.asked_rows <= limit.asked_rows
        assert status.queued_rows <= limit.queued_rows
        for lane in status.headed:
            assert lane.steps_in_flight <= settings.max_steps_in_flight
            assert lane.blocks_used <= settings.blocks_per_lane

    # Processes.

    def everyone(self) -> Iterable[Process]:
        """Who is alive and not hung."""
        for process in (*self.processes.values(), *self.zombies):
            if process.is_alive and not process.is_hung:
                yield process

    def fork(self, rank: int) -> None:
        """A new process sits down at the rank, under the pod that the newest layout names."""
        stage = rank // self.config.ranks
        uid = self.layouts[stage].seats[rank].pod_uid
        identity = Identity(rank=rank, pod_uid=uid, incarnation=next(self._incarnations))
        process = self.processes[rank] = Process(self, identity, stage)
        self.trace("%r starts", process)
        self._tell(process)

    def process_at(self, seat: SeatView) -> Process | None:
        """Who listens at the seat's address."""
        process = self.processes.get(seat.rank)
        if process is not None and process.is_alive and process.identity.pod_uid == seat.pod_uid:
            return process
        return None

    def random_prompt(self, length: int) -> tuple[int, ...]:
        """The beginning of one of the texts, so that prompts begin alike; sometimes with an end of its own."""
        prompt = self.random.choice(self._texts)[:length]
        if self.random.random() < 0.3:
            return (*prompt[:-1], self.random.randrange(VOCABULARY))
        return prompt

    def random_head(self) -> Process | None:
        heads = [rank for rank in self.layouts[0].lanes.values() if rank is not None]
        if not heads or self.random.random() < 0.1:
            heads = list(self.layouts[0].seats)
        process = self.processes[self.random.choice(heads)]
        return process if process.is_alive else None

    def redial(self, process: Process) -> None:
        """Let it call its peers again in a moment."""
        if process not in self._redialling:
            self._redialling.add(process)
            self.after(0.01 + 0.05 * self.random.random(), lambda: self._dial(process))

    def redial_later(self, process: Process) -> None:
        """Let it call again once somebody has been forked or told something: until then it would be in vain."""
        self._in_vain.append(process)

    def _redial_all(self) -> None:
        for process in self._in_vain:
            self.redial(process)
        self._in_vain.clear()

    def _dial(self, process: Process) -> None:
        self._redialling.discard(process)
        if process.is_hung:
            self.redial(process)
        elif process.is_alive:
            process.dial()

    # Layouts.

    def neighbours(self, stage: int) -> tuple[int, int, int]:
        """The stage itself, the one before and the one after it on the ring."""
        return stage, (stage - 1) % self.config.stages, (stage + 1) % self.config.stages

    def stage_view(self, stage: int) -> StageView:
        return self.layouts[stage]

    def alive_ranks(self, stage: int) -> list[int]:
        """Those that the operator believes in."""
        return [rank for rank in self.layouts[stage].seats if rank not in self.masked]

    def commit(self, view: StageView) -> None:
        """The layout is the truth at once; each process hears of it in its own time, perhaps out of order."""
        self.trace("commit %s", view)
        self.layouts[view.stage] = view
        for process in (*self.processes.values(), *self.zombies):
            if process.is_alive and view.stage in process.known and not process.is_partitioned:
                self.after(self.random.choice((0.0, 0.01, 0.1)) * self.random.random(), self._teller(process, view))

    def _teller(self, process: Process, view: StageView) -> Callable[[], None]:
        def tell() -> None:
            if not process.is_alive:
                return
            if process.is_hung:
                self.after(0.02, tell)
                return
            if view.epoch > process.known[view.stage].epoch:
                process.known[view.stage] = view
            self.trace("%r is told of stage %d epoch %d", process, view.stage, view.epoch)
            self._tell(process, view)

        return tell

    def _tell(self, process: Process, news: StageView | None = None) -> None:
        """Push its surroundings; `news` may be older than what it knows, and is told nevertheless."""
        known = dict(process.known)
        if news is not None:
            known[news.stage] = news
        own, previous, following = (known[stage] for stage in self.neighbours(process.stage))
        process.on_view(View(own=own, previous=previous, next=following).of_rank(process.identity.rank))
        self._redial_all()

    def trace(self, text: str, *arguments: Any) -> None:
        if self._tracer is not None:
            self._tracer(self.turns, text % arguments)

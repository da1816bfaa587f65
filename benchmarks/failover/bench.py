"""What the parts of a run share: the system under load, the hand that kills, and the journal."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from benchmarks.failover.crowd import Asked, Crowd, wrong_tokens
from benchmarks.failover.journal import Journal
from benchmarks.failover.kills import Hand
from benchmarks.failover.sightings import Sightings
from demo.deployed import Deployed
from demo.streams import Prompt
from demo.waiting import look_at_availability

Show = Callable[[str], None]
LOOK_S = 0.05
RUNNING_LIMIT_S = 120.0
HEALED_LIMIT_S = 60.0


@dataclass(kw_only=True)
class Bench:
    """One deployment that serves."""

    deployed: Deployed
    hand: Hand
    seen: Sightings
    url: str
    prompts: Sequence[Prompt]
    expected: Sequence[Sequence[int]]
    num_streams: int
    journal: Journal
    dice: random.Random
    show: Show
    began: float = field(default_factory=time.monotonic)

    def at(self, num_streams: int) -> Self:
        """The same under another load."""
        return replace(self, num_streams=num_streams)

    def crowd(self, part: str, num_prompts: int | None = None) -> Crowd:
        """The load of a part, of the first so many prompts or all, with names that tell it from other runs' in the
        gateway's log.
        """
        prefix = f"{part}-{self.dice.randrange(16**8):08x}"
        prompts = self.prompts[:num_prompts]
        return Crowd(self.url, self.deployed.model, prompts, self.num_streams, prefix=prefix)

    def judge(self, part: str, crowd: Crowd) -> None:
        """Keep what became of a part's streams."""
        wrong = wrong_tokens(crowd.asked, self.expected)
        failed, ended = crowd.failed(), sum(bool(one.stream.finish) for one in crowd.asked)
        self.journal.add("streams", part=part, ended=ended, begun=len(crowd.asked), wrong=wrong, failed=failed)
        self.show(f"{part}: {ended} streams ended, {len(failed)} failed, {len(wrong)} said something wrong")

    def wait_until(
        self, what: str, is_done: Callable[[], bool], limit_s: float, *, every_s: float = LOOK_S
    ) -> float | None:
        """Seconds until it is so; None when it was not within `limit_s`."""
        began = time.monotonic()
        while not is_done():
            if time.monotonic() - began > limit_s:
                self.show(f"not within {limit_s:.0f} s: {what}")
                return None
            time.sleep(every_s)
        return time.monotonic() - began

    def is_available(self) -> bool:
        """Whether the deployment says so of itself, with nothing degraded."""
        return look_at_availability(self.deployed.cluster, self.deployed.name).done

    def heal_all(self) -> None:
        """Every GPU that an earlier part broke: new pods would wait on it for ever, and copies find no room."""
        for seat in self.deployed.seats():
            self.hand.heal(seat)
        self.wait_until("every GPU is well", self.is_available, HEALED_LIMIT_S, every_s=1.0)

    def wait_running(self, crowd: Crowd) -> None:
        """Until as many streams have tokens as there shall be."""
        self.wait_until("every stream has tokens", lambda: self._all_run(crowd), RUNNING_LIMIT_S)

    def lanes_of(self, asked: Asked, moment: float, heads: dict[int, frozenset[int]]) -> frozenset[int]:
        """The lanes that a stream may be in: those that its head headed."""
        rank = self.seen.head_of(asked.name, moment)
        return frozenset() if rank is None else heads.get(rank, frozenset())

    def _all_run(self, crowd: Crowd) -> bool:
        # One may be between its prompt and its first token at any moment.
        return len(crowd.running()) >= self.num_streams - self.num_streams // 8

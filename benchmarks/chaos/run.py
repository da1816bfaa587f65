"""One run of chaos: strike by chance, undo after a while, never more than there is room for, and rest in the end."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.chaos.faults import KINDS, Scene, patch_failover
from benchmarks.chaos.manifest import cleared
from benchmarks.chaos.memory import Moment
from benchmarks.chaos.processes import places, sizes
from benchmarks.chaos.repairs import REFUSALS, Repairs
from benchmarks.chaos.room import Room
from benchmarks.failover.crowd import Crowd
from benchmarks.soak.processes import Watched
from demo.observe import Seat, list_stages

Show = Callable[[str], None]
PAUSE_S = (0.1, 1.4)
NOTHING_FITS_S = 0.2
LASTS_S = (2.0, 15.0)
MOMENT_STRIKES = 50
TRIES = 60
RETRY_S = 1.0


@dataclass(kw_only=True)
class Chaos:
    """What was struck so far, and what is still to be undone: when, and what it took."""

    scene: Scene
    watched: Watched
    kinds: Sequence[str]
    gateway: int
    """Its process."""
    crowd: Crowd
    show: Show
    began: float = field(default_factory=time.monotonic)
    moments: list[Moment] = field(default_factory=list)
    room: Room = field(default_factory=Room)
    counts: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    num_told: int = 0
    repairs: Repairs = field(default_factory=Repairs)

    def run(self, number: int, until: float) -> None:
        """So many strikes, unless `until` comes first."""
        dice = self.scene.dice
        self.remember()
        while self.counts.total() < number and time.monotonic() < until:
            if self.repairs.do_due(time.monotonic()):
                self._declare_well()
            struck = self._strike()
            self._look()
            self._tell_failures()
            if self.counts.total() >= self.moments[-1].strikes + MOMENT_STRIKES:
                self.remember()
            time.sleep(dice.uniform(*PAUSE_S) if struck else NOTHING_FITS_S)
        self.repairs.do_all()
        self._declare_well()

    def remember(self) -> None:
        """Note, and say, how far it is and how much memory everything has."""
        streams = self.crowd.streams()
        moment = Moment(
            strikes=self.counts.total(),
            minutes=(time.monotonic() - self.began) / 60,
            streams=len(streams),
            failed=len(self.crowd.failed()),
            tokens=sum(len(stream.tokens) for stream in streams),
            sizes=sizes(self.scene.cluster, self.scene.hand, self.gateway),
        )
        self.moments.append(moment)
        self.show(f"{moment.told()}; {told(self.counts, self.refused)}")

    def _declare_well(self) -> None:
        insist(lambda: patch_failover(self.scene, {"cleared": cleared()}))

    def _strike(self) -> bool:
        """Whether there was room for what chance had chosen, and it was done."""
        seats = self._usable()
        if not seats:
            return False
        weights = [KINDS[name][0] for name in self.kinds]
        (name,) = self.scene.dice.choices(self.kinds, weights)
        try:
            strike = KINDS[name][1](self.scene, seats)
            if not self.room.has(strike, seats, time.monotonic()):
                return False
            self.show(f"{self.counts.total() + 1}: {strike.words}")
            strike.strike()
        except (*REFUSALS, LookupError, ProcessLookupError) as error:
            # What is struck may just have gone by itself.
            self.refused[name] += 1
            self.show(f"  not done: {error}"[:200])
            return False
        self.room.take(strike, time.monotonic())
        self.counts[name] += 1
        self.repairs.add(strike, time.monotonic() + self.scene.dice.uniform(*LASTS_S))
        return True

    def _usable(self) -> list[Seat]:
        """Seats that may be struck; none while nothing can be read."""
        try:
            serving, seats = serving_ranks(self.scene), self.scene.deployed.seats()
        except REFUSALS:
            return []
        return self.room.usable(seats, serving, [strike for _, strike in self.repairs.open])

    def _tell_failures(self) -> None:
        failed = self.crowd.failed()
        for line in failed[self.num_told :]:
            self.show(f"  FAILED {line}")
        self.num_told = len(failed)

    def _look(self) -> None:
        self.watched.look(time.monotonic(), places(self.scene.cluster.state, self.gateway))


def insist(do: Callable[[], object]) -> None:
    """A repair is done whatever else is broken: again, until the API server is there."""
    for turn in range(TRIES):
        try:
            do()
            return
        except REFUSALS:
            if turn == TRIES - 1:
                raise
            time.sleep(RETRY_S)


def serving_ranks(scene: Scene) -> set[int]:
    """Ranks that serve, in the stages' own status."""
    stages = list_stages(scene.cluster, scene.deployed.name)
    return {one.rank for stage in stages for one in stage.status.ranks if one.state == "serving"}


def told(counts: Mapping[str, int], refused: Mapping[str, int]) -> str:
    """How often each kind struck, for people."""
    struck = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    missed = ", ".join(f"{name} {count}" for name, count in sorted(refused.items()))
    return f"struck: {struck}" + (f"; not done: {missed}" if missed else "")

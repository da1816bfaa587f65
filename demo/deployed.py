"""A MoEDeployment that serves: load on it, failures under it, and what it tells of them."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from demo.cluster import Cluster
from demo.observe import Seat, Snapshot, is_settled, list_seats, list_stages, take_snapshot
from demo.streams import Load, Prompt, Stream
from demo.waiting import Answer, Show, diagnose, look_at_availability, wait_for
from moe_api.stage import MoEStage, MoveStatus

SECONDS_TO_MOVE = 60.0


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """One deployment in the cluster's namespace."""

    cluster: Cluster
    name: str
    model: str
    """Served name."""

    def wait_until_available(self, *, timeout: float, show: Show) -> float:
        """Seconds until it is available as its spec is now and nothing is degraded."""
        return self._wait(f"moed/{self.name} becomes available", self._look, timeout=timeout, show=show)

    def url(self) -> str:
        """Where its gateway answers."""
        return self.cluster.moe_local("url", f"{self.name}-gateway", "-n", self.cluster.namespace).strip()

    def stream(
        self,
        url: str,
        prompts: Sequence[Prompt],
        *,
        event: Callable[[], None] | None = None,
        after_tokens: int = 0,
        show: Show,
    ) -> list[Stream]:
        """Run all prompts at once to their ends; `event` happens when each has `after_tokens` tokens."""

        async def watch() -> list[Stream]:
            load = Load(url, self.model, prompts)
            running = asyncio.create_task(load.run_with(event, after_tokens=after_tokens) if event else load.run())
            while not (await asyncio.wait([running], timeout=0.5))[0]:
                show(f"{len(prompts)} streams run: {load.num_tokens} tokens, the slowest has {load.least_tokens}")
            return running.result()

        return asyncio.run(watch())

    def fail(self, seat: Seat, how: str) -> None:
        """Fail the GPU of a seat: exit, hang or device."""
        self.cluster.moe_local("gpu", "fail", seat.node, str(seat.gpu), "--how", how)

    def heal(self, seat: Seat) -> None:
        """Make the GPU of a seat good again."""
        self.cluster.moe_local("gpu", "heal", seat.node, str(seat.gpu))

    def snapshot(self) -> Snapshot:
        """Pods, epochs and decisions now."""
        return take_snapshot(self.cluster, self.name)

    def is_at(self, home: Snapshot) -> bool:
        """Whether experts and lanes are where `home` has them, and nothing is masked, loading or about to move."""
        found = self.snapshot()
        stages = list_stages(self.cluster, self.name)
        return found.experts == home.experts and found.lanes == home.lanes and all(map(is_settled, stages))

    def wait_until_at(self, home: Snapshot, *, timeout: float, show: Show) -> float:
        """Seconds until it is as `home` has it."""

        def look() -> Answer:
            return Answer(done=self.is_at(home), text="not every expert and lane is back")

        return self._wait(f"moed/{self.name} is as it was", look, timeout=timeout, show=show)

    def seats(self) -> list[Seat]:
        """Every rank, by number."""
        return list_seats(self.cluster, self.name)

    def incarnation(self, seat: Seat) -> int:
        """Which process sits in the seat now; grows with every start."""
        return self.seats()[seat.rank].incarnation

    def stage(self, name: str) -> MoEStage:
        """One of its stages."""
        return next(one for one in list_stages(self.cluster, self.name) if one.metadata.name == name)

    def wait_for_move(self, seat: Seat, *, known: int, show: Show) -> MoveStatus:
        """The move away from a seat, once it has ended; `known` moves of its stage were there before."""

        def look() -> Answer:
            moves = self.stage(seat.stage).status.moves
            found = [move for move in moves[known:] if move.rank == seat.rank and move.load_ms is not None]
            return Answer(done=bool(found), text=f"{len(moves) - known} new moves are told so far")

        self._wait(f"experts {seat.experts} are served elsewhere", look, timeout=SECONDS_TO_MOVE, show=show)
        moves = self.stage(seat.stage).status.moves[known:]
        return next(move for move in moves if move.rank == seat.rank)

    def _look(self) -> Answer:
        return look_at_availability(self.cluster, self.name)

    def _wait(self, what: str, look: Callable[[], Answer], *, timeout: float, show: Show) -> float:
        return wait_for(what, look, timeout=timeout, show=show, diagnose=lambda: diagnose(self.cluster, self.name))

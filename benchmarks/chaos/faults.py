"""The kinds of failure: whom each strikes, how, and what undoes it. Each knows one way to break something.

A strike gives how many seats it takes away from each stage for a while, so that there is always room for the rest.
"""

import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.chaos.means import Means
from benchmarks.failover.cpu import read_processes
from benchmarks.failover.kills import Hand
from demo.cluster import Cluster
from demo.deployed import Deployed
from demo.observe import Seat
from moe_local.errors import LocalError

Undo = Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What may be struck: the seats as they are now, and the means."""

    deployed: Deployed
    hand: Hand
    means: Means
    dice: random.Random
    gateway_node: str
    """Where the gateway runs, whose own streams would break with it."""

    @property
    def cluster(self) -> Cluster:
        return self.deployed.cluster


@dataclass(frozen=True, kw_only=True)
class Strike:
    """`taken` are the seats that cannot serve until it is undone; `undo` is None where nothing has to be. `words` are
    for the log.
    """

    words: str
    taken: tuple[Seat, ...]
    strike: Callable[[], object]
    undo: Undo | None = None
    is_fatal: bool = False
    """The processes in the seats die: they cannot serve before others sit there."""


Kind = Callable[[Scene, Sequence[Seat]], Strike]


def exit_(scene: Scene, seats: Sequence[Seat]) -> Strike:
    seat = scene.dice.choice(seats)
    return Strike(
        words=f"rank {seat.rank} exits", taken=(seat,), strike=lambda: scene.hand.fail(seat, "exit"), is_fatal=True
    )


def hang(scene: Scene, seats: Sequence[Seat]) -> Strike:
    seat = scene.dice.choice(seats)
    return Strike(
        words=f"rank {seat.rank} hangs", taken=(seat,), strike=lambda: scene.hand.fail(seat, "hang"), is_fatal=True
    )


def device(scene: Scene, seats: Sequence[Seat]) -> Strike:
    seat = scene.dice.choice(seats)
    return Strike(
        words=f"GPU of rank {seat.rank} fails ({seat.node}/{seat.gpu})",
        taken=(seat,),
        strike=lambda: scene.hand.fail(seat, "device"),
        undo=lambda: scene.hand.heal(seat),
        is_fatal=True,
    )


def two_at_once(scene: Scene, seats: Sequence[Seat]) -> Strike:
    sizes = Counter(seat.stage for seat in seats)
    stage = scene.dice.choice(sorted(stage for stage in sizes if sizes[stage] > 1))
    pair = scene.dice.sample([seat for seat in seats if seat.stage == stage], 2)
    hows = [scene.dice.choice(("exit", "device")) for _ in pair]

    def strike() -> None:
        for seat, how in zip(pair, hows, strict=True):
            scene.hand.fail(seat, how)

    def undo() -> None:
        for seat in pair:
            scene.hand.heal(seat)

    words = " and ".join(f"rank {seat.rank} {how}" for seat, how in zip(pair, hows, strict=True))
    return Strike(words=f"{words} at once", taken=tuple(pair), strike=strike, undo=undo, is_fatal=True)


def slow(scene: Scene, seats: Sequence[Seat]) -> Strike:
    seat = scene.dice.choice(seats)
    return Strike(
        words=f"GPU of rank {seat.rank} is slow",
        taken=(seat,),
        strike=lambda: scene.means.slow_down(seat),
        undo=lambda: scene.hand.heal(seat),
    )


def reported(scene: Scene, seats: Sequence[Seat]) -> Strike:
    seat = scene.dice.choice(seats)
    how = scene.dice.choice(("condition", "taint", "allocatable", "resource"))
    return Strike(
        words=f"GPU of rank {seat.rank} is reported bad by {how}",
        taken=(seat,),
        strike=lambda: scene.means.gpu(seat, f"report/{how}"),
        undo=lambda: scene.means.gpu(seat, "clear"),
    )


def pod(scene: Scene, seats: Sequence[Seat]) -> Strike:
    chosen = scene.dice.choice(seats)
    grace_s = scene.dice.choice((0, 1, 30))
    return Strike(
        words=f"pod {chosen.pod} is deleted",
        taken=_of_pod(chosen, seats),
        strike=lambda: scene.means.delete_pod(chosen.pod, grace_s),
        is_fatal=True,
    )


def supervisor(scene: Scene, seats: Sequence[Seat]) -> Strike:
    chosen = scene.dice.choice(seats)

    def strike() -> None:
        processes, rank = read_processes(), scene.hand.driver(chosen)
        if rank is None or rank not in processes:
            raise LocalError(f"rank {chosen.rank} has no process, so its supervisor cannot be found")
        os.kill(processes[processes[rank].parent].parent, signal.SIGKILL)

    return Strike(
        words=f"supervisor of {chosen.pod} is killed", taken=_of_pod(chosen, seats), strike=strike, is_fatal=True
    )


def power(scene: Scene, seats: Sequence[Seat]) -> Strike:
    return _node(scene, seats, "loses power", "stop", "start", is_fatal=True)


def cut_from_peers(scene: Scene, seats: Sequence[Seat]) -> Strike:
    return _node(scene, seats, "is cut off from its peers", "partition/peers", "rejoin")


def cut_from_api(scene: Scene, seats: Sequence[Seat]) -> Strike:
    return _node(scene, seats, "is cut off from the API server", "partition/api", "rejoin")


def cordon(scene: Scene, seats: Sequence[Seat]) -> Strike:
    chosen = scene.dice.choice(seats)
    return Strike(
        words=f"{chosen.node} is cordoned",
        taken=_of_node(chosen, seats),
        strike=lambda: scene.means.cordon(chosen.node, True),
        undo=lambda: scene.means.cordon(chosen.node, False),
    )


def evacuate(scene: Scene, seats: Sequence[Seat]) -> Strike:
    chosen = scene.dice.choice(seats)
    place = {"node": chosen.node, "gpu": chosen.gpu}
    return Strike(
        words=f"rank {chosen.rank} is evacuated ({chosen.node}/{chosen.gpu})",
        taken=(chosen,),
        strike=lambda: patch_failover(scene, {"evacuate": [place]}),
        undo=lambda: patch_failover(scene, {"evacuate": []}),
    )


def operator(scene: Scene, seats: Sequence[Seat]) -> Strike:
    return Strike(words="the operator is killed", taken=(), strike=scene.means.kill_operator)


def api_server(scene: Scene, seats: Sequence[Seat]) -> Strike:
    return Strike(words="the API server is killed", taken=(), strike=scene.means.kill_api_server)


def patch_failover(scene: Scene, fields: dict[str, object]) -> None:
    """Change fields of spec.failover."""
    scene.cluster.patch("moedeployments", scene.deployed.name, {"spec": {"failover": fields}})


KINDS: dict[str, tuple[int, Kind]] = {
    "exit": (6, exit_),
    "hang": (3, hang),
    "device": (6, device),
    "two-at-once": (3, two_at_once),
    "slow": (1, slow),
    "reported": (3, reported),
    "pod": (3, pod),
    "supervisor": (3, supervisor),
    "power": (2, power),
    "cut-from-peers": (1, cut_from_peers),
    "cut-from-api": (1, cut_from_api),
    "cordon": (2, cordon),
    "evacuate": (3, evacuate),
    "operator": (2, operator),
    "api-server": (1, api_server),
}
"""Every kind with how often it comes, by name."""


def _node(scene: Scene, seats: Sequence[Seat], words: str, down: str, up: str, *, is_fatal: bool = False) -> Strike:
    chosen = scene.dice.choice([seat for seat in seats if seat.node != scene.gateway_node])
    return Strike(
        words=f"{chosen.node} {words}",
        taken=_of_node(chosen, seats),
        strike=lambda: scene.means.node(chosen.node, down),
        undo=lambda: scene.means.node(chosen.node, up),
        is_fatal=is_fatal,
    )


def _of_pod(chosen: Seat, seats: Sequence[Seat]) -> tuple[Seat, ...]:
    return tuple(seat for seat in seats if seat.pod == chosen.pod)


def _of_node(chosen: Seat, seats: Sequence[Seat]) -> tuple[Seat, ...]:
    return tuple(seat for seat in seats if seat.node == chosen.node)

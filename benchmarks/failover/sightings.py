"""What the cluster says while something fails, stamped with the clock of whoever looks, as the tokens are.

Threads follow the pods, the stages and the gateway's log; each ends with the connection.
"""

import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TypeVar

import httpx

from demo.cluster import Cluster, Json
from moe_api import names
from moe_api.report import Report, SeatReport

Item = TypeVar("Item")
PLACED = re.compile(r"^(\S+ \S+) .* (\S+) goes to HeadKey\(replica=(\d+), rank=(\d+),")
LOG_TIME = "%Y-%m-%d %H:%M:%S,%f"


@dataclass(frozen=True, kw_only=True)
class SeatSeen:
    """A seat's report when it changed."""

    at: float
    rank: int
    incarnation: int
    state: str
    is_healthy: bool
    experts: frozenset[int]


@dataclass(frozen=True, kw_only=True)
class EpochSeen:
    """A stage's commit."""

    at: float
    stage: str
    epoch: int


@dataclass(frozen=True, kw_only=True)
class Placed:
    """The gateway gave a request to the head that is this rank."""

    at: float
    name: str
    rank: int


@dataclass(kw_only=True)
class Sightings:
    """Everything seen so far, in order."""

    seats: list[SeatSeen] = field(default_factory=list)
    epochs: list[EpochSeen] = field(default_factory=list)
    placed: list[Placed] = field(default_factory=list)
    _last: dict[int, tuple[object, ...]] = field(default_factory=dict)

    def see_pod(self, event: Json) -> None:
        text = event["object"]["metadata"].get("annotations", {}).get(names.ANNOTATION_REPORT)
        if event["type"] == "DELETED" or not text:
            return
        now = time.monotonic()
        for seat in Report.from_json(text).seats:
            self._see_seat(seat, now)

    def see_stage(self, event: Json) -> None:
        metadata = event["object"]["metadata"]
        self.epochs.append(EpochSeen(at=time.monotonic(), stage=metadata["name"], epoch=metadata["generation"]))

    def see_line(self, line: str) -> None:
        found = PLACED.search(line)
        if found is not None:
            # A log is followed with a delay: what counts is when the line was written, on this machine's own clock.
            age = time.time() - datetime.strptime(found[1], LOG_TIME).timestamp()
            self.placed.append(Placed(at=time.monotonic() - age, name=found[2], rank=int(found[4])))

    def head_of(self, name: str, moment: float) -> int | None:
        """The rank that headed a request at `moment`."""
        return next((one.rank for one in reversed(self.placed) if one.name == name and one.at <= moment), None)

    def _see_seat(self, seat: SeatReport, now: float) -> None:
        what = (seat.incarnation, seat.state, seat.gpu.healthy, frozenset(seat.experts))
        if self._last.get(seat.rank) == what:
            return
        self._last[seat.rank] = what
        self.seats.append(
            SeatSeen(
                at=now,
                rank=seat.rank,
                incarnation=seat.incarnation,
                state=seat.state,
                is_healthy=seat.gpu.healthy,
                experts=frozenset(seat.experts),
            )
        )


def look_on(cluster: Cluster, deployment: str) -> Sightings:
    """Begin to look; the sightings grow until the cluster is disconnected."""
    found, ours = Sightings(), {names.LABEL_DEPLOYMENT: deployment}
    workers = {**ours, names.LABEL_APP_COMPONENT: names.COMPONENT_WORKER}
    gateways = {**ours, names.LABEL_APP_COMPONENT: names.COMPONENT_GATEWAY}
    _follow("pods", lambda: cluster.watch("pods", workers), found.see_pod)
    _follow("stages", lambda: cluster.watch("moestages", ours), found.see_stage)
    for pod in cluster.list("pods", gateways):
        name = str(pod["metadata"]["name"])
        _follow(name, partial(cluster.follow_log, name), found.see_line)
    return found


def _follow(what: str, open_stream: Callable[[], Iterator[Item]], see: Callable[[Item], None]) -> None:
    def run() -> None:
        try:
            for item in open_stream():
                see(item)
        except httpx.TransportError:
            return

    threading.Thread(target=run, name=f"looks at {what}", daemon=True).start()

"""The test-bed of the failure matrix: one cluster, streams that never end on it, and the way back to a whole one."""

import datetime
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from benchmarks.failover.crowd import Crowd, wrong_tokens
from demo.checkpoint import Checkpoint, offer_volume, prepare_checkpoint, read_example
from demo.cluster import Cluster, Json
from demo.deployed import Deployed
from demo.observe import Seat, Snapshot
from demo.promises import broken_by_move
from demo.streams import Prompt
from demo.waiting import Answer, diagnose, wait_for
from moe_api.stage import MoEStage, MoveStatus
from moe_local import gpus
from moe_local.remote import Daemon
from moe_local.state import State
from tests.e2e.told import Mark, Told

MATRIX = Path(__file__).with_name("matrix.yaml")
NODES, GPUS_PER_NODE = 5, 2
NUM_STREAMS = 4
TOKENS_BEFORE = 8
PROMPTS = tuple(Prompt(text=f"Story {number}: once upon a time", max_tokens=48) for number in range(8))
FAILOVER: Json = {
    "evacuate": [],
    "breakerShare": 0.5,
    "breakerReleased": None,
    "restartBudget": 3,
    "slowFactor": 5,
}
"""What a row may change of spec.failover, as it is before every row."""


@dataclass(kw_only=True)
class Bed:
    """A deployment that serves, with every expert and lane where the plan has them."""

    deployed: Deployed
    told: Told
    tell: Callable[[str], None]
    url: str
    expected: list[list[int]]
    """What the undisturbed deployment says to each of PROMPTS."""
    home: Snapshot
    checkpoint: Checkpoint
    """A copy of its own, which a row may take away."""
    _rounds: int = field(default=0)

    @property
    def cluster(self) -> Cluster:
        """Its cluster."""
        return self.deployed.cluster

    def seat(self, rank: int) -> Seat:
        """A rank's seat as it is now."""
        return self.deployed.seats()[rank]

    def stage_of(self, seat: Seat) -> MoEStage:
        """The stage of a seat as it is now."""
        return self.deployed.stage(seat.stage)

    def quiet_seat(self) -> Seat:
        """A seat on a node with neither the gateway nor the operator, which a row must not lose along with it."""
        found = json.loads(self.cluster.moe_local("kubectl", "get", "pods", "--all-namespaces", "-o", "json"))["items"]
        workers = self.deployed.snapshot().pods
        busy = {pod["spec"].get("nodeName") for pod in found if pod["metadata"]["name"] not in workers}
        return next(seat for seat in reversed(self.deployed.seats()) if seat.node not in busy)

    def pod_mates(self, seat: Seat) -> list[Seat]:
        """All seats of the pod of a seat."""
        return [one for one in self.deployed.seats() if one.pod == seat.pod]

    def touched(self, seat: Seat) -> set[str]:
        """Stages that a loss of a seat and its return home may change: its own, and the first, which is told of lanes
        that are about to move.
        """
        return {seat.stage, min(self.home.epochs)}

    def moves_of(self, seat: Seat) -> list[MoveStatus]:
        """What its stage tells of moves, oldest first."""
        return self.stage_of(seat).status.moves

    @contextmanager
    def streams(self) -> Iterator[Crowd]:
        """Streams run in the block, in their middle at its begin; after it each slot has ended one more.

        None failed, and every token is the one of the undisturbed run.
        """
        self._rounds += 1
        with Crowd(self.url, self.deployed.model, PROMPTS, NUM_STREAMS, prefix=f"row-{self._rounds}") as crowd:
            self.until("every stream is in its middle", lambda: _are_under_way(crowd))
            yield crowd
            self.see_a_round(crowd)
        assert crowd.failed() == []
        assert wrong_tokens(crowd.asked, self.expected) == []
        stall = max((stream.longest_stall for stream in crowd.streams()), default=0.0)
        self.tell(f"{len(crowd.asked)} streams, the longest wait for a token was {1000 * stall:.0f} ms")

    def see_a_round(self, crowd: Crowd, timeout: float = 60) -> None:
        """Wait until streams that began after now have come to their ends."""
        begun = len(crowd.asked)
        self.until(
            "streams go on",
            lambda: sum(one.stream.is_complete for one in crowd.asked[begun:]) >= NUM_STREAMS,
            timeout=timeout,
        )

    def until(self, what: str, look: Callable[[], bool], timeout: float = 60, every: float = 0.2) -> None:
        """Wait for something to be so; else fail with how things stand."""
        seconds = wait_for(
            what,
            lambda: Answer(done=look(), text="not yet"),
            timeout=timeout,
            show=lambda _: None,
            diagnose=lambda: diagnose(self.cluster, self.deployed.name),
            every=every,
        )
        if seconds > 1:
            self.tell(f"{what} after {seconds:.1f} s")

    def wait_for_move(self, seat: Seat, known: Sequence[MoveStatus]) -> MoveStatus:
        """The move away from a seat that is not among the `known` ones, once it has ended; tells its parts' times."""
        old = {(move.time, move.rank, move.cause) for move in known}

        def found() -> list[MoveStatus]:
            moves = [move for move in self.moves_of(seat) if (move.time, move.rank, move.cause) not in old]
            return [move for move in moves if move.rank == seat.rank and move.load_ms is not None]

        self.until(f"experts {seat.experts} are served elsewhere", lambda: bool(found()))
        move = found()[0]
        parts = {"noticed": move.detect_ms, "committed": move.commit_ms, "loaded": move.load_ms}
        self.tell(f"rank {seat.rank}, {move.cause}: {', '.join(f'{part} {ms} ms' for part, ms in parts.items())}")
        return move

    def assert_moved(self, before: Snapshot, seats: Sequence[Seat]) -> None:
        """Exactly what these seats held has moved; no pod is new or restarted, no other stage has a new epoch."""
        assert broken_by_move(before, self.deployed.snapshot(), seats) == []

    def assert_told(self, mark: Mark, name: str, *moments: tuple[str, ...]) -> None:
        """Events about an object were recorded with all these reasons: those of a moment after all of the one before.

        What is told at the same moment comes in any order.
        """
        wanted = {reason for moment in moments for reason in moment}
        self.until("all is told", lambda: wanted <= set(mark.events(name)), timeout=20)
        told = mark.events(name)
        places = [[told.index(reason) for reason in moment] for moment in moments]
        assert all(max(one) < min(next_) for one, next_ in pairwise(places)), f"{told} is not in the order of {moments}"

    def assert_said(self, mark: Mark, name: str, kind: str, *words: str) -> None:
        """A condition of an object was all these, `status reason`, one after the other, and the last in the end."""
        self.until(f"{kind} is {words[-1]}", lambda: mark.conditions(name, kind)[-1:] == [words[-1]], timeout=20)
        said = iter(mark.conditions(name, kind))
        assert all(one in said for one in words), f"{mark.conditions(name, kind)} is not in the order of {words}"

    def hosts(self, rank: int) -> bool:
        """Whether some expert or lane is on a rank by the decisions of now."""
        now = self.deployed.snapshot()
        return any(rank in ranks for ranks in now.experts.values()) or rank in now.lanes.values()

    def fail_together(self, seats: Sequence[Seat]) -> None:
        """Fail the GPUs of several seats within milliseconds, which the command would take seconds for."""
        state = State(self.cluster.state)
        settings = state.require()
        for seat in seats:
            gpus.fail(state, settings, seat.node, seat.gpu, gpus.How.DEVICE)

    def patch_failover(self, **fields: object) -> None:
        """kubectl patch of spec.failover."""
        self.cluster.patch("moedeployments", self.deployed.name, {"spec": {"failover": fields}})

    def patch_experts(self, **fields: object) -> None:
        """kubectl patch of spec.experts."""
        self.cluster.patch("moedeployments", self.deployed.name, {"spec": {"experts": fields}})

    def make_whole(self) -> None:
        """Mend everything that a row may have broken, and wait until all is where the plan has it."""
        state = State(self.cluster.state)
        settings = state.require()
        daemon = Daemon(state, settings)
        for node in daemon.get("/local/nodes"):
            if node["cut_from"]:
                self.cluster.moe_local("node", "rejoin", node["name"])
            if not node["on"]:
                self.cluster.moe_local("node", "start", node["name"])
        for gpu in gpus.inspect(state, settings):
            gpus.heal(state, settings, gpu.node, gpu.index)
            daemon.post(f"/local/nodes/{gpu.node}/gpus/{gpu.index}/clear")
        for node in self._cordoned():
            self.cluster.kubectl("uncordon", node)
        self.patch_failover(**FAILOVER, cleared=[{"node": node, "at": now()} for node in settings.node_names])
        self.deployed.wait_until_available(timeout=90, show=lambda _: None)
        self.until("everything is at home", self.is_at_home, timeout=60)
        self.until("the gateway answers", self._is_answering)

    def is_at_home(self) -> bool:
        """Whether experts and lanes are where they were first, and nothing is masked, loading or about to move."""
        return self.deployed.is_at(self.home)

    def _is_answering(self) -> bool:
        [stream] = self.deployed.stream(self.url, [Prompt(text="Once", max_tokens=1)], show=lambda _: None)
        return stream.is_complete

    def _cordoned(self) -> list[str]:
        names = "jsonpath={.items[?(@.spec.unschedulable==true)].metadata.name}"
        return self.cluster.kubectl("get", "nodes", "-o", names).split()


def now() -> str:
    """As a person writes a time into a spec."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def own_checkpoint(cluster: Cluster, folder: Path) -> Checkpoint:
    """A copy of the model's folder for this cluster alone, offered as its volume."""
    shared = prepare_checkpoint(read_example(MATRIX))
    own = Checkpoint(volume=folder, folder=folder / shared.folder.name)
    shutil.copytree(shared.folder, own.folder)
    offer_volume(cluster, own)
    return own


def _are_under_way(crowd: Crowd) -> bool:
    streams = crowd.streams()
    return len(streams) >= NUM_STREAMS and all(len(one.tokens) >= TOKENS_BEFORE for one in streams[:NUM_STREAMS])

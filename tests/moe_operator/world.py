"""A small world around the operator: an API server in memory, nodes that run pods, and workers that report.

Nothing here waits: `settle` lets everybody act in turn until nothing changes any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from moe_api import names
from moe_api.conditions import rfc3339_micro
from moe_api.report import ExpertLoad, GpuHealth, Report, SeatReport, SlowPeer, UnreachablePeer
from moe_api.stage import MoEStage
from moe_operator import errors, resources
from moe_operator.api import Json
from moe_operator.desire.settings import Images
from moe_operator.events import Herald
from moe_operator.memory import MemoryApi, Place
from moe_operator.queue import Key
from moe_operator.reconcile import Reconciler

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
IMAGES = Images(worker="worker:test", gateway="gateway:test")
NAMESPACE = "default"
MOST_ROUNDS = 60


def _liking(pod: Json, node: str) -> int:
    """The scheduler's score of a node: the weights of the wishes that it fulfils."""
    affinity = pod["spec"].get("affinity", {}).get("nodeAffinity", {})
    wishes = affinity.get("preferredDuringSchedulingIgnoredDuringExecution", [])
    score = 0
    for wish in wishes:
        (expression,) = wish["preference"]["matchExpressions"]
        if (node in expression["values"]) == (expression["operator"] == "In"):
            score += wish["weight"]
    return score


class Crash(Exception):
    """The operator's process ends here."""


class ManualClock:
    """Time that moves when told."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class StoppedClock(ManualClock):
    """Who sleeps is woken when the time has been moved on for long enough."""

    def __init__(self) -> None:
        super().__init__()
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    async def sleep(self, seconds: float) -> None:
        sleeper = (self.seconds + seconds, asyncio.Event())
        self._sleepers.append(sleeper)
        await sleeper[1].wait()

    def advance(self, seconds: float) -> None:
        self.seconds += seconds
        for until, woken in self._sleepers:
            if until <= self.seconds + 1e-9:
                woken.set()


class World:
    """One MoEDeployment on equal nodes. `bad_gpus` are (node, gpu) with the reason their workers would give.

    `cut_off` are nodes whose pods neither hear other nodes nor are heard, `slow_gpus` those that are slow when they
    host something, `still_loading` the experts that ranks have not loaded yet.
    """

    def __init__(
        self,
        change: Callable[[Json], None] = lambda spec: None,
        before_write: Callable[[str, Place], None] = lambda verb, place: None,
    ) -> None:
        """`change` edits the spec of examples/small.yaml: 2 stages of 4 ranks, one pod each."""
        self.api = MemoryApi(before_write)
        self.clock = ManualClock()
        herald = Herald(self.api, self.clock)
        self.reconciler = Reconciler(api=self.api, clock=self.clock, images=IMAGES, herald=herald)
        self.bad_gpus: dict[tuple[str, int], str] = {}
        self.cut_off: set[str] = set()
        self.slow_gpus: set[tuple[str, int]] = set()
        self.still_loading: set[tuple[int, int]] = set()
        self._states: dict[tuple[str, int], tuple[str, str]] = {}
        self._unheard: dict[tuple[str, int], str] = {}
        self.counted: dict[int, dict[int, int]] = {}
        self.gateway_runs = True
        self.waits: dict[Key, float] = {}
        documents = yaml.safe_load_all((EXAMPLES / "small.yaml").read_text())
        body = next(one for one in documents if one and one["kind"] == names.DEPLOYMENT_KIND)
        body["metadata"]["namespace"] = NAMESPACE
        change(body["spec"])
        self.deployment = self.api.put(resources.DEPLOYMENTS, body)
        self.name: str = body["metadata"]["name"]
        for number in range(body["spec"]["hardware"]["nodes"] + 1):
            self.add_node(f"node-{number}", body["spec"]["hardware"]["gpusPerNode"])

    def add_node(self, name: str, gpus: int) -> None:
        ready = [{"type": "Ready", "status": "True"}]
        status = {"allocatable": {"nvidia.com/gpu": str(gpus)}, "conditions": ready}
        self.api.put(resources.NODES, {"metadata": {"name": name}, "spec": {}, "status": status})

    async def settle(self) -> int:
        """Everybody acts in turn until nothing changes and nobody waits for a time; the number of rounds it took."""
        for number in range(MOST_ROUNDS):
            before = self.api.version()
            await self.run_operator()
            await self.run_nodes()
            if self.api.version() == before:
                if not self.waits:
                    return number
                self.clock.seconds = max(self.clock.seconds, min(self.waits.values()))
        raise AssertionError(f"the world does not come to rest within {MOST_ROUNDS} rounds")

    async def run_operator(self) -> None:
        """One pass over every key; a conflict or an outage is left to the next round, as the queue would."""
        for key in await self.reconciler.all_keys():
            await self.reconcile(key)

    async def reconcile(self, key: Key) -> None:
        try:
            again_in = await self.reconciler.reconcile(key)
            self.waits.pop(key, None)
            if again_in is not None:
                self.waits[key] = self.clock.seconds + again_in
        except (errors.Conflict, errors.Unavailable):
            self.waits[key] = self.clock.seconds + 0.02

    async def run_nodes(self) -> None:
        """The scheduler, the kubelets and the workers."""
        self.clock.seconds += 0.1
        for pod in await self.api.list_objects(resources.PODS, NAMESPACE, {}):
            if pod["metadata"].get("deletionTimestamp"):
                self.api.remove(resources.PODS, NAMESPACE, pod["metadata"]["name"])
            elif "nodeName" not in pod["spec"]:
                await self._schedule(pod)
            else:
                await self._report(pod)
        await self._run_gateway()

    async def _schedule(self, pod: Json) -> None:
        pods = await self.api.list_objects(resources.PODS, NAMESPACE, {})
        taken = {other["spec"].get("nodeName") for other in pods}
        found = await self.api.list_objects(resources.NODES, None, {})
        nodes = [node["metadata"]["name"] for node in found if not node["spec"].get("unschedulable")]
        free = sorted((name for name in nodes if name not in taken), key=lambda name: -_liking(pod, name))
        if free:
            body = pod | {"spec": pod["spec"] | {"nodeName": free[0]}, "status": {"phase": "Running"}}
            self.api.put(resources.PODS, body)
            return
        message = f"0/{len(nodes)} nodes are available: insufficient nvidia.com/gpu"
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        self.api.put(resources.PODS, pod | {"status": {"phase": "Pending", "conditions": [condition]}})

    async def _report(self, pod: Json) -> None:
        owner = pod["metadata"]["ownerReferences"][0]["name"]
        try:
            stage = await self.stage(owner)
        except errors.NotFound:
            return
        report = self.report_of(pod, stage)
        annotations = pod["metadata"].get("annotations", {}) | {names.ANNOTATION_REPORT: report.to_json()}
        self.api.put(resources.PODS, pod | {"metadata": pod["metadata"] | {"annotations": annotations}})

    def report_of(self, pod: Json, stage: MoEStage) -> Report:
        """What the pod's supervisor would say; loading takes no time where nothing else is said."""
        uid, node = pod["metadata"]["uid"], pod["spec"]["nodeName"]
        seats = [self._seat(s.rank, s.gpu, node, stage) for s in stage.spec.ranks if s.pod_uid == uid]
        return Report(
            epoch=stage.metadata.generation,
            seats=[self._timed(uid, seat) for seat in seats],
            unreachable=self._unreachable(uid, node, stage),
            slow=self._slow(stage),
        )

    def _unreachable(self, uid: str, node: str, stage: MoEStage) -> list[UnreachablePeer]:
        """Ranks on other nodes, if either node is cut off."""
        others = [rank for rank in stage.status.ranks if rank.node not in (None, node)]
        unheard = [rank.rank for rank in others if node in self.cut_off or rank.node in self.cut_off]
        now = rfc3339_micro(self.clock.now())
        since = {rank: self._unheard.get((uid, rank), now) for rank in unheard}
        self._unheard = {pair: at for pair, at in self._unheard.items() if pair[0] != uid}
        self._unheard |= {(uid, rank): at for rank, at in since.items()}
        return [UnreachablePeer(rank=rank, since=at) for rank, at in since.items()]

    def _slow(self, stage: MoEStage) -> list[SlowPeer]:
        hosts = {rank for expert in stage.spec.experts for rank in expert.ranks}
        slow = [rank.rank for rank in stage.status.ranks if (rank.node, rank.gpu) in self.slow_gpus]
        return [SlowPeer(rank=rank, factor=8.0) for rank in slow if rank in hosts]

    def _timed(self, uid: str, seat: SeatReport) -> SeatReport:
        """The report with the time at which the seat's state became what it is."""
        state, since = self._states.get((uid, seat.rank), ("", ""))
        if state != seat.state:
            since = rfc3339_micro(self.clock.now())
        self._states[uid, seat.rank] = (seat.state, since)
        return seat.model_copy(update={"since": since})

    def _seat(self, rank: int, gpu: int, node: str, stage: MoEStage) -> SeatReport:
        bad = self.bad_gpus.get((node, gpu))
        if bad is not None:
            health = GpuHealth(index=gpu, id=f"{node}/{gpu}", healthy=False, reason=bad)
            return SeatReport(rank=rank, incarnation=1, state="failed", gpu=health)
        hosted = [e.expert for e in stage.spec.experts if rank in (*e.ranks, *e.loading)]
        held = [expert for expert in hosted if (expert, rank) not in self.still_loading]
        served = [ExpertLoad(expert=expert, tokens=n) for expert, n in sorted(self.counted.get(rank, {}).items())]
        address = f"127.0.0.1:{4000 + rank}"
        return SeatReport(
            rank=rank,
            incarnation=1,
            address=address,
            state="serving",
            experts=held,
            gpu=GpuHealth(index=gpu, id=f"{node}/{gpu}"),
            served=served,
        )

    async def serve(self, tokens: Mapping[int, int]) -> None:
        """Requests choose each expert so many times; its hosts share them evenly, and count them."""
        for expert in [expert for stage in await self.stages() for expert in stage.spec.experts]:
            for rank in expert.ranks:
                counts = self.counted.setdefault(rank, {})
                counts[expert.expert] = counts.get(expert.expert, 0) + tokens[expert.expert] // len(expert.ranks)

    async def _run_gateway(self) -> None:
        for gateway in await self.api.list_objects(resources.GATEWAYS, NAMESPACE, {}):
            ready = gateway["spec"]["replicas"] if self.gateway_runs else 0
            self.api.put(resources.GATEWAYS, gateway | {"status": {"readyReplicas": ready}})

    async def stage(self, name: str) -> MoEStage:
        return MoEStage.load(await self.api.get(resources.STAGES, NAMESPACE, name))

    async def stages(self) -> list[MoEStage]:
        return [MoEStage.load(raw) for raw in await self.api.list_objects(resources.STAGES, NAMESPACE, {})]

    async def status(self) -> Any:
        """The MoEDeployment's status, as read."""
        return (await self.api.get(resources.DEPLOYMENTS, NAMESPACE, self.name))["status"]

    async def conditions(self) -> dict[str, str]:
        """Type of condition -> `status reason`."""
        return {c["type"]: f"{c['status']} {c['reason']}" for c in (await self.status())["conditions"]}

    async def pods(self) -> list[Json]:
        return await self.api.list_objects(resources.PODS, NAMESPACE, {})

    async def events(self) -> list[str]:
        """`reason: message` of every event on the MoEDeployment."""
        found = await self.api.list_objects(resources.EVENTS, NAMESPACE, {})
        ours = [e for e in found if e["involvedObject"]["kind"] == names.DEPLOYMENT_KIND]
        return [f"{event['reason']}: {event['message']}" for event in ours]

    async def delete_pod(self, name: str) -> None:
        """A user deletes a pod: it is marked at once and gone a little later."""
        pod = await self.api.get(resources.PODS, NAMESPACE, name)
        pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        self.api.put(resources.PODS, pod)

    async def edit(self, change: Callable[[Json], None]) -> None:
        """A user edits the MoEDeployment's spec."""
        body = await self.api.get(resources.DEPLOYMENTS, NAMESPACE, self.name)
        change(body["spec"])
        self.api.put(resources.DEPLOYMENTS, body)

    async def end_state(self) -> Json:
        """Everything that should not depend on what went wrong on the way: no times, no UIDs, no attempts."""
        stages = {
            stage.metadata.name: {
                "experts": [expert.dump() for expert in stage.spec.experts],
                "lanes": [lane.dump() for lane in stage.spec.lanes],
                "masked": [(mask.rank, mask.reason, mask.node, mask.gpu) for mask in stage.spec.masked],
                "conditions": {c.type: (c.status, c.reason) for c in stage.status.conditions},
                "ready": stage.status.experts_summary,
            }
            for stage in await self.stages()
        }
        pods = sorted(pod["metadata"]["name"].rsplit("-a", 1)[0] for pod in await self.pods())
        return {"stages": stages, "pods": pods, "conditions": await self.conditions()}

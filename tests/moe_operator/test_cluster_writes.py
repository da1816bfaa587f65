"""The operator killed before and after its writes on a real API server, while an expert is failed over and returns.

Sampled; `make sweep` kills it around every single write (MOE_EVERY_NTH_WRITE=1).
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from typing import Any

import pytest

from moe_api import names
from moe_api.report import Report
from moe_api.stage import MoEStage
from moe_operator import errors, resources
from moe_operator.api import Json, KubernetesApi, Resource
from moe_operator.clock import SystemClock
from moe_operator.events import Herald
from moe_operator.queue import Key
from moe_operator.reconcile import Reconciler
from moe_operator.shared_lists import SharedLists
from tests.local_cluster import LocalCluster
from tests.moe_operator.test_cluster import living_nodes, seat_report, small
from tests.moe_operator.world import IMAGES

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

EVERY = int(os.environ.get("MOE_EVERY_NTH_WRITE", "7"))
MOST_ROUNDS = 60
LABEL = "moe-test/writes"
STAGES = ("small-r0-s00", "small-r0-s01")


class Killed(Exception):
    """The operator's process ended here."""


class MortalApi:
    """An operator's client. Its process ends `before` or `after` the write number `strike`, and with it all it does."""

    def __init__(self, api: KubernetesApi, strike: int = 0, moment: str = "") -> None:
        self._api = api
        self._strike = strike
        self._moment = moment
        self._is_dead = False
        self.num_writes = 0

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Json:
        return await self._alive(self._api.get(resource, namespace, name))

    async def list_objects(self, resource: Resource, namespace: str | None, labels: Mapping[str, str]) -> list[Json]:
        return await self._alive(self._api.list_objects(resource, namespace, labels))

    async def create(self, resource: Resource, body: Json) -> Json:
        return await self._write(self._api.create(resource, body))

    async def apply(self, resource: Resource, body: Json) -> Json:
        return await self._write(self._api.apply(resource, body))

    async def replace(self, resource: Resource, body: Json) -> Json:
        return await self._write(self._api.replace(resource, body))

    async def replace_status(self, resource: Resource, body: Json) -> Json:
        return await self._write(self._api.replace_status(resource, body))

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str, force: bool = False) -> None:
        await self._write(self._api.delete(resource, namespace, name, uid, force))

    async def _write(self, request: Coroutine[Any, Any, Any]) -> Any:
        self.num_writes += 1
        is_struck = self.num_writes == self._strike
        if is_struck and self._moment == "before":
            self._is_dead = True
        done = await self._alive(request)
        if is_struck:
            self._is_dead = True
            raise Killed
        return done

    async def _alive(self, request: Coroutine[Any, Any, Any]) -> Any:
        if self._is_dead:
            request.close()
            raise Killed
        return await request


class Bench:
    """One deployment in a namespace of its own, its workers played by hand, and an operator that can be killed."""

    def __init__(self, api: KubernetesApi, namespace: str) -> None:
        self.api = api
        self.namespace = namespace
        self.bad_ranks: set[int] = set()
        self.operator = MortalApi(api)
        self.num_killed = 0

    async def live(self) -> None:
        """Operator and workers act in turn until nothing changes any more; a killed operator is started again."""
        for _ in range(MOST_ROUNDS):
            before = await self._versions()
            is_done = await self._operate()
            await self._report()
            if is_done and await self._versions() == before:
                return
        raise AssertionError(f"no rest within {MOST_ROUNDS} rounds")

    async def lose_and_regain(self, strike: int = 0, moment: str = "") -> int:
        """One failover of rank 2 and its return, with the operator killed at one write; how many writes it took."""
        self.operator = first = MortalApi(self.api, strike, moment)
        self.bad_ranks = {2}
        await self.live()
        assert await self.hosts() == [[0], [1], [0], [3]]
        self.bad_ranks = set()
        await self.live()
        return first.num_writes

    async def stage(self, name: str) -> MoEStage:
        return MoEStage.load(await self.api.get(resources.STAGES, self.namespace, name))

    async def hosts(self) -> list[list[int]]:
        """Those of the first stage's experts."""
        return [expert.ranks for expert in (await self.stage(STAGES[0])).spec.experts]

    async def end_state(self) -> Json:
        """What must not depend on what happened on the way: no times, no counts."""
        stages = [await self.stage(name) for name in STAGES]
        deployment = await self.api.get(resources.DEPLOYMENTS, self.namespace, "small")
        pods = await self.api.list_objects(resources.PODS, self.namespace, {})
        return {
            "specs": [stage.spec.model_copy(update={"history": []}).dump() for stage in stages],
            "experts": [[one.dump() for one in stage.status.experts] for stage in stages],
            "conditions": {
                one["type"]: (one["status"], one["reason"], one["message"])
                for one in deployment["status"]["conditions"]
            },
            "pods": sorted((pod["metadata"]["name"], pod["metadata"]["uid"]) for pod in pods),
        }

    async def _operate(self) -> bool:
        """One pass over each object; whether all went through."""
        keys = [Key(kind=names.DEPLOYMENT_KIND, namespace=self.namespace, name="small")]
        keys += [Key(kind=names.STAGE_KIND, namespace=self.namespace, name=name) for name in STAGES]
        clock = SystemClock()
        herald = Herald(self.operator, clock)
        reconciler = Reconciler(api=self.operator, clock=clock, images=IMAGES, herald=herald)
        is_done = True
        for key in keys:
            try:
                is_done &= await reconciler.reconcile(key) is None
            except (errors.Conflict, errors.Unavailable):
                is_done = False
            except Killed:
                self.num_killed += 1
                self.operator = MortalApi(self.api)
                return False
        return is_done

    async def _report(self) -> None:
        """Every pod reports that it holds what its stage's spec says, but for the bad ranks."""
        for pod in await self.api.list_objects(resources.PODS, self.namespace, {}):
            stage = await self.stage(pod["metadata"]["ownerReferences"][0]["name"])
            mine = [seat for seat in stage.spec.ranks if seat.pod_uid == pod["metadata"]["uid"]]
            seats = [seat_report(stage, seat.rank, seat.gpu, seat.rank in self.bad_ranks) for seat in mine]
            text = Report(epoch=stage.metadata.generation, seats=seats).to_json()
            notes = pod["metadata"].setdefault("annotations", {})
            if notes.get(names.ANNOTATION_REPORT) != text:
                notes[names.ANNOTATION_REPORT] = text
                try:
                    await self.api.replace(resources.PODS, pod)
                except errors.Conflict:
                    continue  # The scheduler was faster; the next round reports.

    async def _versions(self) -> Json:
        kinds = (resources.DEPLOYMENTS, resources.STAGES, resources.PODS, resources.EVENTS)
        found = [one["metadata"] for kind in kinds for one in await self.api.list_objects(kind, self.namespace, {})]
        return {metadata["uid"]: metadata["resourceVersion"] for metadata in found}


@pytest.fixture
def nodes(cluster: LocalCluster) -> Iterator[None]:
    """Two that nobody runs."""
    with living_nodes(cluster, LABEL, 2):
        yield


@pytest.fixture
async def bench(cluster: LocalCluster, namespace: str, nodes: None) -> AsyncIterator[Bench]:
    body = small(namespace)
    body["spec"]["hardware"]["nodeSelector"] = {LABEL: "yes"}
    body["spec"]["failover"] = {"drainSeconds": 0, "quarantineSeconds": 0}
    cluster.apply(namespace, body)
    api = await KubernetesApi.connect({"KUBECONFIG": str(cluster.kubeconfig)}, SharedLists(time.monotonic, {}), {})
    bench = Bench(api, namespace)
    try:
        yield bench
    finally:
        await api.close()


async def test_an_operator_killed_around_any_write_is_followed_by_one_that_comes_to_the_same_end(bench: Bench) -> None:
    await bench.live()
    home = await bench.end_state()
    assert home["conditions"]["Available"][:2] == ("True", "AllExpertsReady")
    num_writes = await bench.lose_and_regain()
    assert await bench.end_state() == home
    assert num_writes > 15

    strikes = [(strike, moment) for strike in range(1, num_writes + 1) for moment in ("before", "after")]
    for strike, moment in strikes[::EVERY]:
        await bench.lose_and_regain(strike, moment)
        assert await bench.end_state() == home, f"{moment} write {strike}"
    assert bench.num_killed == len(strikes[::EVERY])

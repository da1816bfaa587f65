"""What a look at a stage costs, and what it sees when more is needed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from moe_api import names
from moe_operator import errors, resources
from moe_operator.api import Json, Resource
from moe_operator.memory import MemoryApi
from moe_operator.observe import observe_stage
from moe_operator.snapshot import StageSnapshot
from tests.moe_operator.test_reconcile import place_of, settled, two_pods_a_stage
from tests.moe_operator.world import NAMESPACE, World

STAGE = "small-r0-s00"


async def seen(world: World) -> tuple[StageSnapshot, int]:
    """The stage as a pass sees it, and how many reads that took."""
    before = world.api.num_reads
    snapshot = await observe_stage(world.api, NAMESPACE, STAGE)
    assert snapshot is not None
    return snapshot, world.api.num_reads - before


async def test_in_peace_a_stage_is_seen_without_the_others() -> None:
    snapshot, num_reads = await seen(await settled(World(two_pods_a_stage)))

    assert (snapshot.others, snapshot.siblings, num_reads) == ((), (), 4)


class WithoutDevices(MemoryApi):
    """An API server that has no kinds of dynamic resource allocation, or does not let the operator see them."""

    def __init__(self, error: type[errors.ApiError]) -> None:
        super().__init__()
        self._error = error

    async def list_objects(self, resource: Resource, namespace: str | None, labels: Mapping[str, str]) -> list[Json]:
        if resource.group == "resource.k8s.io":
            raise self._error(resource.plural)
        return await super().list_objects(resource, namespace, labels)


@pytest.mark.parametrize("error", [errors.NotFound, errors.Denied])
async def test_a_cluster_without_dynamic_resource_allocation_is_seen_as_well(error: type[errors.ApiError]) -> None:
    world = await settled(World(two_pods_a_stage))
    api = WithoutDevices(error)
    for resource in (resources.STAGES, resources.PODS, resources.NODES):
        for found in await world.api.list_objects(resource, None, {}):
            api.put(resource, found)

    snapshot = await observe_stage(api, NAMESPACE, STAGE)
    assert snapshot is not None
    assert (len(snapshot.pods), snapshot.device_taints) == (2, ())


async def test_an_outage_is_no_absence_of_taints() -> None:
    with pytest.raises(errors.Unavailable):
        await observe_stage(WithoutDevices(errors.Unavailable), NAMESPACE, STAGE)


async def test_the_replicas_other_pods_are_read_for_a_new_failure_and_no_longer_for_an_old_one() -> None:
    world = await settled(World(two_pods_a_stage))
    world.bad_gpus[await place_of(world, STAGE, 1)] = "XID 79"
    await world.run_nodes()

    snapshot, num_reads = await seen(world)
    assert ([pod.name for pod in snapshot.others], num_reads) == (["small-r0-s01-p0-a0", "small-r0-s01-p1-a0"], 5)

    await world.settle()
    assert (await seen(world))[1] == 4


class NodesLast(MemoryApi):
    """Nodes are told only when somebody has asked for pods of all stages."""

    def __init__(self, api: MemoryApi) -> None:
        super().__init__()
        self._api = api
        self._is_asked = asyncio.Event()

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Json:
        return await self._api.get(resource, namespace, name)

    async def list_objects(self, resource: Resource, namespace: str | None, labels: Mapping[str, str]) -> list[Json]:
        if resource == resources.NODES:
            async with asyncio.timeout(10.0):
                await self._is_asked.wait()
        elif resource == resources.PODS and names.LABEL_STAGE not in labels:
            self._is_asked.set()
        return await self._api.list_objects(resource, namespace, labels)


async def test_the_other_pods_are_read_while_the_nodes_are() -> None:
    world = await settled(World(two_pods_a_stage))
    world.bad_gpus[await place_of(world, STAGE, 1)] = "XID 79"
    await world.run_nodes()

    snapshot = await observe_stage(NodesLast(world.api), NAMESPACE, STAGE)
    assert snapshot is not None
    assert (len(snapshot.others), len(snapshot.nodes) > 0) == (2, True)


async def test_the_replicas_other_pods_are_read_where_somebody_is_not_heard() -> None:
    world = await settled(World(two_pods_a_stage))
    world.cut_off.add((await place_of(world, STAGE, 3))[0])
    await world.run_nodes()

    assert len((await seen(world))[0].others) == 2


async def test_the_other_stages_are_read_where_a_pod_is_to_be_made_which_keeps_away_from_what_failed_them() -> None:
    world = await settled(World(two_pods_a_stage))
    node, gpu = await place_of(world, "small-r0-s01", 4)
    world.bad_gpus[node, gpu] = "XID 79"
    await world.settle()
    await world.delete_pod("small-r0-s00-p1-a0")

    assert [stage.metadata.name for stage in (await seen(world))[0].siblings] == ["small-r0-s01"]
    await world.run_operator()
    created = await world.api.get(resources.PODS, NAMESPACE, "small-r0-s00-p1-a1")
    wishes = created["spec"]["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    away = [wish["preference"]["matchExpressions"][0] for wish in wishes if wish["weight"] == 100]
    assert [(one["operator"], one["values"]) for one in away] == [("NotIn", [node])]

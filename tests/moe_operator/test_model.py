"""Random histories of one stage: GPUs, pods and nodes that fail and return, copies that are patched, lost passes.

While capacity exists no expert is left without a host after a pass, except where the breaker is open; when faults stop,
the world comes to rest with everything at home.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import datetime
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from moe_api.stage import MoEStage
from moe_operator import errors, resources
from moe_operator.api import Json
from moe_operator.decide.evidence import find_evidence
from moe_operator.decide.seats import find_seats
from moe_operator.memory import Place
from moe_operator.observe import observe_stage
from moe_operator.queue import Key
from moe_operator.snapshot import StageSnapshot
from tests.moe_operator.world import NAMESPACE, World

STAGE = "small-r0-s00"
KEY = Key(kind="MoEStage", namespace=NAMESPACE, name=STAGE)
DEPLOYMENT = Key(kind="MoEDeployment", namespace=NAMESPACE, name="small")
NODES = [f"node-{number}" for number in range(3)]


def one_stage_of_two_pods(spec: Json) -> None:
    spec["model"]["shape"] |= {"layers": 1}
    spec["hardware"] |= {"nodes": 2, "gpusPerNode": 2}
    spec["engine"] = {"lanesPerRank": 8}


class OneStage(RuleBasedStateMachine):
    """Rules are what can happen; the invariant is looked at after each."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.world = World(one_stage_of_two_pods)
        self.was_seen = True

    def teardown(self) -> None:
        self.world.bad_gpus.clear()
        self.world.slow_gpus.clear()
        self.world.cut_off.clear()
        for node in NODES:
            self.taint(node, [])
        self.world.api.before_write = lambda verb, place: None
        self.do(self.world.edit(lambda spec: spec.update(experts={"copies": 1})))
        self.do(self.world.settle())
        stage = self.do(self.world.stage(STAGE))
        assert [expert.ranks for expert in stage.spec.experts] == [[0], [1], [2], [3]]
        assert [lane.rank for lane in stage.spec.lanes] == [0, 1, 2, 3]
        assert (stage.spec.masked, stage.spec.paused) == ([], None)
        self.loop.close()

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    @initialize()
    def come_up(self) -> None:
        self.do(self.world.settle())

    @rule(node=st.sampled_from(NODES), gpu=st.integers(0, 1))
    def gpu_fails(self, node: str, gpu: int) -> None:
        self.world.bad_gpus[node, gpu] = "XID 79"
        self.was_seen = False

    @precondition(lambda self: self.world.bad_gpus)
    @rule()
    def gpus_heal(self) -> None:
        self.world.bad_gpus.clear()
        self.was_seen = False

    @rule(gpus=st.sets(st.tuples(st.sampled_from(NODES), st.integers(0, 1)), min_size=3))
    def many_gpus_fail_at_once(self, gpus: set[tuple[str, int]]) -> None:
        self.world.bad_gpus |= dict.fromkeys(gpus, "no driver")
        self.was_seen = False

    @rule(node=st.sampled_from(NODES), gpu=st.integers(0, 1))
    def gpu_is_slow_or_no_longer(self, node: str, gpu: int) -> None:
        self.world.slow_gpus ^= {(node, gpu)}
        self.was_seen = False

    @rule(node=st.sampled_from(NODES))
    def node_is_cut_off_from_its_peers_or_no_longer(self, node: str) -> None:
        self.world.cut_off ^= {node}
        self.was_seen = False

    @rule(node=st.sampled_from(NODES), gpu=st.sampled_from(["", "0", "1", "0_1"]))
    def gpus_are_called_bad_from_outside(self, node: str, gpu: str) -> None:
        self.taint(node, [{"key": "nvidia.com/gpu-unhealthy", "value": gpu}] if gpu else [])
        self.was_seen = False

    def taint(self, node: str, taints: list[Json]) -> None:
        body = self.do(self.world.api.get(resources.NODES, None, node))
        self.world.api.put(resources.NODES, body | {"spec": {"taints": taints}})

    @rule(seconds=st.sampled_from([1, 3, 15, 65, 4000]))
    def time_passes(self, seconds: int) -> None:
        self.world.clock.seconds += seconds
        self.was_seen = False

    @rule(copies=st.integers(1, 3))
    def copies_are_patched(self, copies: int) -> None:
        self.do(self.world.edit(lambda spec: spec.update(experts={"copies": copies})))
        self.do(self.world.reconcile(DEPLOYMENT))
        self.was_seen = False

    @rule(number=st.integers(0, 9))
    def pod_is_deleted(self, number: int) -> None:
        pods = self.do(self.world.pods())
        if pods:
            self.do(self.world.delete_pod(pods[number % len(pods)]["metadata"]["name"]))
            self.was_seen = False

    @rule(node=st.sampled_from(NODES))
    def node_is_lost_and_replaced(self, node: str) -> None:
        self.world.api.remove(resources.NODES, "", node)
        self.do(self.operate())
        self.world.add_node(node, 2)
        self.was_seen = False

    @rule()
    def nodes_act(self) -> None:
        self.do(self.world.run_nodes())
        self.was_seen = False

    @rule()
    def operator_acts(self) -> None:
        self.do(self.operate())
        self.was_seen = True

    @rule(strike=st.integers(0, 3))
    def operator_is_cut_off(self, strike: int) -> None:
        left = [strike]

        def cut(verb: str, place: Place) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise errors.Unavailable(f"{verb} {place}")

        self.world.api.before_write = cut
        self.do(self.operate())
        self.world.api.before_write = lambda verb, place: None
        self.was_seen = False

    async def operate(self) -> None:
        await self.world.reconcile(KEY)

    @invariant()
    def every_expert_has_a_living_host_while_there_is_one(self) -> None:
        if not self.was_seen:
            return
        snapshot = self.do(observe_stage(self.world.api, NAMESPACE, STAGE))
        if snapshot is not None:
            _check_hosts(snapshot, self.world.clock.now())


def _check_hosts(snapshot: StageSnapshot, now: datetime) -> None:
    stage: MoEStage = snapshot.stage
    evidence = find_evidence(find_seats(snapshot), now)
    unable = set(evidence.losses) | evidence.doubted | {mask.rank for mask in stage.spec.masked}
    able = {seat.rank for seat in stage.spec.ranks} - unable
    if evidence.paused is not None:
        return
    for expert in stage.spec.experts:
        assert not able or set(expert.ranks) & able, f"expert {expert.expert} has no host although {able} could"
    for lane in stage.spec.lanes:
        assert not able or lane.rank in able, f"lane {lane.lane} has no seat although {able} could"


TestOneStage = OneStage.TestCase
TestOneStage.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)

"""What the plan says of targets and features, as a user reads it in the MoEDeployment's status."""

from __future__ import annotations

from typing import Any

import pytest

from moe_api.deployment import TargetsSpec
from moe_api.names import Reason
from moe_operator import resources
from moe_operator.api import Json
from moe_operator.decide.actions import Verdict
from moe_operator.status.targets import LINES, targets_met
from moe_planner.result import Check
from tests.moe_operator.world import NAMESPACE, World


def wanting(**fields: Any) -> Any:
    """A change of the small deployment's spec."""

    def change(spec: Json) -> None:
        for name, value in fields.items():
            spec[name] = spec.get(name, {}) | value

    return change


async def condition(world: World, kind: str) -> Json:
    return next(c for c in (await world.status())["conditions"] if c["type"] == kind)


async def settled(**fields: Any) -> World:
    world = World(wanting(**fields))
    await world.settle()
    return world


async def test_targets_that_the_plan_meets_hold() -> None:
    world = await settled(
        targets={"timeToFirstToken": "10s", "timePerOutputToken": "100ms"}, hardware={"profile": "h100-sxm"}
    )
    found = await condition(world, "TargetsMet")
    assert (found["status"], found["reason"]) == ("True", "TargetsHold")
    assert found["message"].startswith("predicted: Time to first token ")


async def test_a_target_that_no_layout_meets_names_its_bound() -> None:
    world = await settled(targets={"decodeThroughputPerGpu": 1e11}, hardware={"profile": "h100-sxm"})
    found = await condition(world, "TargetsMet")
    assert (found["status"], found["reason"]) == ("False", "TargetsUnreachable")
    assert "unreachable, bound by the " in found["message"]
    assert (await condition(world, "Available"))["status"] == "True"


async def test_targets_without_known_speeds_are_not_judged() -> None:
    world = await settled(targets={"timeToFirstToken": "10s", "memoryShare": 0.5})
    found = await condition(world, "TargetsMet")
    assert (found["status"], found["reason"]) == ("Unknown", "TargetsNotJudged")
    assert found["message"].startswith("timeToFirstToken cannot be judged: the GPUs' speed is not known; write ")


async def test_without_targets_there_is_no_such_condition() -> None:
    assert "TargetsMet" not in await (await settled()).conditions()


async def test_targets_may_change_while_stages_run() -> None:
    world = await settled(targets={"memoryShare": 0.5})
    assert (await world.conditions())["TargetsMet"] == "True TargetsHold"
    await world.edit(wanting(targets={"memoryShare": 0.0000001}))
    await world.settle()
    assert (await world.conditions())["TargetsMet"] == "False TargetsUnreachable"
    assert (await world.conditions())["Planned"] == "True LayoutPlanned"


async def test_status_carries_the_verification_and_is_not_written_again() -> None:
    world = await settled(targets={"memoryShare": 0.5}, hardware={"profile": "h100-sxm"})
    lines = {line["name"]: line for line in (await world.status())["verification"]}
    assert lines["GPU count"] | {"bound": ""} == {
        "name": "GPU count",
        "value": 8,
        "limit": 8,
        "unit": "GPUs",
        "verdict": "holds",
        "bound": "",
    }
    assert lines["Memory share"]["limit"] == 0.5
    num_writes = len(world.api.writes)
    await world.run_operator()
    assert world.api.writes[num_writes:] == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"parallelism": {"tensor": 2}}, "spec.parallelism.tensor = 2: "),
        ({"model": {"shape": {"family": "llama4_text"}}}, "spec.model.shape.family = llama4_text: the workers of "),
        (
            {"model": {"shape": {"expertBits": 4.25}}},
            "spec.model.shape.expertBits = 4.25: the workers of v1alpha1 hold",
        ),
    ],
)
async def test_what_the_workers_cannot_run_is_refused_with_the_remedy(fields: dict[str, Any], words: str) -> None:
    def change(spec: Json) -> None:
        for name, value in fields.items():
            if "shape" in value:
                spec["model"]["shape"] |= value["shape"]
            else:
                spec[name] = value

    world = World(change)
    await world.settle()
    found = await condition(world, "Planned")
    assert (found["status"], found["reason"]) == ("False", "NotSupported")
    assert words in found["message"]
    assert "; " in found["message"]
    assert await world.stages() == []


async def test_racks_and_zones_of_the_nodes_reach_the_plan() -> None:
    world = World(wanting(hardware={"rackLabel": "rack"}))
    for number in range(3):
        node = await world.api.get(resources.NODES, None, f"node-{number}")
        node["metadata"]["labels"] = {"rack": "a" if number != 1 else "b", "topology.kubernetes.io/zone": "z"}
        world.api.put(resources.NODES, node)
    await world.settle()
    assert (await world.conditions())["Planned"] == "True LayoutPlanned"
    assert (await world.conditions())["Available"] == "True AllExpertsReady"
    assert [body["metadata"]["namespace"] for body in await world.pods()] == [NAMESPACE, NAMESPACE]


async def test_nodes_with_several_types_of_gpu_are_refused_with_their_numbers() -> None:
    world = World()
    for number, product in enumerate(("H100", "A100", "H100")):
        node = await world.api.get(resources.NODES, None, f"node-{number}")
        node["metadata"]["labels"] = {"nvidia.com/gpu.product": product}
        world.api.put(resources.NODES, node)
    await world.settle()
    found = await condition(world, "Planned")
    assert (found["status"], found["reason"]) == ("False", "PlanRefused")
    assert found["message"].startswith("spec.hardware.nodeSelector = 1 x A100, 1 x H100: ")
    assert await world.stages() == []


def test_every_target_has_its_line() -> None:
    assert set(LINES) == {field.alias for field in TargetsSpec.model_fields.values()}


def test_a_missed_target_is_told_before_one_that_cannot_be_judged() -> None:
    share = Check(
        name="Memory share",
        formula="",
        value=0.6,
        limit=0.5,
        unit="share",
        verdict="fails",
        basis="assumed",
        bound="memory floor",
    )
    verdict = Verdict(is_planned=True, reason=Reason.LAYOUT_PLANNED, message="", verification=(share,))
    found = targets_met(verdict, ("timeToFirstToken", "memoryShare"))
    assert (found.status, found.reason) == ("False", "TargetsMissed")
    assert found.message == "predicted: Memory share 60.0% of 50.0% fails, bound by the memory floor"

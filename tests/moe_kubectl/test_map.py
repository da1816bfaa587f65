from __future__ import annotations

import io

from rich.console import Console, RenderableType

from moe_api.deployment import MoEDeployment
from moe_kubectl.expert_map import as_values, expert_map
from moe_kubectl.views import map_view, status_view
from tests.moe_kubectl.stages import small_with_a_masked_gpu


def lines(view: RenderableType) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=200).print(view)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_map_shows_moved_experts_and_masked_gpus() -> None:
    shown = lines(map_view(expert_map(small_with_a_masked_gpu()[1])))
    assert shown[1] == "r0 s00  0       1      4/4    node-0 0    1 2  3"
    assert shown[2] == "r0 s01  1       2      4/4    node-1 4,6* 5 XX 7"
    assert "small-r0-s01: rank 6 (node-1 gpu 2) is masked: GPUFailed" in shown


def test_values_name_rank_node_gpu_lanes_and_experts() -> None:
    first, second = as_values(expert_map(small_with_a_masked_gpu()[1]))
    assert [rank["rank"] for rank in first["ranks"]] == [0, 1, 2, 3]
    assert second["epoch"] == 2
    assert second["ranks"][2] | {"pod": ""} == {
        "rank": 6,
        "node": "node-1",
        "gpu": 2,
        "pod": "",
        "state": "masked",
        "masked": True,
        "reason": "GPUFailed",
        "lanes": (),
        "experts": (),
    }
    moved = {e["expert"]: e["moved"] for e in second["ranks"][0]["experts"]}
    assert moved == {4: False, 6: True}


def test_without_the_operators_note_nothing_counts_as_moved() -> None:
    _, stages = small_with_a_masked_gpu()
    bare = [
        stage.model_copy(update={"metadata": stage.metadata.model_copy(update={"annotations": {}})}) for stage in stages
    ]
    experts = [e for row in as_values(expert_map(bare)) for rank in row["ranks"] for e in rank["experts"]]
    assert len(experts) == 8
    assert not any(expert["moved"] for expert in experts)


def test_an_expert_without_a_host_is_named() -> None:
    _, (first, second) = small_with_a_masked_gpu()
    experts = [e.model_copy(update={"ranks": []}) if e.expert == 5 else e for e in second.spec.experts]
    broken = second.model_copy(update={"spec": second.spec.model_copy(update={"experts": experts})})
    assert "small-r0-s01: no host for experts 5" in lines(map_view(expert_map([first, broken])))


def test_status_shows_the_last_moves() -> None:
    shown = lines(status_view(*small_with_a_masked_gpu()))
    assert shown[0].startswith("default/small  no layout yet")
    assert any("small-r0-s01  gpu    node-1/2  6" in line for line in shown)


def test_status_shows_the_checks_of_the_plan_that_do_not_hold() -> None:
    one, stages = small_with_a_masked_gpu()
    line = {"name": "Decode step", "value": 0.2, "limit": 0.1, "unit": "s", "verdict": "fails", "bound": "step floor"}
    told = MoEDeployment.load(one.dump() | {"status": {"verification": [line, line | {"verdict": "holds"}]}})
    shown = lines(status_view(told, stages))
    assert [words for words in shown if "Decode step" in words] == ["fails: Decode step 200 ms of 100 ms, step floor"]

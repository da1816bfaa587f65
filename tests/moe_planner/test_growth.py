from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from moe_planner.growth import Growth, grow
from moe_planner.inputs import Constraints, Hardware
from moe_planner.layout import Layout
from moe_planner.model import ModelShape
from moe_planner.placement import place
from moe_planner.result import Degrees
from moe_planner.topology import seats_by_gpu
from tests.moe_planner.stages import ZIPF, on_nodes, placed, shaped


def grown(
    current: Layout, shape: ModelShape, hardware: Hardware, *, ranks: int, stages: int, copies: int = 1
) -> Growth:
    return grow(shape, current, hardware, Degrees(expert=ranks, pipeline=stages), Constraints(copies=copies))


def test_a_layout_that_needs_no_change_stays_and_loads_nothing() -> None:
    shape, hardware = shaped(layers=4, experts=8), on_nodes(8, 4)
    for copies in (1, 2):
        current = placed(shape, hardware, ranks=8, stages=4, constraints=Constraints(copies=copies))
        found = grown(current, shape, hardware, ranks=8, stages=4, copies=copies)
        assert found == Growth(layouts=(current,), experts=(), layers=())


def test_new_experts_are_all_that_is_loaded() -> None:
    current = placed(shaped(layers=2, experts=8), on_nodes(4, 4), ranks=8, stages=2)
    shape = shaped(layers=2, experts=10)
    found = grown(current, shape, on_nodes(4, 4), ranks=8, stages=2)
    assert [(load.layer, load.expert, load.from_gpu) for load in found.experts] == [
        (0, 8, None),
        (0, 9, None),
        (1, 8, None),
        (1, 9, None),
    ]
    assert found.layers == ()
    assert found.num_bytes == 4 * shape.expert_bytes
    assert found.layouts[0].stages[1].hosts(10) == (8,)


def test_a_new_layer_leaves_the_first_stages_alone() -> None:
    hardware = on_nodes(4, 4)
    current = placed(shaped(layers=4, experts=4), hardware, ranks=4, stages=4)
    shape = shaped(layers=5, experts=4)
    found = grown(current, shape, hardware, ranks=4, stages=4)
    assert [stage.num_layers for stage in found.layouts[0].stages] == [1, 1, 1, 2]
    assert found.layouts[0].stages[:3] == current.stages[:3]
    assert [(load.layer, load.to_gpu) for load in found.experts] == [(4, ("node-3", gpu)) for gpu in range(4)]
    assert [(load.layer, load.rank) for load in found.layers] == [(4, 12), (4, 13), (4, 14), (4, 15)]
    assert found.num_bytes == 4 * (shape.expert_bytes + shape.attention_bytes_of(4))


def test_more_nodes_take_half_of_what_each_gpu_had() -> None:
    shape = shaped(experts=8)
    current = placed(shape, on_nodes(1, 4), ranks=4)
    found = grown(current, shape, on_nodes(2, 4), ranks=8, stages=1)
    assert [(load.from_gpu, load.to_gpu[0]) for load in found.experts] == [
        (("node-0", gpu), "node-1") for gpu in range(4)
    ]
    assert len(found.layers) == 4


def test_fewer_nodes_keep_what_the_others_have() -> None:
    shape = shaped(layers=2, experts=4)
    current = placed(shape, on_nodes(2, 4), ranks=4, stages=2)
    left = Hardware(nodes=("node-1",), gpus_per_node=4, gpu_memory_bytes=1 << 36)
    found = grown(current, shape, left, ranks=4, stages=1)
    assert [(load.layer, load.from_gpu) for load in found.experts] == [(0, None)] * 4
    assert {load.layer for load in found.layers} == {0}


def test_a_lost_node_is_replaced_by_another_and_only_its_part_is_loaded() -> None:
    shape = shaped(layers=2, experts=8)
    current = placed(shape, on_nodes(4, 4), ranks=8, stages=2)
    others = Hardware(nodes=("node-0", "node-2", "node-3", "node-4"), gpus_per_node=4, gpu_memory_bytes=1 << 36)
    found = grown(current, shape, others, ranks=8, stages=2)
    assert {load.to_gpu[0] for load in found.experts} == {"node-4"}
    assert len(found.experts) == 4
    assert found.layouts[0].stages[1] == current.stages[1]


def test_other_replicas_take_the_nodes_that_are_left() -> None:
    shape, hardware = shaped(experts=4), on_nodes(3, 4)
    current = placed(shape, Hardware(nodes=("node-1",), gpus_per_node=4, gpu_memory_bytes=1), ranks=4)
    found = grow(shape, current, hardware, Degrees(expert=4, pipeline=1, data=2), Constraints())
    assert [layout.stages[0].seats[0].node for layout in found.layouts] == ["node-1", "node-0"]
    assert found.experts == ()


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_growth_is_legal_and_moves_no_more_than_its_nodes_make_it(data: st.DataObject) -> None:
    gpus, nodes = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 6))
    before, after = (shaped(data.draw(st.integers(1, 4)), data.draw(st.integers(1, 10))) for _ in range(2))
    stages = data.draw(st.integers(1, min(nodes, before.layers)))
    hardware = on_nodes(nodes, gpus)
    ranks = gpus * (nodes // stages)
    current = placed(before, hardware, ranks=ranks, stages=stages, loads=ZIPF)
    new_nodes = data.draw(st.integers(1, 6))
    new_stages = data.draw(st.integers(1, min(new_nodes, after.layers)))
    new_ranks = gpus * data.draw(st.integers(1, new_nodes // new_stages))
    new_hardware = on_nodes(new_nodes, gpus)
    found = grown(current, after, new_hardware, ranks=new_ranks, stages=new_stages)
    layout = found.layouts[0]
    hosted = Counter(copy.expert for stage in layout.stages for copy in stage.copies)
    assert hosted == dict.fromkeys(range(after.total_experts), 1)
    had: dict[tuple[str, int], set[tuple[int, int]]] = {}
    for gpu, (_, stage, rank) in seats_by_gpu([current], hardware).items():
        had[gpu] = {divmod(expert, before.experts) for expert in current.stages[stage].held(rank)}
    kept = 0
    for gpu, (_, stage, rank) in seats_by_gpu([layout], new_hardware).items():
        here = layout.stages[stage]
        share = -(-len(here.experts) // len(here.ranks))
        assert len(here.held(rank)) <= share
        mine = {e for e in had.get(gpu, set()) if e[1] < after.experts and e[0] * after.experts + e[1] in here.experts}
        kept += min(share, len(mine))
    assert len(found.experts) == after.total_experts - kept


def test_growth_is_the_same_each_time() -> None:
    shape = shaped(layers=3, experts=8)
    current = place(shape, on_nodes(4, 4), Degrees(expert=4, pipeline=3), Constraints(), ZIPF, batch=8)[0]
    args = (shaped(layers=4, experts=9), current, on_nodes(4, 4), Degrees(expert=4, pipeline=4), Constraints(), ZIPF)
    assert repr(grow(*args, batch=8)) == repr(grow(*args, batch=8))

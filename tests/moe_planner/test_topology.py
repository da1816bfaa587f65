from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moe_planner.errors import PlanError
from moe_planner.inputs import Constraints, Hardware, NodePlace
from moe_planner.placement import place
from moe_planner.result import Degrees
from moe_planner.topology import choose_nodes, grown_nodes, racks_of, seats_by_gpu, topology_notes
from tests.moe_planner.stages import in_racks, on_nodes, placed, shaped


def test_without_labels_nodes_are_filled_in_their_order() -> None:
    chosen = choose_nodes(on_nodes(4, 8), Degrees(expert=16, pipeline=2))
    assert chosen == ((("node-0", "node-1"), ("node-2", "node-3")),)


def test_a_stage_stays_in_one_rack_and_neighbours_are_near() -> None:
    # Nodes of the racks alternate; stages do not.
    racks = in_racks("z/a", "z/b", "z/a", "z/b", "z/a", "z/b")
    chosen = choose_nodes(on_nodes(6, 8, racks), Degrees(expert=16, pipeline=2))
    assert chosen == ((("node-0", "node-2"), ("node-1", "node-3")),)


def test_what_no_rack_holds_stays_in_one_zone() -> None:
    racks = in_racks("x/a", "y/b", "y/c")
    chosen = choose_nodes(on_nodes(3, 8, racks), Degrees(expert=16, pipeline=1))
    assert chosen == ((("node-1", "node-2"),),)


def test_a_replica_stays_in_one_zone_where_one_holds_it() -> None:
    racks = in_racks("x/a", "x/a", "y/b", "y/b", "y/c", "y/c")
    chosen = choose_nodes(on_nodes(6, 8, racks), Degrees(expert=16, pipeline=2))
    assert chosen == ((("node-2", "node-3"), ("node-4", "node-5")),)


def test_narrow_stages_are_preferred_to_near_ones() -> None:
    racks = in_racks("x/a", "x/a", "x/a", "x/b", "y/c", "y/c", "y/d")
    chosen = choose_nodes(on_nodes(7, 8, racks), Degrees(expert=16, pipeline=3))
    assert chosen == ((("node-0", "node-1"), ("node-2", "node-3"), ("node-4", "node-5")),)


def test_a_node_with_a_bad_gpu_is_used_with_what_it_has() -> None:
    hardware = on_nodes(2, 8, bad=(("node-0", 3),))
    layout = placed(shaped(layers=3, experts=4), hardware, ranks=4, stages=3)
    assert [stage.seats[0].node for stage in layout.stages] == ["node-0", "node-1", "node-1"]
    assert topology_notes(hardware, (layout,)) == ("node-0 has 1 bad GPU (3) of 8: 4 ranks are on its others",)


def test_a_node_with_a_bad_gpu_is_avoided_and_named_where_pods_take_whole_nodes() -> None:
    hardware = on_nodes(3, 8, bad=(("node-1", 0), ("node-1", 7)))
    layout = placed(shaped(experts=16), hardware, ranks=16)
    assert [seat.node for seat in layout.stages[0].seats[::8]] == ["node-0", "node-2"]
    assert topology_notes(hardware, (layout,)) == ("node-1 has 2 bad GPUs (0, 7) of 8: nothing is placed on it",)


def test_too_few_good_gpus_are_refused() -> None:
    with pytest.raises(PlanError, match="GPUs, 1 of them bad") as caught:
        placed(shaped(experts=16), on_nodes(2, 8, bad=(("node-1", 0),)), ranks=16)
    assert caught.value.field == "hardware.nodes"


def test_a_stage_wider_than_a_rack_is_named() -> None:
    racks = in_racks("z/a", "z/b")
    layout = placed(shaped(experts=16), on_nodes(2, 8, racks), ranks=16)
    assert topology_notes(on_nodes(2, 8, racks), (layout,)) == (
        "replica 0 stage 0 stands in 2 racks (z/a, z/b): none has room",
    )


def test_racks_of_one_name_in_two_zones_are_two() -> None:
    assert racks_of(on_nodes(3, 8, (*in_racks("x/a", "y/a"), NodePlace()))) == {
        "node-0": "x/a",
        "node-1": "y/a",
        "node-2": "",
    }


def test_seats_are_counted_over_the_good_gpus_of_a_node() -> None:
    hardware = on_nodes(1, 8, bad=(("node-0", 1),))
    layouts = place(shaped(layers=2, experts=3), hardware, Degrees(expert=3, pipeline=2), Constraints())
    found = seats_by_gpu(layouts, hardware)
    assert {gpu: place[2] for (_, gpu), place in found.items()} == {0: 0, 2: 1, 3: 2, 4: 3, 5: 4, 6: 5}


def test_a_seat_of_two_gpus_is_found_under_both() -> None:
    hardware = on_nodes(1, 4)
    layouts = place(shaped(experts=2), hardware, Degrees(expert=2, pipeline=1, sequence=2), Constraints())
    assert [place[2] for place in seats_by_gpu(layouts, hardware).values()] == [0, 0, 1, 1]


def test_grown_stages_keep_their_nodes_and_take_new_ones_beside_them() -> None:
    racks = in_racks("z/a", "z/b", "z/a", "z/b")
    kept = [{"node-1": 8}, {"node-0": 8}]
    assert grown_nodes(on_nodes(4, 8, racks), Degrees(expert=16, pipeline=2), kept) == (
        ("node-1", "node-3"),
        ("node-0", "node-2"),
    )


@st.composite
def sites(draw: st.DrawFn) -> tuple[Hardware, Degrees]:
    gpus = draw(st.integers(1, 4))
    nodes = draw(st.integers(1, 12))
    names = ["x/a", "x/b", "x/c", *draw(st.sampled_from([[], ["y/a", "/"]]))]
    labels = draw(st.lists(st.sampled_from(names), min_size=nodes, max_size=nodes))
    bad = draw(st.sets(st.tuples(st.integers(0, nodes - 1), st.integers(0, gpus - 1)), max_size=4))
    expert = draw(st.one_of(st.integers(1, gpus), st.integers(2, 3).map(lambda pods: pods * gpus)))
    degrees = Degrees(expert=expert, pipeline=draw(st.integers(1, 3)), data=draw(st.integers(1, 2)))
    return on_nodes(nodes, gpus, in_racks(*labels), tuple((f"node-{node}", gpu) for node, gpu in bad)), degrees


@settings(max_examples=200, deadline=None)
@given(sites())
def test_pods_fit_the_good_gpus_and_as_many_stages_as_can_be_stand_in_one_rack(site: tuple[Hardware, Degrees]) -> None:
    hardware, degrees = site
    size = min(degrees.expert, hardware.gpus_per_node)
    per_stage = degrees.expert // size
    bad = Counter(node for node, _ in hardware.bad_gpus)
    room = {node: (hardware.gpus_per_node - bad[node]) // size for node in hardware.node_names}
    needed = degrees.pipeline * degrees.data
    try:
        chosen = choose_nodes(hardware, degrees)
    except PlanError:
        assert sum(room.values()) // per_stage < needed
        return
    pods = Counter(node for replica in chosen for stage in replica for node in stage)
    assert sum(pods.values()) == needed * per_stage
    assert all(number <= room[node] for node, number in pods.items())
    racks = racks_of(hardware)
    if len({place.zone for place in hardware.places}) == 1:
        by_rack: Counter[str] = Counter()
        for node, number in room.items():
            by_rack[racks[node]] += number
        narrow = sum(len({racks[node] for node in stage}) == 1 for replica in chosen for stage in replica)
        assert narrow == min(needed, sum(number // per_stage for number in by_rack.values()))

from __future__ import annotations

from dataclasses import replace

import pytest

from moe_planner.inputs import Link
from moe_planner.result import Degrees
from moe_planner.speeds import Speeds
from moe_planner.traffic import boundary_bytes, dispatch_bytes, exchange, hop, reduction, transfer_seconds
from tests.moe_planner.document import DEGREES, LINK, model

INSIDE, BETWEEN = Link(bandwidth=400e9, latency=2e-6), Link(bandwidth=50e9, latency=10e-6)
SPEEDS = Speeds(peak_flops=1.0, flops=1.0, peak_memory=1.0, memory=1.0, inside=INSIDE, between=BETWEEN)


def test_the_documents_stage_boundary_carries_128_kib_in_a_step_and_1_34_gb_in_prefill() -> None:
    assert boundary_bytes(model(), 128) == 128 * 1024
    assert round(boundary_bytes(model(), 128 * 10240) / 1e9, 2) == 1.34
    assert transfer_seconds(LINK, boundary_bytes(model(), 128)) == pytest.approx(10e-6 + 2.62e-6, rel=1e-3)


@pytest.mark.parametrize(("chosen", "decode", "prefill"), [(1, 4.2, 42.9), (2, 8.4, 85.9)])
def test_the_documents_experts_move_rows_not_indices(chosen: int, decode: float, prefill: float) -> None:
    """There and back, over 16 layers."""
    assert round(2 * 16 * dispatch_bytes(model(chosen), 128) / 1e6, 1) == decode
    assert round(2 * 16 * dispatch_bytes(model(chosen), 128 * 10240) / 1e9, 1) == prefill


def test_an_exchange_waits_for_its_slower_links_and_leaves_out_what_stays() -> None:
    """Of 16 seats on two nodes of 8, 7/16 of the rows stay on the node and 8/16 leave it."""
    link = exchange(DEGREES, 8, SPEEDS)
    assert link == Link(latency=20e-6, bandwidth=50e9 * 2)
    assert exchange(Degrees(expert=8, pipeline=16), 8, SPEEDS) == Link(latency=4e-6, bandwidth=400e9 * 8 / 7)
    assert exchange(Degrees(expert=1, pipeline=16), 8, SPEEDS) is None


def test_seats_of_several_gpus_stand_wider_apart() -> None:
    """8 seats of 2 GPUs take two nodes: 3/8 of the rows stay, 4/8 leave, over two GPUs' links."""
    assert exchange(Degrees(expert=8, pipeline=1, tensor=2), 8, SPEEDS) == Link(latency=20e-6, bandwidth=50e9 * 2 * 2)


def test_a_hop_leaves_the_node_unless_it_holds_the_whole_pipeline() -> None:
    assert hop(DEGREES, 8, SPEEDS) == BETWEEN
    assert hop(Degrees(expert=4, pipeline=2), 8, SPEEDS) == INSIDE
    assert hop(Degrees(expert=4, pipeline=3), 8, SPEEDS) == BETWEEN


def test_a_sum_over_a_seat_goes_around_a_ring_there_and_back() -> None:
    assert reduction(replace(DEGREES, tensor=4), SPEEDS) == Link(latency=4e-6, bandwidth=400e9 / 1.5)

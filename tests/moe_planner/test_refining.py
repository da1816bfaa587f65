from __future__ import annotations

from moe_planner.packing import Packing, Spot, Weight
from moe_planner.refining import Change, apply, best_change, refine, undo


def packed(loads: dict[int, float], held: dict[int, list[int]], *, most_held: int | None, gpus: int = 1) -> Packing:
    spots = [Spot(rank=rank, pod=f"pod {rank // gpus}", rack="") for rank in held]
    packing = Packing(spots, {e: Weight(prefill=load, decode=0) for e, load in loads.items()}, most_held)
    for rank, experts in held.items():
        for expert in experts:
            packing.add(expert, rank)
    return packing


def test_the_busiest_rank_gives_what_evens_out_most() -> None:
    packing = packed({0: 4, 1: 3, 2: 1}, {0: [0, 1, 2], 1: []}, most_held=None)
    assert best_change(packing) == Change(source=0, target=1, expert=0, given=None)
    refine(packing, steps=9)
    assert packing.costs == {0: 4.0, 1: 4.0}


def test_full_ranks_exchange() -> None:
    packing = packed({0: 4, 1: 3, 2: 1, 3: 0}, {0: [0, 1], 1: [2, 3]}, most_held=2)
    assert best_change(packing) == Change(source=0, target=1, expert=0, given=2)
    assert best_change(packing, loads=1) is None


def test_a_change_taken_back_leaves_what_was() -> None:
    packing = packed({0: 4, 1: 3, 2: 1, 3: 0}, {0: [0, 1], 1: [2, 3]}, most_held=2)
    before = packing.copies()
    change = best_change(packing)
    assert change is not None
    apply(packing, change)
    assert packing.copies() != before
    undo(packing, change)
    assert packing.copies() == before


def test_copies_never_come_closer() -> None:
    # Pods of two ranks. Without its other copy on rank 2, expert 0 would go to rank 3 and leave 4 and 5.
    held = {0: [0, 1, 2], 1: [3], 2: [0], 3: []}
    packing = packed({0: 5, 1: 2, 2: 2, 3: 6}, held, most_held=None, gpus=2)
    assert best_change(packing) == Change(source=0, target=3, expert=1, given=None)


def test_a_single_hot_expert_cannot_be_helped() -> None:
    assert best_change(packed({0: 9, 1: 1}, {0: [0], 1: [1]}, most_held=1)) is None

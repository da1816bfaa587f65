"""The simulation's operator: layouts of stages, as rash as the protocol has to bear. Pure data and a random source."""

from collections.abc import Mapping
from dataclasses import replace
from random import Random

from moe_worker.protocol.view import SeatView, StageView
from tests.moe_worker.protocol.simulation.config import Config


def initial(config: Config, stage: int, random: Random) -> StageView:
    """Lane i at the stage's i-th rank; every expert at `copies` random ranks."""
    ranks = range(stage * config.ranks, (stage + 1) * config.ranks)
    first = stage * config.layers_per_stage * config.experts_per_layer
    experts = range(first, first + config.layers_per_stage * config.experts_per_layer)
    return StageView(
        stage=stage,
        epoch=1,
        seats={rank: SeatView(rank=rank, pod_uid=f"pod{rank}", gpu=0, address=f"{rank}") for rank in ranks},
        serving={expert: tuple(random.sample(ranks, config.copies)) for expert in experts},
        loading={},
        lanes=dict(enumerate(ranks)),
    )


def without(view: StageView, dead: int, alive: list[int], random: Random) -> StageView:
    """The rank's GPU is lost: its experts go to copies, else to any rank; its lanes to any seat."""
    serving = {expert: tuple(rank for rank in hosts if rank != dead) for expert, hosts in view.serving.items()}
    lanes = {lane: None if seat == dead else seat for lane, seat in view.lanes.items()}
    return housed(replace(view, epoch=view.epoch + 1, serving=serving, lanes=lanes), alive, random)


def housed(view: StageView, alive: list[int], random: Random) -> StageView:
    """Give whatever has no home one, if anybody is left."""
    if not alive:
        return view
    serving = {expert: hosts or (random.choice(alive),) for expert, hosts in view.serving.items()}
    lanes = {lane: random.choice(alive) if seat is None else seat for lane, seat in view.lanes.items()}
    return replace(view, serving=serving, lanes=lanes)


def with_rank(view: StageView, rank: int, alive: list[int], random: Random) -> StageView:
    """A healed rank takes some of what there is: an expert or two, a lane or two."""
    taken = {
        expert: random.choice(((rank,), (rank, *hosts), (*hosts, rank))) if rank not in hosts else hosts
        for expert, hosts in view.serving.items()
        if random.random() < 0.5
    }
    lanes = {lane: rank if random.random() < 0.4 else seat for lane, seat in view.lanes.items()}
    view = replace(view, epoch=view.epoch + 1, serving={**view.serving, **taken}, lanes=lanes)
    return housed(view, alive, random)


def with_lane_moved(view: StageView, alive: list[int], random: Random) -> StageView:
    """Some lane goes to another seat, though nothing is wrong."""
    lane = random.choice(list(view.lanes))
    return replace(view, epoch=view.epoch + 1, lanes={**view.lanes, lane: random.choice(alive)})


def with_copies_changed(view: StageView, alive: list[int], random: Random) -> StageView:
    """Some expert gets other hosts, half of the time told to load beforehand."""
    expert = random.choice(list(view.serving))
    hosts = tuple(random.sample(alive, random.randint(1, len(alive))))
    if random.random() < 0.5:
        return replace(view, epoch=view.epoch + 1, loading={expert: hosts})
    return replace(view, epoch=view.epoch + 1, serving={**view.serving, expert: hosts}, loading={})


def with_pod_replaced(view: StageView, rank: int, pod_uid: str) -> StageView:
    """The seat belongs to another pod from now on."""
    seats: Mapping[int, SeatView] = {**view.seats, rank: replace(view.seats[rank], pod_uid=pod_uid)}
    return replace(view, epoch=view.epoch + 1, seats=seats)

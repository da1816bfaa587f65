"""What a rank has been told of the committed layout: its own stage and the two beside it in the ring.

A view is a snapshot that may be older or newer than another rank's; the protocol stays right whatever the mix. Nothing
here knows where it came from or how a peer is reached. For a single stage all three are the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatView:
    """Who sits at a rank. `address` is "ip:port", or None while nobody has reported one."""

    rank: int
    pod_uid: str
    gpu: int
    address: str | None

    def to_dict(self) -> dict[str, Any]:
        return {"rank": self.rank, "podUID": self.pod_uid, "gpu": self.gpu, "address": self.address}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "SeatView":
        return cls(rank=data["rank"], pod_uid=data["podUID"], gpu=data["gpu"], address=data["address"])


@dataclass(frozen=True, slots=True, kw_only=True)
class StageView:
    """One stage at one epoch.

    `serving` gives the hosts of an expert (global id) in order of preference, `loading` those that are to load it but
    not to be asked yet, `lanes` the rank at which a lane sits, or None while no rank can take it. `draining` are lanes
    that are about to move: new requests had better go to others.
    """

    stage: int
    epoch: int
    seats: Mapping[int, SeatView]
    serving: Mapping[int, tuple[int, ...]]
    loading: Mapping[int, tuple[int, ...]]
    lanes: Mapping[int, int | None]
    draining: frozenset[int] = frozenset()

    @classmethod
    def unknown(cls, stage: int) -> "StageView":
        """A stage of which nothing has been heard yet."""
        return cls(stage=stage, epoch=0, seats={}, serving={}, loading={}, lanes={})

    def to_dict(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "epoch": self.epoch,
            "seats": [seat.to_dict() for seat in self.seats.values()],
            "serving": [[expert, list(ranks)] for expert, ranks in self.serving.items()],
            "loading": [[expert, list(ranks)] for expert, ranks in self.loading.items()],
            "lanes": [[lane, rank] for lane, rank in self.lanes.items()],
            "draining": sorted(self.draining),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "StageView":
        seats = [SeatView.from_dict(seat) for seat in data["seats"]]
        return cls(
            stage=data["stage"],
            epoch=data["epoch"],
            seats={seat.rank: seat for seat in seats},
            serving={expert: tuple(ranks) for expert, ranks in data["serving"]},
            loading={expert: tuple(ranks) for expert, ranks in data["loading"]},
            lanes=dict(data["lanes"]),
            draining=frozenset(data["draining"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A rank's surroundings: steps come from `previous` and go on to `next`; experts live in `own`."""

    own: StageView
    previous: StageView
    next: StageView

    def of_rank(self, rank: int) -> "View":
        """What concerns this rank: all of its own stage, who may connect from the one before, and where its lanes go
        on in the one after.
        """
        before, after = self.previous, self.next
        lanes = {lane: after.lanes.get(lane) for lane, seat in self.own.lanes.items() if seat == rank}
        on = {seat.rank: seat for seat in after.seats.values() if seat.rank in lanes.values()}
        peers = {seat.rank: replace(seat, address=None) for seat in before.seats.values()}
        return View(
            own=self.own,
            previous=replace(StageView.unknown(before.stage), epoch=before.epoch, seats=peers),
            next=replace(StageView.unknown(after.stage), epoch=after.epoch, seats=on, lanes=lanes),
        )

    def is_news_after(self, known: "View | None") -> bool:
        """Whether it says more than that a neighbour has a new epoch."""
        if known is None:
            return True
        previous = replace(known.previous, epoch=self.previous.epoch)
        return self != replace(known, previous=previous, next=replace(known.next, epoch=self.next.epoch))

    def to_dict(self) -> dict[str, Any]:
        return {"own": self.own.to_dict(), "previous": self.previous.to_dict(), "next": self.next.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "View":
        return cls(
            own=StageView.from_dict(data["own"]),
            previous=StageView.from_dict(data["previous"]),
            next=StageView.from_dict(data["next"]),
        )

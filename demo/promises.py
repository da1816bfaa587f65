"""What a failure must leave as it was: one line for each promise that a disturbed run broke, none when all held."""

from collections.abc import Iterable, Sequence

from demo.observe import Seat, Snapshot
from demo.streams import Stream


def broken_by_move(before: Snapshot, after: Snapshot, seats: Iterable[Seat]) -> list[str]:
    """Only what the lost `seats` held may have moved, within their stages; every pod is the same, never restarted."""
    lost, changes = list(seats), before.changes_to(after)
    allowed = {
        "pods": (changes.pods, frozenset()),
        "epochs": (changes.stages, frozenset(seat.stage for seat in lost)),
        "experts": (changes.experts, frozenset(expert for seat in lost for expert in seat.experts)),
        "lanes": (changes.lanes, frozenset((seat.stage, lane) for seat in lost for lane in seat.lanes)),
    }
    return [
        f"{what} that changed: {sorted(changed, key=str)}; exactly these should have: {sorted(wanted, key=str)}"
        for what, (changed, wanted) in allowed.items()
        if changed != wanted
    ]


def stalls(streams: Sequence[Stream]) -> str:
    """The longest wait for a token in each stream, milliseconds, longest first."""
    longest = sorted((1000 * stream.longest_stall for stream in streams), reverse=True)
    return " ".join(f"{one:.0f}" for one in longest)

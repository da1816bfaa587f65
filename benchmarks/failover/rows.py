"""The issue's table: of each promise what was measured, the bar, and whether it is kept. Pure.

Stalls are told for each load apart, beside the wait of the same streams while nothing failed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.failover.journal import Journal, Record
from benchmarks.failover.stalls import spread

LEAST_TIMES = 30
MOST_LOST = 0.15
AROUND_S = 10.0
SINGLE = ("exit", "device")
COPIED = ("copies-exit", "copies-device")
MOST_BOOKKEEPING = 0.01
PLANNED = (
    ("evacuate", "a node is emptied: streams of other lanes"),
    ("return", "its experts come back: streams of other lanes"),
)
MS = 1000


@dataclass(frozen=True, kw_only=True)
class Row:
    """`is_kept` is None where it was not measured; `calm` is the same quantity while nothing failed."""

    what: str
    bar: str
    found: str = "-"
    calm: str = "-"
    is_kept: bool | None = None

    @property
    def verdict(self) -> str:
        return {None: "not measured", True: "yes", False: "NO"}[self.is_kept]


def rows(journal: Journal) -> list[Row]:
    """In the order of the issue."""
    loads = levels(journal)
    main = loads[0] if loads else 0
    return [
        *(row for streams in loads or [0] for row in _stalls(journal, streams)),
        *(_group(journal, mode, streams) for mode in ("warm", "cold") for streams in loads or [0]),
        _lost(journal, main),
        _bookkeeping(journal),
        *(_planned(journal, streams, what, words) for streams in loads or [0] for what, words in PLANNED),
        _streams(journal),
    ]


def levels(journal: Journal) -> list[int]:
    """How many streams ran at a time, the most first."""
    return sorted({one["streams"] for one in (*journal.read("calm"), *journal.read("kill"))}, reverse=True)


def kills_of(journal: Journal, streams: int, parts: Sequence[str]) -> list[Record]:
    """Those under one load, of parts by what they do."""
    return [one for one in journal.read("kill", streams=streams) if one["part"].removeprefix("light-") in parts]


def calm_waits(journal: Journal, streams: int) -> list[float]:
    """Each stream's longest wait in each window of a kill's length, while nothing failed."""
    return [gap for one in journal.read("calm", streams=streams) for gap in one["longest"]]


def calm_rate(journal: Journal, streams: int) -> float | None:
    """Tokens a second while nothing failed; None where that was not looked at."""
    found = journal.read("calm", streams=streams)
    return sum(one["tokens"] for one in found) / sum(one["seconds"] for one in found) if found else None


def _stalls(journal: Journal, streams: int) -> list[Row]:
    single = kills_of(journal, streams, SINGLE)
    hung = kills_of(journal, streams, ["hang"])
    copied = kills_of(journal, streams, COPIED)
    calm = spread(calm_waits(journal, streams))
    of = f"{streams} streams: stall of"
    return [
        _stall(f"{of} those in the dead rank's lane", calm, single, "own", 0.5, 1.5),
        _stall(f"{of} those in the lane of a rank that hangs (with its 2 s)", calm, hung, "own", 2.5, 3.5),
        _stall(f"{of} all others", calm, single, "others", 0.3, 1.0),
        _stall(f"{of} all others, with a live copy", calm, copied, "others", 0.1, None),
    ]


def _stall(what: str, calm: str, kills: Sequence[Record], whose: str, typical: float, worst: float | None) -> Row:
    waits = [wait for kill in kills for wait in kill[whose]]
    bar = f"median < {typical:g} s" + (f", worst < {worst:g} s" if worst else "")
    if not waits:
        return Row(what=what, bar=bar, calm=calm)
    is_kept = median(waits) < typical and (worst is None or max(waits) < worst)
    return Row(what=f"{what}, {len(kills)} kills", bar=bar, found=spread(waits), calm=calm, is_kept=is_kept)


def _group(journal: Journal, mode: str, streams: int) -> Row:
    """Held against what the same failure costs the streams that it costs most: those in the dead rank's lane."""
    what, bar = f"{streams} streams: a group restart, {mode}", f">= {LEAST_TIMES} x longer"
    restarts = journal.read("group", mode=mode, streams=streams)
    waits = [wait for one in restarts for wait in one["waits"]]
    single = [wait for kill in kills_of(journal, streams, SINGLE) for wait in kill["own"]]
    failed = sum(len(one["failed"]) for one in restarts)
    if not waits or not single:
        return Row(what=what, bar=bar)
    times = median(waits) / median(single)
    told = f"{spread(waits)}: {times:.0f} x" + (f"; {failed} failed" if failed else "")
    return Row(what=what, bar=bar, found=told, is_kept=times >= LEAST_TIMES)


def _lost(journal: Journal, streams: int) -> Row:
    """All that was lost while ranks were killed, the looking on included, shared out over the kills."""
    what, bar = f"{streams} streams: throughput lost in the {AROUND_S:g} s around a kill", f"< {MOST_LOST:.0%}"
    parts = [one for one in journal.read("under", streams=streams) if one["part"] in SINGLE]
    calm, kills = calm_rate(journal, streams), sum(one["kills"] for one in parts)
    if not kills or calm is None:
        return Row(what=what, bar=bar)
    seconds, tokens = sum(one["seconds"] for one in parts), sum(one["tokens"] for one in parts)
    lost = (calm * seconds - tokens) / (kills * AROUND_S * calm)
    told = f"{lost:.1%} ({tokens / seconds:.1f} tokens/s with a kill every {seconds / kills:.1f} s)"
    return Row(what=what, bar=bar, found=told, calm=f"{calm:.1f} tokens/s", is_kept=lost < MOST_LOST)


def _bookkeeping(journal: Journal) -> Row:
    what, bar = "bookkeeping without faults, of the ranks' CPU time", f"<= {MOST_BOOKKEEPING:.0%}"
    found = journal.read("bookkeeping")
    if not found:
        return Row(what=what, bar=bar)
    share, samples = found[-1]["share"], found[-1]["samples"]
    error = (share / samples) ** 0.5
    told = f"{share:.1%} ± {error:.1%}, {found[-1]['by_clock']:.1%} of it by the clock ({samples} samples)"
    return Row(what=what, bar=bar, found=told, is_kept=share <= MOST_BOOKKEEPING)


def _planned(journal: Journal, streams: int, what: str, words: str) -> Row:
    words, bar = f"{streams} streams: {words}", "no gap above twice the median"
    moves = [one for one in journal.read("planned", what=what, streams=streams) if one["took"] is not None]
    gaps = [gap for move in moves for gap in move["between"]]
    calm = [gap for one in journal.read("calm", streams=streams) for gap in one["between"]]
    if not gaps or not calm:
        return Row(what=words, bar=bar)
    limit = 2 * median(calm)
    above, usual = _share_above(gaps, limit), _share_above(calm, limit)
    told = f"{above:.1%} of {len(gaps)} above {MS * limit:.0f} ms, worst {MS * max(gaps):.0f} ms"
    undisturbed = f"{usual:.1%} above, worst {MS * max(calm):.0f} ms"
    return Row(what=words, bar=bar, found=told, calm=undisturbed, is_kept=above == 0)


def _share_above(gaps: Sequence[float], limit: float) -> float:
    return sum(gap > limit for gap in gaps) / len(gaps)


def _streams(journal: Journal) -> Row:
    what, bar = "failed requests and wrong tokens, group restarts apart", "0 and 0"
    parts = journal.read("streams")
    if not parts:
        return Row(what=what, bar=bar)
    count: Callable[[str], int] = lambda field: sum(len(part[field]) for part in parts)  # noqa: E731
    failed, wrong, begun = count("failed"), count("wrong"), sum(part["begun"] for part in parts)
    return Row(what=what, bar=bar, found=f"{failed} and {wrong} of {begun} streams", is_kept=failed + wrong == 0)

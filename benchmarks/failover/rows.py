"""The issue's table: of each promise what was measured, the bar, and whether it is kept. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.failover.journal import Journal, Record
from benchmarks.failover.stalls import spread

LEAST_TIMES = 30
MOST_LOST = 0.15
AROUND_S = 10.0
SINGLE = ("exit", "device")
MOST_BOOKKEEPING = 0.01


@dataclass(frozen=True, kw_only=True)
class Row:
    """`is_kept` is None where it was not measured."""

    what: str
    bar: str
    found: str
    is_kept: bool | None

    @property
    def verdict(self) -> str:
        return {None: "not measured", True: "yes", False: "NO"}[self.is_kept]


def rows(journal: Journal) -> list[Row]:
    """In the order of the issue."""
    kills = journal.read("kill")
    single = [kill for kill in kills if kill["part"] in SINGLE]
    copied = [kill for kill in kills if kill["part"].startswith("copies-")]
    hung = [kill for kill in kills if kill["part"] == "hang"]
    return [
        _stall("streams in the dead rank's lane", single, "own", 0.5, 1.5),
        _stall("streams in the lane of a rank that hangs (with the heartbeat of 2 s)", hung, "own", 2.5, 3.5),
        _stall("all other streams", single, "others", 0.3, 1.0),
        _stall("all other streams, with a live copy", copied, "others", 0.1, None),
        *(_group(journal, mode, single) for mode in ("warm", "cold")),
        _lost(journal),
        _bookkeeping(journal),
        _planned(journal, "evacuate", "a node is emptied: streams of other lanes"),
        _planned(journal, "return", "its experts come back: streams of other lanes"),
        _streams(journal),
    ]


def _stall(what: str, kills: Sequence[Record], whose: str, typical: float, worst: float | None) -> Row:
    waits = [wait for kill in kills for wait in kill[whose]]
    bar = f"median < {typical:g} s" + (f", worst < {worst:g} s" if worst else "")
    if not waits:
        return Row(what=f"stall of {what}", bar=bar, found="-", is_kept=None)
    is_kept = median(waits) < typical and (worst is None or max(waits) < worst)
    return Row(what=f"stall of {what}, {len(kills)} kills", bar=bar, found=spread(waits), is_kept=is_kept)


def _group(journal: Journal, mode: str, kills: Sequence[Record]) -> Row:
    what, bar = f"the same failure as a group restart, {mode}", f">= {LEAST_TIMES} x longer"
    restarts = [record["stall"] for record in journal.read("group", mode=mode)]
    own = [wait for kill in kills for wait in kill["own"]]
    if not restarts or not own:
        return Row(what=what, bar=bar, found="-", is_kept=None)
    times = median(restarts) / median(own)
    return Row(what=what, bar=bar, found=f"{spread(restarts)}: {times:.0f} x", is_kept=times >= LEAST_TIMES)


def _lost(journal: Journal) -> Row:
    """All that was lost while ranks were killed, the looking on included, shared out over the kills."""
    what, bar = f"throughput lost in the {AROUND_S:g} s around a kill", f"< {MOST_LOST:.0%}"
    parts, calm = [one for one in journal.read("under") if one["part"] in SINGLE], calm_rate(journal)
    kills = sum(one["kills"] for one in parts)
    if not kills or calm is None:
        return Row(what=what, bar=bar, found="-", is_kept=None)
    seconds, tokens = sum(one["seconds"] for one in parts), sum(one["tokens"] for one in parts)
    lost = (calm * seconds - tokens) / (kills * AROUND_S * calm)
    told = f"{lost:.1%} ({tokens / seconds:.1f} of {calm:.1f} tokens/s with a kill every {seconds / kills:.1f} s)"
    return Row(what=what, bar=bar, found=told, is_kept=lost < MOST_LOST)


def calm_rate(journal: Journal) -> float | None:
    """Tokens a second while nothing failed, over all calm parts; None where there is none."""
    found = journal.read("calm")
    return sum(one["tokens"] for one in found) / sum(one["seconds"] for one in found) if found else None


def _bookkeeping(journal: Journal) -> Row:
    what, bar = "bookkeeping without faults, of the ranks' CPU time", f"<= {MOST_BOOKKEEPING:.0%}"
    found = journal.read("bookkeeping")
    if not found:
        return Row(what=what, bar=bar, found="-", is_kept=None)
    share, samples = found[-1]["share"], found[-1]["samples"]
    error = (share / samples) ** 0.5
    told = f"{share:.1%} ± {error:.1%} ({samples} samples)"
    return Row(what=what, bar=bar, found=told, is_kept=share <= MOST_BOOKKEEPING)


def _planned(journal: Journal, what: str, words: str) -> Row:
    bar = "no gap above twice the median"
    moves = [one for one in journal.read("planned", what=what) if one["took"] is not None]
    gaps = [gap for move in moves for gap in move["between"]]
    calm = [gap for one in journal.read("calm") for gap in one["between"]]
    if not gaps or not calm:
        return Row(what=words, bar=bar, found="-", is_kept=None)
    limit = 2 * median(calm)
    above, usual = _share_above(gaps, limit), _share_above(calm, limit)
    told = f"{above:.1%} of {len(gaps)} above {1000 * limit:.0f} ms, worst {1000 * max(gaps):.0f} ms"
    return Row(what=words, bar=bar, found=f"{told}; undisturbed {usual:.1%}", is_kept=above == 0)


def _share_above(gaps: Sequence[float], limit: float) -> float:
    return sum(gap > limit for gap in gaps) / len(gaps)


def _streams(journal: Journal) -> Row:
    what, bar = "failed requests and wrong tokens, group restarts apart", "0 and 0"
    parts = journal.read("streams")
    if not parts:
        return Row(what=what, bar=bar, found="-", is_kept=None)
    count: Callable[[str], int] = lambda field: sum(len(part[field]) for part in parts)  # noqa: E731
    failed, wrong, begun = count("failed"), count("wrong"), sum(part["begun"] for part in parts)
    return Row(what=what, bar=bar, found=f"{failed} and {wrong} of {begun} streams", is_kept=failed + wrong == 0)

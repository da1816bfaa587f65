"""The parts in which single ranks and GPUs fail under load, one after the other, each looked at for some seconds."""

import os
import time
from collections.abc import Sequence

from benchmarks.failover.bench import Bench
from benchmarks.failover.crowd import Asked, Crowd
from benchmarks.failover.journal import Record
from benchmarks.failover.kills import Kill, choose
from benchmarks.failover.phases import phases
from benchmarks.failover.stalls import arrivals_until, bins, is_through, longest_gap, num_tokens, spread

Heads = dict[int, frozenset[int]]
"""The lanes of each rank."""
WINDOW_S = 6.0
"""In which a failure's effect is looked for, and until the next failure."""
BEFORE_S = 1.0
"""Of rest between looking at the cluster, which costs it time, and the kill."""
BIN_S = 0.25
THROUGH_LIMIT_S = 60.0


def kill_ranks(bench: Bench, part: str, how: str, *, number: int, until: float) -> None:
    """So many kills in all, those of an earlier run counted, unless `until` comes first."""
    done = bench.journal.read("kill", part=part)
    if len(done) >= number:
        return
    with bench.crowd(part) as crowd:
        bench.wait_running(crowd)
        began, kills = time.monotonic(), 0
        for turn in range(len(done), number):
            if time.monotonic() > until:
                bench.show(f"{part}: no time for more than {turn} of {number} kills")
                break
            _kill(bench, crowd, part, how)
            kills += 1
        ended = time.monotonic()
        tokens = num_tokens(crowd.streams(), began, ended)
        bench.journal.add(
            "under", part=part, streams=bench.num_streams, kills=kills, seconds=ended - began, tokens=tokens
        )
        bench.judge(part, crowd)


def _kill(bench: Bench, crowd: Crowd, part: str, how: str) -> None:
    seats = bench.deployed.seats()
    hit = [record["rank"] for record in bench.journal.read("kill", part=part)]
    heads = {one.rank: frozenset(one.lanes) for one in seats}
    now = time.monotonic()
    lanes = frozenset(lane for one in crowd.running() for lane in bench.lanes_of(one, now, heads))
    if len(lanes) == 1 and len(hit) % 2:
        # All streams are in this lane: every other kill is one that they see as others'.
        lanes = frozenset().union(*heads.values()) - lanes
    seat = choose(seats, hit, lanes, bench.dice)
    time.sleep(BEFORE_S)
    running = crowd.running()
    kill = bench.hand.fail(seat, how)
    time.sleep(WINDOW_S)
    bench.wait_until(
        f"streams go on after the {how} of rank {seat.rank}",
        lambda: all(is_through(one.stream, kill.at) for one in running) and _is_over(bench, kill),
        THROUGH_LIMIT_S,
    )
    record = _look(bench, crowd, running, kill, heads)
    bench.journal.add("kill", part=part, streams=bench.num_streams, **record)
    own, others = spread(record["own"]), spread(record["others"])
    bench.show(f"{part} of rank {seat.rank}: its lane waited {own}, others {others}")


def _is_over(bench: Bench, kill: Kill) -> bool:
    return phases(kill, bench.seen, []).load is not None


def _look(bench: Bench, crowd: Crowd, running: Sequence[Asked], kill: Kill, heads: Heads) -> Record:
    lanes, ended, now = frozenset(kill.seat.lanes), kill.at + WINDOW_S, time.monotonic()
    own: list[list[float]] = []
    others: list[list[float]] = []
    for one in running:
        its = bench.lanes_of(one, kill.at, heads)
        if its and its <= lanes:
            own.append(arrivals_until(one.stream, now))
        elif its and not its & lanes:
            others.append(arrivals_until(one.stream, now))
    streams = crowd.streams()
    return {
        "how": kill.how,
        "rank": kill.seat.rank,
        "stage": kill.seat.stage,
        "lanes": sorted(lanes),
        "own": _stalls(own, kill.at, ended),
        "others": _stalls(others, kill.at, ended),
        "phases": phases(kill, bench.seen, own or others).told(),
        "bins": bins(streams, kill.at - BEFORE_S, BIN_S, int((BEFORE_S + WINDOW_S) / BIN_S)),
        "load": os.getloadavg()[0],
    }


def _stalls(arrivals: Sequence[Sequence[float]], began: float, ended: float) -> list[float]:
    """Each stream's longest wait of which some part lies between the two moments."""
    gaps = (longest_gap(one, began, ended) for one in arrivals)
    return [gap[1] - gap[0] for gap in gaps if gap is not None]

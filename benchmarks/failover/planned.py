"""The parts in which experts move though nothing failed: a node is emptied by a person's word, and filled again."""

import time
from collections.abc import Callable, Sequence

from benchmarks.failover.bench import Bench
from benchmarks.failover.crowd import Crowd
from benchmarks.failover.killing import WINDOW_S
from benchmarks.failover.stalls import inter_token_times, longest_per_window, num_tokens
from demo.observe import Seat

HOME_LIMIT_S = 60.0
AFTERWARDS_S = 5.0
LOOK_EVERY_S = 1.0


def empty_nodes(bench: Bench, part: str, *, number: int, until: float) -> None:
    """A node of another stage each time: emptied, then taken back."""
    done = len(bench.journal.read("planned", part=part, what="evacuate"))
    if done >= number:
        return
    with bench.crowd(part) as crowd:
        bench.wait_running(crowd)
        for turn in range(done, number):
            if time.monotonic() > until:
                bench.show(f"{part}: no time for more than {turn} of {number} nodes")
                break
            _empty(bench, crowd, part)
        bench.judge(part, crowd)


def come_home(bench: Bench, part: str) -> None:
    """Heal every GPU that an earlier part broke, and look on while all experts go home."""
    seats = bench.deployed.seats()
    broken = [seat for seat in seats if not seat.experts]
    if not broken or bench.journal.read("planned", part=part):
        return
    lanes = frozenset(range(len(seats)))
    with bench.crowd(part) as crowd:
        bench.wait_running(crowd)
        for seat in broken:
            bench.hand.heal(seat)
        _move(bench, crowd, part, "home", lanes, lambda: all(seat.experts for seat in bench.deployed.seats()))
        bench.judge(part, crowd)


def _empty(bench: Bench, crowd: Crowd, part: str) -> None:
    seats = bench.deployed.seats()
    node, lanes = _choose(bench, crowd, seats)
    _evacuate(bench, [{"node": node}])
    _move(bench, crowd, part, "evacuate", lanes, lambda: _is_empty(bench.deployed.seats(), node))
    _evacuate(bench, [])
    _move(bench, crowd, part, "return", lanes, lambda: not _is_empty(bench.deployed.seats(), node))


def _choose(bench: Bench, crowd: Crowd, seats: Sequence[Seat]) -> tuple[str, frozenset[int]]:
    """A node and its lanes, as few of them as can be with streams in: it is those of other lanes that are looked at."""
    heads = {seat.rank: frozenset(seat.lanes) for seat in seats}
    now = time.monotonic()
    used = frozenset(lane for one in crowd.running() for lane in bench.lanes_of(one, now, heads))
    lanes: dict[str, frozenset[int]] = {}
    for seat in seats:
        lanes[seat.node] = lanes.get(seat.node, frozenset()).union(seat.lanes)
    fewest = min(len(there & used) for there in lanes.values() if there)
    node = bench.dice.choice(sorted(node for node, there in lanes.items() if there and len(there & used) == fewest))
    return node, lanes[node]


def _evacuate(bench: Bench, places: list[dict[str, str]]) -> None:
    spec = {"spec": {"failover": {"evacuate": places}}}
    bench.deployed.cluster.patch("moedeployments", bench.deployed.name, spec)


def _is_empty(seats: Sequence[Seat], node: str) -> bool:
    return not any(seat.experts or seat.lanes for seat in seats if seat.node == node)


def _move(bench: Bench, crowd: Crowd, part: str, what: str, lanes: frozenset[int], is_done: Callable[[], bool]) -> None:
    """Look on until it is done: at the streams of the lanes that are not moved, and at all."""
    began, running = time.monotonic(), crowd.running()
    heads = {seat.rank: frozenset(seat.lanes) for seat in bench.deployed.seats()}
    seconds = None
    while seconds is None and time.monotonic() - began < HOME_LIMIT_S:
        time.sleep(LOOK_EVERY_S)
        seconds = time.monotonic() - began if is_done() else None
    time.sleep(AFTERWARDS_S)
    ended = time.monotonic()
    others = [one.stream for one in running if not bench.lanes_of(one, began, heads) & lanes]
    bench.journal.add(
        "planned",
        part=part,
        what=what,
        streams=bench.num_streams,
        took=seconds,
        seconds=ended - began,
        tokens=num_tokens(crowd.streams(), began, ended),
        between=sorted(inter_token_times(others, began, ended)),
        between_all=sorted(inter_token_times(crowd.streams(), began, ended)),
        longest=longest_per_window(others, began, ended, WINDOW_S),
    )
    told = "not within the time" if seconds is None else f"{seconds:.1f} s"
    bench.show(f"{part}, {what}: {told}, {len(others)} streams of other lanes")

"""`python -m benchmarks.relay`: tokens a second of 256 ranks, beside a bare relay of the same messages, in turns.

Both have as many processes on the same cores, of which one side waits in epoll while the other runs.
"""

import argparse
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.cpu_time import cpu_seconds
from benchmarks.machine import machine
from benchmarks.relay.bare import Ring, running_ring
from moe_worker.local import LocalCluster

MODEL = Path(__file__).parents[2] / "models" / "speaking"
LIMIT_S = 300.0
HEAD = (
    "in flight",
    "a lane",
    "engine, tokens/s",
    "relay, tokens/s",
    "relay over engine",
    "engine, CPU ms a token",
    "relay, CPU ms a token",
    "engine over relay",
)
READING = (
    "Median, least and most of rounds taken in turns, {} tokens of each sequence. The relay sends a lane's rows to the"
    " ranks that they choose, their answers back, the rows on to the next stage, and every token to the client, with"
    " nothing computed, from as many processes. `a lane` is how many sequences a lane gets before the next gets any, as"
    " spec.gateway.streamsPerLane says. The relay's headers are shorter, and a lane's sequences always travel as one"
    " batch. Ratios are of each round: how many times as long the engine takes as the messages alone, and how many"
    " times the CPU time of all ranks, which is what can be compared where others use the machine too."
)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One round: tokens a second, and CPU time of all ranks a token."""

    rate: float
    cpu_ms: float


@dataclass(frozen=True, kw_only=True)
class Row:
    """Both sides' rounds with so many sequences in flight, dealt out to the lanes `per_lane` at a time."""

    in_flight: int
    per_lane: int
    engine: tuple[Sample, ...]
    relay: tuple[Sample, ...]


def main() -> int:
    """Print one row for each number of sequences in flight; `--json FILE` keeps the samples, `--out FILE` a report."""
    options = _parse()
    dealt = dealings(options.in_flight, options.per_lane, options.ranks)
    rows = measure(options.model, options.ranks, dealt, options.tokens, options.rounds)
    Console().print(_table(rows))
    if options.out:
        options.out.write_text(report(rows, options.tokens))
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "rows": list(map(asdict, rows))}, indent=1) + "\n")
    return 0


def dealings(in_flight: Sequence[int], per_lane: Sequence[int], lanes: int) -> list[tuple[int, int]]:
    """Sequences in flight and how many a lane gets at a time, without those that come to the same."""
    found: dict[tuple[int, ...], tuple[int, int]] = {}
    for sequences in in_flight:
        for pack in per_lane:
            dealt = Counter(sequence // pack % lanes for sequence in range(sequences))
            found.setdefault(tuple(sorted(dealt.values())), (sequences, pack))
    return list(found.values())


def measure(model: Path, ranks: int, dealt: Sequence[tuple[int, int]], tokens: int, rounds: int) -> list[Row]:
    """`rounds` samples of each, taken in turns. Every stage is one layer of the model."""
    config = json.loads((model / "config.json").read_text())
    stages: int = config["num_hidden_layers"]
    ring = Ring(stages=stages, ranks=ranks, choices=config["num_experts_per_tok"], row_bytes=4 * config["hidden_size"])
    rows: list[Row] = []
    with running_ring(ring) as heads, LocalCluster(model, stages=stages, ranks=ranks) as cluster:
        pids = [cluster.pid(rank) for rank in range(stages * ranks)]
        for sequences, per_lane in dealt:

            def engine(sequences: int = sequences, per_lane: int = per_lane) -> None:
                prompts = [[5 + number, 9] for number in range(sequences)]
                answers = cluster.generate(prompts, tokens, limit_s=LIMIT_S, streams_per_lane=per_lane)
                assert all(len(answer) == tokens for answer in answers), "a sequence ended early"

            def bare(sequences: int = sequences, per_lane: int = per_lane) -> None:
                heads.send(sequences, tokens, per_lane)

            number = sequences * tokens
            both = [(_sample(engine, number, pids), _sample(bare, number, heads.pids)) for _ in range(rounds + 1)]
            ours, relay = zip(*both[1:], strict=True)
            rows.append(Row(in_flight=sequences, per_lane=per_lane, engine=ours, relay=relay))
            print(f"{sequences} in flight, {per_lane} a lane: {ours} and {relay}", file=sys.stderr)
    return rows


def _sample(run: Callable[[], None], tokens: int, pids: Sequence[int]) -> Sample:
    used, began = cpu_seconds(pids), time.perf_counter()
    run()
    seconds = time.perf_counter() - began
    return Sample(rate=tokens / seconds, cpu_ms=1000 * (cpu_seconds(pids) - used) / tokens)


def report(rows: Sequence[Row], tokens: int) -> str:
    """As markdown, with the machine."""
    told = ", ".join(f"{name} {value}" for name, value in machine().items())
    lines = [f"| {' | '.join(cells)} |" for cells in (HEAD, ("---",) * len(HEAD), *map(_cells, rows))]
    return "\n".join([f"# What the messages alone take\n\n{told}\n\n{READING.format(tokens)}\n", *lines]) + "\n"


def _table(rows: Sequence[Row]) -> Table:
    table = Table(*HEAD)
    for row in rows:
        table.add_row(*_cells(row))
    return table


def _cells(row: Row) -> tuple[str, ...]:
    both = list(zip(row.engine, row.relay, strict=True))
    return (
        str(row.in_flight),
        str(row.per_lane),
        _spread([one.rate for one in row.engine]),
        _spread([one.rate for one in row.relay]),
        _spread([relay.rate / engine.rate for engine, relay in both]),
        _spread([one.cpu_ms for one in row.engine]),
        _spread([one.cpu_ms for one in row.relay]),
        _spread([engine.cpu_ms / relay.cpu_ms for engine, relay in both if relay.cpu_ms]),
    )


def _spread(samples: Sequence[float]) -> str:
    if not samples:
        return "-"
    return f"{statistics.median(samples):.2f} ({min(samples):.2f} to {max(samples):.2f})"


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.relay", description=__doc__)
    parser.add_argument("--model", type=Path, default=MODEL, help="default: the model that ships")
    parser.add_argument("--ranks", type=int, default=16, help="of each stage")
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 16, 256])
    parser.add_argument("--per-lane", type=int, nargs="+", default=[1, 4], help="sequences dealt to a lane at a time")
    parser.add_argument("--tokens", type=int, default=32, help="of each sequence")
    parser.add_argument("--rounds", type=int, default=5, help="samples, after one to warm up")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--out", type=Path, help="a report in markdown")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

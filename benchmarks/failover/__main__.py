"""`make bench-failover`: how long streams wait when something dies at 256 ranks, on a cluster of its own.

A run that was cut off goes on when it is started again with the same --out. The report is made of what there is.
"""

import argparse
import os
import random
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from benchmarks.failover.bench import Bench
from benchmarks.failover.bookkeeping import profile
from benchmarks.failover.journal import Journal
from benchmarks.failover.kills import Hand
from benchmarks.failover.plan import run_parts
from benchmarks.failover.prompts import ROOT, expected_tokens, make_prompts
from benchmarks.failover.report import write_report
from benchmarks.failover.sightings import look_on
from benchmarks.machine import machine
from demo import installing
from demo.cluster import Cluster, CommandError
from demo.streams import Prompt
from demo.waiting import NeverHappened

AVAILABLE_LIMIT_S = 400.0


def main() -> int:
    """Measure, report; 1 where nothing could be measured."""
    options = parse()
    os.chdir(ROOT)
    options.out.mkdir(parents=True, exist_ok=True)
    journal = Journal(options.out / "journal.jsonl")
    journal.add("run", machine=machine(), options={name: str(value) for name, value in vars(options).items()})
    try:
        if not options.report_only:
            run(options, journal)
    except (CommandError, NeverHappened) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        print(write_report(journal, options.out))
    return 0


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.failover", description=__doc__)
    parser.add_argument("--example", type=Path, default=Path("examples/reference.yaml"))
    parser.add_argument("--nodes", type=int, default=32)
    parser.add_argument("--gpus-per-node", type=int, default=8)
    parser.add_argument("--streams", type=int, default=16, help="at a time, default 16: one for each lane")
    parser.add_argument("--kills", type=int, default=50, help="by exit and by device together, default 50")
    parser.add_argument("--minutes", type=float, default=15, help="after which no further failure is made, default 15")
    parser.add_argument("--seed", type=int, default=0, help="of who is hit")
    parser.add_argument("--parts", nargs="*", help="only these: see benchmarks/failover/plan.py")
    parser.add_argument(
        "--out", type=Path, default=Path(".bench/failover"), help="folder of the journal and the report"
    )
    parser.add_argument("--state", type=Path, default=Path(".bench/failover/cluster"), help="folder of the cluster")
    parser.add_argument("--keep", action="store_true", help="leave the cluster up")
    parser.add_argument("--report-only", action="store_true", help="measure nothing")
    options = parser.parse_args(arguments)
    for name in ("streams", "kills", "minutes"):
        if getattr(options, name) <= 0:
            parser.error(f"--{name} {getattr(options, name):g}: nothing would be measured; give more than 0")
    return options


def run(options: argparse.Namespace, journal: Journal) -> None:
    """Everything on a cluster with warm containers, then what is to be seen on one with cold ones."""
    until = time.monotonic() + 60 * options.minutes
    prompts = make_prompts()
    expected = expected_tokens(options.example, prompts)
    for mode in ("warm", "cold"):
        cluster = Cluster(options.state.resolve())
        if mode == "cold" and not _is_wanted(options, "group-cold"):
            continue
        try:
            bench = bring_up(cluster, options, journal, mode, prompts, expected)
            run_parts(bench, mode, number=options.kills, until=until, wanted=options.parts)
        finally:
            cluster.disconnect()
            if not options.keep or mode == "cold":
                with suppress(CommandError):
                    cluster.moe_local("down")
    if _is_wanted(options, "bookkeeping") and not journal.read("bookkeeping"):
        journal.add("bookkeeping", **profile())


def bring_up(
    cluster: Cluster,
    options: argparse.Namespace,
    journal: Journal,
    mode: str,
    prompts: Sequence[Prompt],
    expected: Sequence[Sequence[int]],
) -> Bench:
    """A deployment that serves, on a cluster of that mode."""
    size = (f"--nodes={options.nodes}", f"--gpus-per-node={options.gpus_per_node}")
    if mode == "cold":
        cluster.moe_local("up", *size, "--preload=")
    installing.start_cluster(cluster, nodes=options.nodes, gpus_per_node=options.gpus_per_node, say=_show)
    installing.prepare_model(cluster, options.example)
    deployed = installing.apply(cluster, options.example)
    took = deployed.wait_until_available(timeout=AVAILABLE_LIMIT_S, show=lambda _: None)
    _show(f"available after {took:.0f} s")
    journal.add("available", mode=mode, seconds=took)
    return Bench(
        deployed=deployed,
        hand=Hand(cluster),
        seen=look_on(cluster, deployed.name),
        url=deployed.url(),
        prompts=prompts,
        expected=expected,
        num_streams=options.streams,
        journal=journal,
        dice=random.Random(options.seed),
        show=_show,
    )


def _is_wanted(options: argparse.Namespace, part: str) -> bool:
    return options.parts is None or part in options.parts


def _show(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""`make bench-failover`: how long streams wait when something dies at 256 ranks, on a cluster of its own.

A run that was cut off goes on when it is started again with the same --out. The report is written anew after each part.
"""

import argparse
import math
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from benchmarks.failover.bookkeeping import profile
from benchmarks.failover.deploying import Wish, bring_up, patient
from benchmarks.failover.journal import Journal
from benchmarks.failover.plan import ERRORS, MODES, parts_of, run_parts
from benchmarks.failover.prompts import ROOT, expected_tokens, make_prompts
from benchmarks.failover.report import write_report, write_text
from benchmarks.machine import machine
from demo.cluster import Cluster, CommandError

WARM_SHARE = 0.7
"""Of the time; the rest is for the cluster whose containers start cold, and the profile."""
STAGES, RANKS = 4, 4
"""Of the profile where no deployment was brought up."""


def main() -> int:
    """Measure, report; 1 where a part broke."""
    options = parse()
    os.chdir(ROOT)
    options.out.mkdir(parents=True, exist_ok=True)
    journal = Journal(options.out / "journal.jsonl")
    if not options.report_only:
        journal.add("run", machine=machine(), options={name: str(value) for name, value in vars(options).items()})
        run(options, journal)
    print(write_report(journal, options.out))
    return 1 if journal.read("broken") else 0


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.failover", description=__doc__)
    parser.add_argument("--example", type=Path, default=Path("examples/reference.yaml"))
    parser.add_argument("--nodes", type=int, default=32)
    parser.add_argument("--gpus-per-node", type=int, default=8)
    parser.add_argument("--streams", type=int, default=16, help="at a time, default 16")
    parser.add_argument("--streams-per-lane", type=int, default=4, help="spec.gateway.streamsPerLane, default 4")
    parser.add_argument("--light-streams", type=int, default=2, help="where the machine has room, default 2")
    parser.add_argument("--kills", type=int, default=50, help="by exit and by device together, default 50")
    parser.add_argument("--minutes", type=float, default=28, help="in all: parts begin only in time, default 28")
    parser.add_argument("--seed", type=int, default=0, help="of who is hit")
    parser.add_argument("--parts", nargs="*", help="only these: see benchmarks/failover/plan.py; bookkeeping")
    parser.add_argument(
        "--out", type=Path, default=Path(".bench/failover"), help="folder of the journal and the report"
    )
    parser.add_argument("--state", type=Path, default=Path(".bench/failover/cluster"), help="folder of the cluster")
    parser.add_argument("--keep", action="store_true", help="leave the cluster up")
    parser.add_argument("--report-only", action="store_true", help="measure nothing")
    options = parser.parse_args(arguments)
    for name in ("streams", "streams_per_lane", "light_streams", "kills", "minutes"):
        if getattr(options, name) <= 0:
            flag = name.replace("_", "-")
            parser.error(f"--{flag} {getattr(options, name):g}: nothing would be measured; give more than 0")
    return options


def run(options: argparse.Namespace, journal: Journal) -> None:
    """Everything on a cluster with warm containers, then what is to be seen on one with cold ones, then the profile."""
    began = time.monotonic()
    for mode in MODES:
        if not _is_wanted(options, mode) or (mode == "cold" and journal.read("group", mode="cold")):
            continue
        share = WARM_SHARE if _is_wanted(options, "cold") else 1
        # A cold cluster is brought up for one part, which bounds itself: it is run.
        until = began + 60 * options.minutes * share if mode == "warm" else math.inf
        try:
            measure(options, journal, mode, until=until)
        except ERRORS as error:
            journal.add("broken", part=mode, error=f"{type(error).__name__}: {error}")
            show(f"the {mode} cluster broke: {error}")
        write_text(journal, options.out)
    if _is_part_wanted(options, "bookkeeping") and not journal.read("bookkeeping"):
        found = journal.read("available")
        size = (found[-1]["stages"], found[-1]["ranks"]) if found else (STAGES, RANKS)
        show(f"bookkeeping: {size[0]} stages of {size[1]} ranks")
        try:
            journal.add("bookkeeping", **profile(*size))
        except CommandError as error:
            journal.add("broken", part="bookkeeping", error=str(error))


def measure(options: argparse.Namespace, journal: Journal, mode: str, *, until: float) -> None:
    """All parts of a mode, on a cluster that is taken down afterwards."""
    prompts = make_prompts()
    wish = Wish(
        example=patient(options.example, options.out, options.streams_per_lane),
        nodes=options.nodes,
        gpus_per_node=options.gpus_per_node,
        num_streams=options.streams,
        seed=options.seed,
    )
    expected = expected_tokens(wish.example, prompts)
    cluster = Cluster(options.state.resolve())
    try:
        bench = bring_up(cluster, wish, mode, journal, prompts, expected, show)
        parts = parts_of(bench, mode, options.light_streams, options.kills)
        wanted = [part for part in parts if _is_part_wanted(options, part.name)]
        run_parts(bench, wanted, until=until, after=lambda: write_text(journal, options.out))
    finally:
        cluster.disconnect()
        if not options.keep:
            with suppress(CommandError):
                cluster.moe_local("down")


def show(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def _is_wanted(options: argparse.Namespace, mode: str) -> bool:
    if options.parts is None:
        return True
    return any((part == "group-cold") == (mode == "cold") for part in options.parts if part != "bookkeeping")


def _is_part_wanted(options: argparse.Namespace, part: str) -> bool:
    return options.parts is None or part in options.parts


if __name__ == "__main__":
    sys.exit(main())

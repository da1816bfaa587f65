"""`make chaos`: hundreds of random failures of every kind under running streams, on a cluster of its own.

The seed is printed: it says who is struck by what, not when a process is given the CPU. 1 when a promise is broken.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table

from benchmarks.chaos.faults import KINDS, Scene
from benchmarks.chaos.manifest import GPUS_PER_NODE, NODES, write_manifest
from benchmarks.chaos.means import Means
from benchmarks.chaos.processes import listener, number_of_processes, pods_without_spare
from benchmarks.chaos.report import Outcome
from benchmarks.chaos.run import Chaos
from benchmarks.chaos.verdict import promises
from benchmarks.failover.crowd import Crowd
from benchmarks.failover.kills import Hand
from benchmarks.failover.prompts import ROOT, expected_tokens, make_prompts
from benchmarks.soak.processes import Watched
from benchmarks.soak.report import none_of
from demo import installing
from demo.cluster import Cluster, CommandError, Json
from demo.deployed import Deployed
from demo.waiting import Answer, NeverHappened, wait_for
from moe_api import names

AVAILABLE_LIMIT_S = 180.0
REST_LIMIT_S = 180.0
GRACE_LIMIT_S = 45.0
LAST_ANSWERS_S = 5.0


def main() -> int:
    """Run, print; 1 when a promise is broken."""
    options = parse()
    os.chdir(ROOT)
    _show(f"seed {options.seed}: {options.kills} strikes of {', '.join(options.only)}")
    with tempfile.TemporaryDirectory(prefix="moe-chaos-") as made:
        outcome = run(options, Path(made))
    table = Table("promise", "kept", "found")
    for promise in outcome.promises:
        table.add_row(promise.name, "yes" if promise.is_kept else "NO", promise.found)
    console = Console(width=120)
    console.print(table)
    for promise in outcome.promises:
        for line in promise.evidence:
            console.print(f"{promise.name}: {line}", markup=False, highlight=False)
    if options.report:
        outcome.write(options.report)
    return 0 if outcome.is_good else 1


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of who is struck by what")
    parser.add_argument("--kills", type=int, default=1000, help="default 1000")
    parser.add_argument("--minutes", type=float, default=600, help="after which no more strikes are made")
    parser.add_argument("--streams", type=int, default=6, help="at a time, default 6")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS), help="kinds of failure, default all")
    parser.add_argument("--report", type=Path, help="write what came of it to this file, as markdown")
    options = parser.parse_args(arguments)
    for name in ("kills", "minutes", "streams"):
        if getattr(options, name) <= 0:
            parser.error(f"--{name} {getattr(options, name):g}: nothing would be shown; give more than 0")
    return options


def run(options: argparse.Namespace, folder: Path) -> Outcome:
    """What came of it, the end of the cluster included."""
    manifest, prompts = write_manifest(folder), make_prompts()
    cluster, watched = Cluster(folder / "cluster"), Watched()
    try:
        installing.start_cluster(cluster, nodes=NODES, gpus_per_node=GPUS_PER_NODE, say=_show)
        installing.prepare_model(cluster, manifest)
        expected = expected_tokens(manifest, prompts)
        deployed = installing.apply(cluster, manifest)
        deployed.wait_until_available(timeout=AVAILABLE_LIMIT_S, show=lambda _: None)
        before, number = deployed.snapshot(), _number_at_rest(cluster)
        with Crowd(deployed.url(), deployed.model, prompts, options.streams, prefix="chaos") as crowd:
            chaos = _chaos(options, deployed, watched, crowd)
            chaos.run(options.kills, time.monotonic() + 60 * options.minutes)
            degraded = _rest(deployed)
            too_many = _leaks(cluster, number)
            time.sleep(LAST_ANSWERS_S)
            chaos.remember()
        found = promises(chaos, crowd, expected, before, deployed.snapshot(), degraded)
    finally:
        cluster.disconnect()
        with suppress(CommandError):
            cluster.moe_local("down")
    left = [f"pid {pid} still runs" for pid in watched.left()]
    return Outcome(
        seed=options.seed,
        struck=chaos.counts,
        refused=chaos.refused,
        moments=chaos.moments,
        longest_wait=max((stream.longest_stall for stream in crowd.streams()), default=0.0),
        promises=[*found, none_of("leaked processes", [*too_many, *left])],
    )


def _chaos(options: argparse.Namespace, deployed: Deployed, watched: Watched, crowd: Crowd) -> Chaos:
    gateway = _gateway(deployed)
    scene = Scene(
        deployed=deployed,
        hand=Hand(deployed.cluster),
        means=Means(deployed.cluster),
        dice=random.Random(options.seed),
        gateway_node=str(gateway["spec"]["nodeName"]),
    )
    process = listener(str(gateway["status"]["podIP"]), urlsplit(deployed.url()).port or 80)
    return Chaos(scene=scene, watched=watched, kinds=options.only, gateway=process, crowd=crowd, show=_show)


def _number_at_rest(cluster: Cluster) -> int:
    """How many processes the nodes run once every pod has its spare rank, as each has at the end."""
    hand = Hand(cluster)

    def look() -> Answer:
        missing = pods_without_spare(hand.drivers())
        return Answer(done=missing == 0, text=f"{missing} pods have none")

    wait_for("a spare rank in every pod", look, timeout=GRACE_LIMIT_S, show=lambda _: None)
    return number_of_processes(cluster.state)


def _leaks(cluster: Cluster, before: int) -> list[str]:
    """Processes that the nodes run beyond those of the beginning, once pods that were told to end had time to."""

    def look() -> Answer:
        now = number_of_processes(cluster.state)
        return Answer(done=now <= before, text=f"{now} processes, {before} in the beginning")

    try:
        wait_for("as few processes as before", look, timeout=GRACE_LIMIT_S, show=lambda _: None)
    except NeverHappened as error:
        return [str(error)]
    return []


def _rest(deployed: Deployed) -> str:
    """Wait until everything is well again; else how it stands."""
    try:
        took = deployed.wait_until_available(timeout=REST_LIMIT_S, show=lambda _: None)
    except NeverHappened as error:
        return str(error)
    _show(f"well again {took:.0f} s after the last repair")
    return ""


def _gateway(deployed: Deployed) -> Json:
    labels = {names.LABEL_DEPLOYMENT: deployed.name, names.LABEL_APP_COMPONENT: names.COMPONENT_GATEWAY}
    return deployed.cluster.list("pods", labels)[0]


def _show(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

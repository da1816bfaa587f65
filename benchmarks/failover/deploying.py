"""A cluster of its own with the deployment that is measured, in one of two modes: containers start warm, or cold."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.failover.bench import Bench, Show
from benchmarks.failover.journal import Journal
from benchmarks.failover.kills import Hand
from benchmarks.failover.sightings import look_on
from demo import installing
from demo.cluster import Cluster
from demo.streams import Prompt

AVAILABLE_LIMIT_S = 300.0
HOLD_S = 600
"""So that a wait which is longer than what gateways bear by default is measured, and not an error."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is to run: `num_streams` at a time, on `nodes` of `gpus_per_node`."""

    example: Path
    nodes: int
    gpus_per_node: int
    num_streams: int
    seed: int


def patient(example: Path, folder: Path, streams_per_lane: int) -> Path:
    """The example in a file of its own, with gateways that fill lanes in packs of that size, and hold requests for as
    long as any part may take.
    """
    resource = yaml.safe_load(example.read_text())
    resource["spec"].setdefault("failover", {})["holdSeconds"] = HOLD_S
    resource["spec"].setdefault("gateway", {})["streamsPerLane"] = streams_per_lane
    file = folder / "deployment.yaml"
    file.write_text(yaml.safe_dump(resource))
    return file


def bring_up(
    cluster: Cluster,
    wish: Wish,
    mode: str,
    journal: Journal,
    prompts: Sequence[Prompt],
    expected: Sequence[Sequence[int]],
    show: Show,
) -> Bench:
    """A deployment that serves, on a cluster of that mode."""
    size = (f"--nodes={wish.nodes}", f"--gpus-per-node={wish.gpus_per_node}")
    if mode == "cold":
        cluster.moe_local("up", *size, "--preload=")
    installing.start_cluster(cluster, nodes=wish.nodes, gpus_per_node=wish.gpus_per_node, say=show)
    installing.prepare_model(cluster, wish.example)
    deployed = installing.apply(cluster, wish.example)
    took = deployed.wait_until_available(timeout=AVAILABLE_LIMIT_S, show=lambda _: None)
    seats = deployed.seats()
    stages = len({seat.stage for seat in seats})
    show(f"available after {took:.0f} s: {stages} stages of {len(seats) // stages} ranks")
    journal.add("available", mode=mode, seconds=took, stages=stages, ranks=len(seats) // stages)
    return Bench(
        deployed=deployed,
        hand=Hand(cluster),
        seen=look_on(cluster, deployed.name),
        url=deployed.url(),
        prompts=prompts,
        expected=expected,
        num_streams=wish.num_streams,
        journal=journal,
        dice=random.Random(wish.seed),
        show=show,
    )

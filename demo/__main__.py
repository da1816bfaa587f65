"""`make demo`: from nothing to tokens that survive a dead GPU, and what to type next. DEMO_KEEP=0 takes it all down.

DEMO_FLAGS="--layers 8 --experts 32" takes a model of that shape with random weights.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import httpx

from demo import asking, bringing_up, failing, shape
from demo.checkpoint import cache_folder, read_example
from demo.cluster import Cluster, CommandError
from demo.next_steps import tell_what_next
from demo.screen import Screen
from demo.tour import EXAMPLE, ROOT, Tour
from demo.waiting import NeverHappened

STEPS: tuple[Callable[[Tour], None], ...] = (
    asking.begin_reference,
    bringing_up.start_cluster,
    bringing_up.apply_deployment,
    bringing_up.wait_until_available,
    bringing_up.show_pods,
    asking.ask,
    failing.fail_a_gpu,
)


def main() -> int:
    """Walk through the steps; 0 when every promise held, 130 when stopped."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    shape.add_flags(parser)
    options = parser.parse_args()
    os.chdir(ROOT)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    state = Path(os.environ.get("MOE_LOCAL_STATE") or ROOT / ".moe-local")
    was_there, keep = state.exists(), os.environ.get("DEMO_KEEP", "1") != "0"
    example = shape.choose_example(EXAMPLE, options, cache_folder())
    tour = Tour(cluster=Cluster(state), screen=Screen(), example=example, deployment=read_example(example))
    try:
        walk(tour)
    except KeyboardInterrupt:
        tour.screen.say("stopped; a second `make demo` goes on from here")
        keep = keep and was_there
        return 130
    finally:
        leave(tour, keep=keep)
    return 1 if tour.screen.failures else 0


def walk(tour: Tour) -> None:
    """Every step in order; what goes wrong is told with its cause, and ends the tour as failed."""
    try:
        for step in STEPS:
            step(tour)
    except (CommandError, NeverHappened, httpx.HTTPError) as error:
        tour.screen.check(False, f"{type(error).__name__}: {error}")
    screen = tour.screen
    verdict = f"failed: {len(screen.failures)} promises broken" if screen.failures else "done: every promise held"
    screen.title(verdict)


def leave(tour: Tour, *, keep: bool) -> None:
    """Stop what the tour runs itself; take the cluster down unless it shall stay."""
    if tour.reference is not None:
        tour.reference.stop()
    if keep:
        tell_what_next(tour)
    tour.cluster.disconnect()
    if not keep:
        tour.screen.say("taking the cluster down")
        tour.cluster.moe_local("down")


if __name__ == "__main__":
    sys.exit(main())

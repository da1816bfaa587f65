"""Entry point of a worker pod: fork the fork server before anything else, then supervise."""

import os
import sys
from importlib import import_module
from typing import Any

from moe_worker import fork_server
from moe_worker.errors import SettingsError
from moe_worker.logs import Logger
from moe_worker.settings import PodSettings

EXIT_USAGE = 2


def main() -> None:
    """Reads the pod's environment once; exits with 0 after SIGTERM, else the container is started anew in place."""
    try:
        settings = PodSettings.from_env(os.environ)
    except SettingsError as error:
        Logger("supervisor").error(str(error))
        sys.exit(EXIT_USAGE)
    _, orders = fork_server.start(import_rank, warm_up=warm_up)
    # Only now: this brings an event loop and network clients, which must not be there when torch's process is forked.
    supervisor = import_module("moe_worker.supervisor.running")
    sys.exit(supervisor.run_supervisor(settings, orders))


def import_rank() -> fork_server.RunRank:
    """Import torch and all that ranks need, in the fork server only. One thread a process: two collapse on shared
    cores.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    run_rank: fork_server.RunRank = import_module("moe_worker.rank_process").run_rank
    return run_rank


def warm_up(settings: dict[str, Any]) -> None:
    """In a spare: the same module's, which is there already."""
    import_module("moe_worker.rank_process").warm_up(settings)


if __name__ == "__main__":
    main()

"""From settings to a running supervisor: the one place that makes its real collaborators."""

import asyncio
import socket

from moe_worker.api import KubernetesApi, pod_configuration
from moe_worker.logs import Logger
from moe_worker.settings import PodSettings
from moe_worker.supervisor.forks import Forks
from moe_worker.supervisor.pod import Supervisor


def run_supervisor(settings: PodSettings, fork_server: socket.socket) -> int:
    """Supervise until told to stop; the process's exit status."""
    return asyncio.run(_run(settings, fork_server))


async def _run(settings: PodSettings, fork_server: socket.socket) -> int:
    log = Logger("supervisor")
    own = (settings.namespace, settings.pod_name, settings.pod_uid)
    async with KubernetesApi(pod_configuration(), *own) as api:
        return await Supervisor(settings, api, Forks(fork_server), log).run()

"""What one node offers its pods: the collaborators and constants that every pod of the node shares."""

from __future__ import annotations

import datetime
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from moe_local.api import Api
from moe_local.nodes.addresses import Subnet
from moe_local.nodes.events import Events
from moe_local.nodes.gpus import Gpus
from moe_local.nodes.launcher import Launcher
from moe_local.nodes.status import rfc3339
from moe_local.nodes.way import Way

# Numeric libraries would otherwise start one thread per core in every container of the machine.
IMAGE_ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "PYTHONUNBUFFERED": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


@dataclass(frozen=True, kw_only=True)
class Host:
    """One node, as its pods see it."""

    name: str
    folder: Path
    api: Api
    launcher: Launcher
    gpus: Gpus
    subnet: Subnet
    events: Events
    allocatable: Mapping[str, str]
    way: Way
    now: Callable[[], datetime.datetime]

    def timestamp(self) -> str:
        """Now, as the API writes it."""
        return rfc3339(self.now())

    def base_environment(self, pod_name: str, home: Path) -> dict[str, str]:
        """The variables of every container, which an image and the kubelet would give it."""
        address, port = self.way.address
        programs = str(Path(sys.executable).parent)
        return IMAGE_ENVIRONMENT | {
            "PATH": f"{programs}:{os.environ.get('PATH', os.defpath)}",
            "HOME": str(home),
            "HOSTNAME": pod_name,
            "KUBERNETES_SERVICE_HOST": address,
            "KUBERNETES_SERVICE_PORT": str(port),
            "KUBERNETES_SERVICE_PORT_HTTPS": str(port),
            "KUBERNETES_PORT": f"tcp://{address}:{port}",
        }

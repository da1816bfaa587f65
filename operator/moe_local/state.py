"""Where the state of one cluster lies on disk, and the settings it was started with.

Knows paths and the settings file; starts and stops nothing.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from moe_local.errors import ClusterDown, LocalError

DEFAULT_PRELOAD = (
    "torch",
    "moe_worker.main",
    "moe_worker.rank_process",
    "moe_worker.supervisor.running",
    "moe_operator.main",
    "moe_gateway.main",
    "moe_gateway.server",
)
PORT_NAMES = ("etcd", "etcd-peer", "apiserver", "controller-manager", "scheduler", "nodes")
# Below Linux's ephemeral ports (32768-60999): a client that retries while its server is away could else be given the
# server's own port, connect to itself and keep the server from binding it.
PORT_RANGE = range(20000, 32000)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What `up` was asked for; fixed for the life of the cluster."""

    nodes: int = 32
    gpus_per_node: int = 8
    preload: tuple[str, ...] = DEFAULT_PRELOAD
    ports: dict[str, int] = field(default_factory=dict)
    programs: dict[str, str] = field(default_factory=dict)
    """Where each program of the control plane lies; later commands run the same ones."""
    cluster: str = field(default_factory=lambda: uuid.uuid4().hex[:8])

    @property
    def server(self) -> str:
        """The API server's URL."""
        return f"https://127.0.0.1:{self.ports['apiserver']}"

    @property
    def node_names(self) -> tuple[str, ...]:
        """node-00, node-01, ...: zero-padded so that they sort by number."""
        width = max(2, len(str(self.nodes - 1)))
        return tuple(f"node-{index:0{width}d}" for index in range(self.nodes))


class State:
    """The folder of one cluster."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.settings_file = self.root / "cluster.json"
        self.kubeconfig = self.root / "kubeconfig"
        self.pki = self.root / "pki"
        self.etcd = self.root / "etcd"
        self.logs = self.root / "logs"
        self.processes = self.root / "processes"
        self.nodes = self.root / "nodes"

    @classmethod
    def locate(cls, given: Path | None) -> State:
        """The folder given by --state, else MOE_LOCAL_STATE, else .moe-local in the current folder."""
        return cls(given or Path(os.environ.get("MOE_LOCAL_STATE") or ".moe-local"))

    def create(self) -> None:
        """Makes the folders; ignored by git, and closed to other users as it holds keys."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        (self.root / ".gitignore").write_text("*\n")
        for folder in (self.pki, self.logs, self.processes, self.nodes):
            folder.mkdir(exist_ok=True)

    def save(self, settings: Settings) -> None:
        """Writes the settings so that a reader sees all or nothing."""
        write_atomically(self.settings_file, json.dumps(asdict(settings), indent=2).encode())

    def load(self) -> Settings | None:
        """The settings of the cluster here, None when there is none or what is there cannot be read."""
        try:
            raw = json.loads(self.settings_file.read_text())
            return Settings(**{**raw, "preload": tuple(raw["preload"])})
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def require(self) -> Settings:
        """The settings; raises ClusterDown when there is no cluster here."""
        settings = self.load()
        if settings is None:
            raise ClusterDown(
                f"no cluster at {self.root}: run `moe-local up`, or name another folder with --state or MOE_LOCAL_STATE"
            )
        return settings

    def node(self, name: str) -> Path:
        """The folder of one node."""
        return self.nodes / name

    def gpu_file(self, node: str, index: int) -> Path:
        """The health file of one GPU: `healthy`, `slow: <factor>`, or `failed: <reason>`."""
        return self.node(node) / "gpus" / str(index)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the folder for one up, down or plane command; another one at the same time is refused."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise LocalError(
                f"another moe-local command is changing the cluster at {self.root}: let it finish, then try again"
            ) from None
        finally:
            os.close(handle)


def write_atomically(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replaces a file in one step."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(content)
    draft.replace(path)


def choose_ports() -> dict[str, int]:
    """A free port for every server of the plane."""
    candidates = random.sample(PORT_RANGE, 200)
    free = [port for port in candidates if is_free(port)]
    return dict(zip(PORT_NAMES, free, strict=False))


def is_free(port: int) -> bool:
    """Whether a server could listen at this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False

"""The four programs of the control plane and the daemon of the nodes: their flags, start, health, stop.

Knows one program at a time; the order of a whole start is in cluster.py.
"""

from __future__ import annotations

import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from moe_local import process
from moe_local.binaries import Binaries
from moe_local.errors import PlaneError
from moe_local.state import Settings, State, is_free

PROGRAM_NAMES = ("etcd", "apiserver", "controller-manager", "scheduler", "nodes")
START_SECONDS = 180.0
REMINDER_SECONDS = 10.0
STOP_SECONDS = 10.0
SERVICE_RANGE = "10.96.0.0/16"
ISSUER = "https://kubernetes.default.svc.cluster.local"


Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Program:
    """One long-lived process: how it is started, and the URL that answers 200 when it is ready."""

    name: str
    argv: tuple[str, ...]
    port: int
    health: str


class Plane:
    """Starts, checks and stops the programs of one cluster."""

    def __init__(self, state: State, settings: Settings, binaries: Binaries) -> None:
        self._state = state
        self._settings = settings
        self._records = process.Records(state.processes)
        self._programs = {program.name: program for program in _programs(state, settings, binaries)}

    def is_running(self, name: str) -> bool:
        """Whether the recorded process of this program is alive."""
        return self._records.read(name) is not None

    def start(self, name: str) -> bool:
        """Starts a program unless it runs; False when it ran already. Does not wait for it."""
        if self.is_running(name):
            return False
        program = self._programs[name]
        if not is_free(program.port):
            raise PlaneError(
                f"port {program.port} of 127.0.0.1 is in use by another program, and {name} was given it when the"
                " cluster was made: stop that program, or run `moe-local down` and `moe-local up` for new ports"
            )
        process.spawn(name, program.argv, _environment(), self.log(name), self._records)
        return True

    def await_ready(self, name: str, say: Say, seconds: float = START_SECONDS) -> None:
        """Returns when the program answers; raises PlaneError with its last words when it dies or stays silent.

        Each answers with a certificate of this cluster's own authority, so it is surely ours.
        """
        deadline = time.monotonic() + seconds
        reminder = time.monotonic() + REMINDER_SECONDS
        while not self.is_healthy(name):
            if not self.is_running(name):
                raise PlaneError(f"{name} ended while starting; {self.log(name)} ends with:\n{self._tail(name)}")
            if time.monotonic() > deadline:
                raise PlaneError(
                    f"{name} did not become ready within {seconds:.0f} s; its log {self.log(name)} ends with:\n"
                    f"{self._tail(name)}\nThe machine may be overloaded: run the command again to go on from here"
                )
            if time.monotonic() > reminder:
                reminder += REMINDER_SECONDS
                say(f"waiting until {name} is ready; its log is {self.log(name)}")
            time.sleep(0.05)

    def is_healthy(self, name: str) -> bool:
        """Whether the program answers its health check now."""
        try:
            with urllib.request.urlopen(self._programs[name].health, context=self._tls(), timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError, ValueError):
            return False

    def stop(self, name: str, grace_seconds: float = STOP_SECONDS) -> bool:
        """Stops a program; False when it did not run."""
        identity = self._records.read(name)
        if identity is not None:
            process.stop([identity], grace_seconds)
        self._records.forget(name)
        return identity is not None

    def log(self, name: str) -> Path:
        """The file that holds a program's output."""
        return self._state.logs / f"{name}.log"

    def _tail(self, name: str) -> str:
        return "\n".join(self.log(name).read_text(errors="replace").splitlines()[-12:])

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self._state.pki / "ca.crt"))
        context.load_cert_chain(self._state.pki / "admin.crt", self._state.pki / "admin.key")
        return context


def kill_all(state: State, names: Callable[[], list[str]]) -> None:
    """Stops every recorded process at once: the nodes with a word of warning, so that they see their pods die."""
    records = process.Records(state.processes)
    nodes = [identity for name in ("nodes",) if (identity := records.read(name))]
    process.stop(nodes, grace_seconds=5.0)
    rest = [identity for name in names() if (identity := records.read(name))]
    process.stop(rest, grace_seconds=0.0)
    for name in names():
        records.forget(name)


def _environment() -> dict[str, str]:
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH", "USER")
    return {name: os.environ[name] for name in kept if name in os.environ}


def _programs(state: State, settings: Settings, binaries: Binaries) -> list[Program]:
    ports = settings.ports
    return [
        Program(
            name="etcd",
            argv=_etcd(state, settings, binaries["etcd"]),
            port=ports["etcd"],
            health=f"https://127.0.0.1:{ports['etcd']}/readyz",
        ),
        Program(
            name="apiserver",
            argv=_apiserver(state, settings, binaries["kube-apiserver"]),
            port=ports["apiserver"],
            health=f"https://127.0.0.1:{ports['apiserver']}/readyz",
        ),
        Program(
            name="controller-manager",
            argv=_controller_manager(state, settings, binaries["kube-controller-manager"]),
            port=ports["controller-manager"],
            health=f"https://127.0.0.1:{ports['controller-manager']}/healthz",
        ),
        Program(
            name="scheduler",
            argv=_scheduler(state, settings, binaries["kube-scheduler"]),
            port=ports["scheduler"],
            health=f"https://127.0.0.1:{ports['scheduler']}/healthz",
        ),
        Program(
            name="nodes",
            argv=(sys.executable, "-m", "moe_local.nodes", "--state", str(state.root)),
            port=ports["nodes"],
            health=f"https://127.0.0.1:{ports['nodes']}/healthz",
        ),
    ]


def _etcd(state: State, settings: Settings, path: str) -> tuple[str, ...]:
    pki, ports = state.pki, settings.ports
    client, peer = f"https://127.0.0.1:{ports['etcd']}", f"http://127.0.0.1:{ports['etcd-peer']}"
    return (
        path,
        f"--data-dir={state.etcd}",
        "--name=moe-local",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=moe-local={peer}",
        f"--cert-file={pki}/server.crt",
        f"--key-file={pki}/server.key",
        "--client-cert-auth=true",
        f"--trusted-ca-file={pki}/ca.crt",
        # The state is thrown away with the cluster, and a killed process loses nothing that it has written.
        "--unsafe-no-fsync",
        "--log-level=warn",
        "--quota-backend-bytes=4294967296",
    )


def _apiserver(state: State, settings: Settings, path: str) -> tuple[str, ...]:
    pki, ports = state.pki, settings.ports
    return (
        path,
        f"--etcd-servers=https://127.0.0.1:{ports['etcd']}",
        f"--etcd-cafile={pki}/ca.crt",
        f"--etcd-certfile={pki}/etcd-client.crt",
        f"--etcd-keyfile={pki}/etcd-client.key",
        "--bind-address=127.0.0.1",
        f"--secure-port={ports['apiserver']}",
        "--endpoint-reconciler-type=none",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        f"--tls-cert-file={pki}/server.crt",
        f"--tls-private-key-file={pki}/server.key",
        f"--client-ca-file={pki}/ca.crt",
        "--authorization-mode=RBAC",
        "--allow-privileged=true",
        f"--service-account-issuer={ISSUER}",
        f"--service-account-key-file={pki}/service-accounts.key",
        f"--service-account-signing-key-file={pki}/service-accounts.key",
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        f"--kubelet-client-certificate={pki}/kubelet-client.crt",
        f"--kubelet-client-key={pki}/kubelet-client.key",
        f"--requestheader-client-ca-file={pki}/ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={pki}/front-proxy.crt",
        f"--proxy-client-key-file={pki}/front-proxy.key",
        "--profiling=false",
        f"--cert-dir={pki}",
    )


def _controller_manager(state: State, settings: Settings, path: str) -> tuple[str, ...]:
    pki = state.pki
    return (
        path,
        f"--kubeconfig={pki}/controller-manager.kubeconfig",
        f"--service-account-private-key-file={pki}/service-accounts.key",
        f"--root-ca-file={pki}/ca.crt",
        *_component(state, settings, "controller-manager"),
    )


def _scheduler(state: State, settings: Settings, path: str) -> tuple[str, ...]:
    return (path, f"--kubeconfig={state.pki}/scheduler.kubeconfig", *_component(state, settings, "scheduler"))


def _component(state: State, settings: Settings, name: str) -> tuple[str, ...]:
    return (
        "--bind-address=127.0.0.1",
        f"--secure-port={settings.ports[name]}",
        f"--tls-cert-file={state.pki}/server.crt",
        f"--tls-private-key-file={state.pki}/server.key",
        # There is one of each: a lease would only delay its return after a restart.
        "--leader-elect=false",
        "--kube-api-qps=1000",
        "--kube-api-burst=2000",
        "--profiling=false",
    )

"""The order in which a whole cluster comes up and goes down.

Every step asks first whether it is done already, so `up` can go on from wherever an earlier one ended.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from moe_local import certificates, process
from moe_local.binaries import Binaries
from moe_local.errors import LocalError, PlaneError
from moe_local.nodes import firewall
from moe_local.plane import PROGRAM_NAMES, Plane, kill_all
from moe_local.state import Settings, State, choose_ports

Say = Callable[[str], None]
MAXIMUM_NODES = 250
MAXIMUM_GPUS = 64


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What the user asked `up` for."""

    nodes: int
    gpus_per_node: int
    crds: tuple[Path, ...]
    preload: tuple[str, ...]

    def check(self) -> None:
        """Raises LocalError for numbers that no cluster can have."""
        for value, limit, option in (
            (self.nodes, MAXIMUM_NODES, "--nodes"),
            (self.gpus_per_node, MAXIMUM_GPUS, "--gpus-per-node"),
        ):
            if not 1 <= value <= limit:
                raise LocalError(f"{option} {value}: must be 1 to {limit}; choose a number in that range")
        for folder in self.crds:
            if not folder.is_dir():
                raise LocalError(f"--crds {folder}: is no folder; name one that holds CustomResourceDefinitions")


def up(state: State, wish: Wish, binaries: Binaries, say: Say) -> Settings:
    """Brings the cluster up, or completes it; what this call started is taken down again when it fails."""
    wish.check()
    with state.locked():
        adopted = _adopt(state, wish)
        started: list[str] = []
        try:
            settings = adopted or _prepare(state, wish, binaries)
            _start_all(state, settings, wish, binaries, say, started)
            return settings
        except BaseException:
            say("taking down again what was started")
            if adopted is None:
                _erase(state)
            else:
                _stop(Plane(state, adopted, binaries), started)
            raise


def down(state: State) -> bool:
    """Kills everything that belongs to the cluster and removes its state; False when there was nothing."""
    if not state.root.is_dir():
        return False
    with state.locked():
        existed = state.settings_file.exists() or bool(process.Records(state.processes).names())
        _erase(state)
        with contextlib.suppress(OSError):
            state.root.rmdir()
        return existed


def _adopt(state: State, wish: Wish) -> Settings | None:
    """The settings of a cluster that lives here; None, with its remains removed, when none does.

    After a reboot of the machine, or when every process was killed, what is on disk may be torn: start anew.
    """
    settings = state.load()
    records = process.Records(state.processes)
    alive = [name for name in PROGRAM_NAMES if records.read(name)]
    if settings is None or not alive:
        _erase(state)
        return None
    for field in ("nodes", "gpus_per_node"):
        if getattr(settings, field) != getattr(wish, field):
            raise LocalError(
                f"{field} {getattr(wish, field)}: the cluster at {state.root} runs with {getattr(settings, field)};"
                " run `moe-local down` first, or leave the option as it was"
            )
    return settings


def _prepare(state: State, wish: Wish, binaries: Binaries) -> Settings:
    settings = Settings(
        nodes=wish.nodes,
        gpus_per_node=wish.gpus_per_node,
        preload=wish.preload,
        ports=choose_ports(),
        programs={name: str(path) for name, path in binaries.paths.items()},
    )
    state.create()
    certificates.write_all(state, settings.server)
    # Last: its presence says that everything above is complete.
    state.save(settings)
    return settings


def _start_all(state: State, settings: Settings, wish: Wish, binaries: Binaries, say: Say, started: list[str]) -> None:
    plane = Plane(state, settings, binaries)

    def start(name: str) -> None:
        started.append(name) if plane.start(name) else None

    start("etcd")
    plane.await_ready("etcd", say)
    start("apiserver")
    plane.await_ready("apiserver", say)
    for folder in wish.crds:
        say(f"applying {folder}")
        _apply_crds(state, folder, binaries)
    # After the CRDs: a kind that appears later is garbage collected only after a resync of 30 s.
    for name in ("controller-manager", "scheduler", "nodes"):
        start(name)
    for name in ("controller-manager", "scheduler", "nodes"):
        plane.await_ready(name, say)


def _stop(plane: Plane, started: Sequence[str]) -> None:
    for name in reversed(started):
        plane.stop(name, grace_seconds=1.0)


def _erase(state: State) -> None:
    """Kills what is recorded and removes what we made, by name: the folder may be one that the user had before."""
    kill_all(state, process.Records(state.processes).names)
    if settings := state.load():
        firewall.remove(settings.cluster)
    for folder in (state.pki, state.etcd, state.logs, state.processes, state.nodes):
        shutil.rmtree(folder, ignore_errors=True)
    for file in (state.settings_file, state.kubeconfig, state.root / ".gitignore"):
        file.unlink(missing_ok=True)


def _apply_crds(state: State, folder: Path, binaries: Binaries) -> None:
    kubectl = [binaries["kubectl"], f"--kubeconfig={state.kubeconfig}"]
    manifests = sorted(str(path) for pattern in ("*.yaml", "*.yml", "*.json") for path in folder.glob(pattern))
    if not manifests:
        return
    files = [f"--filename={path}" for path in manifests]
    for command in (
        ["apply", "--server-side", "--force-conflicts", *files],
        ["wait", "--for=condition=Established", "--timeout=30s", *files],
    ):
        done = subprocess.run(kubectl + command, capture_output=True, text=True)
        if done.returncode != 0:
            raise PlaneError(f"{folder} was refused: {done.stderr.strip()}\nFix the manifest, then run `moe-local up`")

"""A handle on an embedded cluster, for the tests that need a real control plane."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moe_local import cluster
from moe_local.binaries import Binaries, ensure
from moe_local.state import Settings, State

Json = dict[str, Any]


def say(message: str) -> None:
    """Progress of a build, visible with `pytest -s`."""
    print(message, file=sys.stderr)


@dataclass(frozen=True, kw_only=True)
class LocalCluster:
    """One running cluster."""

    state: State
    settings: Settings
    binaries: Binaries

    @property
    def kubeconfig(self) -> Path:
        """The admin's kubeconfig."""
        return self.state.kubeconfig

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs `moe-local ARGUMENTS` for this cluster."""
        command = [sys.executable, "-m", "moe_local.main", "--state", str(self.state.root), *arguments]
        return self._execute(command, None, check)

    def kubectl(self, *arguments: str, text: str | None = None, check: bool = True) -> str:
        """The output of `kubectl ARGUMENTS`, given `text` on its standard input."""
        command = [self.binaries["kubectl"], f"--kubeconfig={self.kubeconfig}", *arguments]
        return self._execute(command, text, check).stdout

    def apply(self, namespace: str, *objects: Json) -> None:
        """Applies objects to a namespace, by the server's side."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self.kubectl("-n", namespace, "apply", "--server-side", "-f", "-", text=text)

    def get(self, namespace: str, kind: str, name: str) -> Json:
        """One object, {} when there is none."""
        text = self.kubectl("-n", namespace, "get", kind, name, "-o", "json", "--ignore-not-found")
        return json.loads(text) if text.strip() else {}

    def list(self, namespace: str, kind: str, selector: str = "") -> list[Json]:
        """All objects of a kind."""
        found = json.loads(self.kubectl("-n", namespace, "get", kind, "-o", "json", f"--selector={selector}"))
        return list(found["items"])

    def namespace(self) -> str:
        """A new namespace that is ready for pods: deleting one takes long, so every test takes its own."""
        name = f"t-{uuid.uuid4().hex[:8]}"
        self.kubectl("create", "namespace", name)
        self.until(lambda: self.get(name, "serviceaccount", "default"), f"{name} has its default service account")
        return name

    def until(self, look: Callable[[], Any], what: str, seconds: float = 90.0) -> Any:
        """Waits for a true answer of `look` and gives it; fails with `what` was awaited."""
        deadline = time.monotonic() + seconds
        while not (answer := look()):
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds:g} s: {what}; nodes log:\n{self._nodes_log()}")
            time.sleep(0.1)
        return answer

    def _nodes_log(self) -> str:
        return "\n".join((self.state.logs / "nodes.log").read_text(errors="replace").splitlines()[-30:])

    def _execute(self, command: list[str], text: str | None, check: bool) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(command, input=text, capture_output=True, text=True, env=dict(os.environ))
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}{done.stdout}")
        return done


def start(
    folder: Path, *, nodes: int, gpus_per_node: int, crds: tuple[Path, ...], preload: tuple[str, ...]
) -> LocalCluster:
    """Brings a cluster up under a folder of its own."""
    state, binaries = State(folder), ensure(os.environ, say)
    wish = cluster.Wish(nodes=nodes, gpus_per_node=gpus_per_node, crds=crds, preload=preload)
    return LocalCluster(state=state, settings=cluster.up(state, wish, binaries, say), binaries=binaries)

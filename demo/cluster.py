"""The embedded cluster as a user sees it: moe-local and kubectl by name, and the API server through `kubectl proxy`."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

Json = dict[str, Any]
BIN = Path(sys.executable).parent
GROUP = "/apis/moe-operator.dev/v1alpha1"
ROOTS = {"pods": "/api/v1", "events": "/api/v1", "moedeployments": GROUP, "moestages": GROUP}


class CommandError(Exception):
    """A command of the tour failed; carries what it printed."""


class Cluster:
    """One embedded cluster, whose state lies in `state`."""

    def __init__(self, state: Path, namespace: str = "default") -> None:
        self.state = state
        self.namespace = namespace
        self._proxy: subprocess.Popen[str] | None = None
        self._http: httpx.Client | None = None

    def moe_local(self, *arguments: str, timeout: float = 300, stdin: str | None = None) -> str:
        """Run `moe-local ARGUMENTS` to its end and give what it printed."""
        return run([str(BIN / "moe-local"), *arguments], timeout=timeout, stdin=stdin, env=self._env())

    def kubectl(self, *arguments: str, timeout: float = 120, stdin: str | None = None) -> str:
        """Run the kubectl that was built beside the cluster, in this cluster's namespace."""
        return self.moe_local("kubectl", "-n", self.namespace, *arguments, timeout=timeout, stdin=stdin)

    def connect(self) -> None:
        """Start `kubectl proxy`: reading often then costs neither a process nor a login."""
        command = [str(BIN / "moe-local"), "kubectl", "proxy", "--port=0"]
        self._proxy = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, **self._env()}
        )
        assert self._proxy.stdout is not None
        line = self._proxy.stdout.readline()
        served = re.search(r"127\.0\.0\.1:\d+", line)
        if served is None:
            raise CommandError(f"kubectl proxy did not start; it said: {line!r}. See `moe-local status`.")
        self._http = httpx.Client(base_url=f"http://{served[0]}", timeout=30, trust_env=False)

    def disconnect(self) -> None:
        """Stop what `connect` started."""
        if self._http is not None:
            self._http.close()
            self._http = None
        if self._proxy is not None:
            self._proxy.terminate()
            self._proxy.communicate()
            self._proxy = None

    def get(self, kind: str, name: str) -> Json | None:
        """One object of this namespace; None when there is none."""
        answer = self._client.get(self._path(kind, name))
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        found: Json = answer.raise_for_status().json()
        return found

    def list(self, kind: str, labels: Mapping[str, str] | None = None) -> list[Json]:
        """All objects of a kind in this namespace that carry `labels`."""
        selector = ",".join(f"{key}={value}" for key, value in (labels or {}).items())
        answer = self._client.get(self._path(kind), params={"labelSelector": selector})
        items: list[Json] = answer.raise_for_status().json()["items"]
        return items

    def patch(self, kind: str, name: str, change: Json) -> None:
        """A merge patch of one object, without a command being started."""
        self.order("PATCH", self._path(kind, name), change=change)

    def delete_all(self, kind: str, labels: Mapping[str, str]) -> None:
        """Every object of a kind that carries `labels`, at once and without grace."""
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        self.order("DELETE", self._path(kind), params={"labelSelector": selector, "gracePeriodSeconds": "0"})

    def order(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, change: Json | None = None
    ) -> None:
        """A write to any path of the API server, a merge patch where there is a change. CommandError when refused."""
        headers = {"Content-Type": "application/merge-patch+json"} if change else {}
        content = json.dumps(change) if change else None
        answer = self._client.request(method, path, params=params, content=content, headers=headers)
        if answer.is_error:
            raise CommandError(f"{method} {path} was refused: {answer.text}")

    def watch(self, kind: str, labels: Mapping[str, str] | None = None) -> Iterator[Json]:
        """Every object of a kind as it is now, and then each change as it comes: {"type": ..., "object": ...}."""
        selector = ",".join(f"{key}={value}" for key, value in (labels or {}).items())
        for line in self._follow(self._path(kind), {"watch": "1", "labelSelector": selector}):
            yield json.loads(line)

    def follow_log(self, pod: str) -> Iterator[str]:
        """The lines that a pod logs, from its first one on, as they come."""
        return self._follow(f"{self._path('pods', pod)}/log", {"follow": "true"})

    def _follow(self, path: str, params: Mapping[str, str]) -> Iterator[str]:
        with self._client.stream("GET", path, params=params, timeout=httpx.Timeout(30, read=None)) as answer:
            yield from answer.raise_for_status().iter_lines()

    def metrics(self) -> str:
        """The API server's own metrics, as text."""
        return self._client.get("/metrics").raise_for_status().text

    @property
    def _client(self) -> httpx.Client:
        assert self._http is not None, "connect() first"
        return self._http

    def _path(self, kind: str, name: str = "") -> str:
        return f"{ROOTS[kind]}/namespaces/{self.namespace}/{kind}" + (f"/{name}" if name else "")

    def _env(self) -> dict[str, str]:
        return {"MOE_LOCAL_STATE": str(self.state)}


def run(
    command: Sequence[str], *, timeout: float, stdin: str | None = None, env: Mapping[str, str] | None = None
) -> str:
    """Run a command to its end and give its standard output; CommandError with all it said when it fails."""
    try:
        done = subprocess.run(
            command,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**os.environ, **(env or {})},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CommandError(f"`{' '.join(command)}` did not end within {timeout:.0f} s") from None
    if done.returncode != 0:
        raise CommandError(f"`{' '.join(command)}` failed (exit {done.returncode}):\n{done.stdout}{done.stderr}")
    return done.stdout

"""What the operator told meanwhile, in its order: the conditions that a watch saw, and the events recorded."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import httpx

from demo.cluster import Cluster, Json

AGAIN_SECONDS = 0.2


class Told:
    """Every change of a condition of the stages and of the deployment, for as long as the cluster is connected."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._conditions: dict[tuple[str, str], list[str]] = {}
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(kind,)) for kind in ("moestages", "moedeployments")]

    @contextmanager
    def listening(self) -> Iterator["Told"]:
        """Watches until the block ends; the cluster must be disconnected right after, which ends the watches."""
        for thread in self._threads:
            thread.daemon = True
            thread.start()
        try:
            yield self
        finally:
            self._is_over.set()

    def mark(self) -> "Mark":
        """Now: what is told later is what follows it."""
        lengths = {key: len(said) for key, said in self._conditions.items()}
        versions = [int(one["metadata"]["resourceVersion"]) for one in self._cluster.list("events")]
        return Mark(self, lengths, max(versions, default=0))

    def conditions(self, name: str, kind: str, start: int) -> list[str]:
        """`status reason` of one condition of one object, each time that either changed."""
        return self._conditions.get((name, kind), [])[start:]

    def events(self, after: int) -> list[Json]:
        """Events recorded since a version, oldest first."""
        found = [one for one in self._cluster.list("events") if int(one["metadata"]["resourceVersion"]) > after]
        return sorted(found, key=lambda one: int(one["metadata"]["resourceVersion"]))

    def _run(self, kind: str) -> None:
        while not self._is_over.is_set():
            try:
                for event in self._cluster.watch(kind):
                    self._take(event)
            except (httpx.HTTPError, RuntimeError):
                # The API server is away, or the cluster was disconnected.
                time.sleep(AGAIN_SECONDS)

    def _take(self, event: Json) -> None:
        found = event["object"]
        for one in found.get("status", {}).get("conditions", []):
            said = self._conditions.setdefault((found["metadata"]["name"], one["type"]), [])
            words = f"{one['status']} {one['reason']}"
            if said[-1:] != [words]:
                said.append(words)


class Mark:
    """A moment; what was told since."""

    def __init__(self, told: Told, lengths: Mapping[tuple[str, str], int], version: int) -> None:
        self._told = told
        self._lengths = lengths
        self._version = version

    def conditions(self, name: str, kind: str) -> list[str]:
        """`status reason` of a condition, in the order of its changes."""
        return self._told.conditions(name, kind, self._lengths.get((name, kind), 0))

    def events(self, name: str) -> list[str]:
        """The reasons of the events about one object, in order; repeated ones once."""
        reasons = [one["reason"] for one in self._told.events(self._version) if one["involvedObject"]["name"] == name]
        return list(dict.fromkeys(reasons))

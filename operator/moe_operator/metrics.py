"""What the operator's /metrics says, in Prometheus' format: how long failovers take, and how it fares itself."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from moe_api.deployment import DrillStatus
from moe_api.stage import MoveStatus
from moe_operator.queue import Key

Reconcile = Callable[[Key], Awaitable[float | None]]
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """One operator's figures. Nothing is global, so that several may live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._detect = self._phase("detect", "From a failure to its report")
        self._commit = self._phase("commit", "From the pass that saw a report to the commit")
        self._load = self._phase("load", "From the commit to every moved expert serving")
        self._resume = self._phase("resume", "From a failure to every moved expert serving")
        self._moves = self._counter("moves", "Commits that moved something because of one rank", "cause")
        self._experts = self._counter("moved_experts", "Experts that such commits gave another host", "cause")
        self._drills = self._counter("drills", "Drills that were judged or refused", "verdict")
        self._errors = self._counter("reconcile_errors", "Passes that failed and were tried again", "kind", "error")
        self._passes = Histogram(
            "moe_operator_reconcile_seconds", "One pass over one object", ["kind"], buckets=SECONDS,
            registry=self.registry,
        )  # fmt: skip
        self._depth = Gauge(
            "moe_operator_queue_depth", "Objects that are looked at or wait for it", registry=self.registry
        )

    def follow(self, depth: Callable[[], int]) -> None:
        """Ask the queue's depth at every scrape."""
        self._depth.set_function(depth)

    def timed(self, reconcile: Reconcile) -> Reconcile:
        """The same, measured."""

        async def measured(key: Key) -> float | None:
            start = time.monotonic()
            try:
                return await reconcile(key)
            except Exception as error:
                self._errors.labels(key.kind, type(error).__name__).inc()
                raise
            finally:
                self._passes.labels(key.kind).observe(time.monotonic() - start)

        return measured

    def moved(self, before: Iterable[MoveStatus], after: Iterable[MoveStatus]) -> None:
        """Count what is new in a stage's record of moves, once it is written."""
        known = {(move.time, move.rank, move.cause): move for move in before}
        for move in after:
            old = known.get((move.time, move.rank, move.cause))
            cause = move.cause.partition(":")[0]
            if old is None:
                self._moves.labels(cause).inc()
                self._experts.labels(cause).inc(len(move.experts))
                _observe(self._detect, cause, move.detect_ms)
                _observe(self._commit, cause, move.commit_ms)
            is_served = move.load_ms is not None or not move.experts
            was_served = old is not None and (old.load_ms is not None or not old.experts)
            if is_served and not was_served:
                _observe(self._load, cause, move.load_ms)
                _observe(self._resume, cause, sum(filter(None, (move.detect_ms, move.commit_ms, move.load_ms))))

    def drilled(self, before: Iterable[DrillStatus], after: Iterable[DrillStatus]) -> None:
        """Count the drills that have a verdict now, once it is written."""
        known = {drill.name: drill.verdict for drill in before}
        for drill in after:
            if drill.verdict in ("passed", "failed", "refused") and drill.verdict != known.get(drill.name):
                self._drills.labels(drill.verdict).inc()

    def _phase(self, name: str, text: str) -> Histogram:
        return Histogram(f"moe_operator_{name}_seconds", text, ["cause"], buckets=SECONDS, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"moe_operator_{name}", text, labels, registry=self.registry)


@contextmanager
def served(metrics: Metrics, address: str, port: int) -> Iterator[None]:
    """/metrics answers at this address until the end of the block; nowhere when it is ""."""
    if not address:
        yield
        return
    server, thread = start_http_server(port, addr=address, registry=metrics.registry)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _observe(histogram: Histogram, cause: str, milliseconds: int | None) -> None:
    if milliseconds is not None:
        histogram.labels(cause).observe(milliseconds / 1000)

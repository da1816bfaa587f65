"""What /metrics says, in Prometheus' format: under vLLM's names where vLLM has the figure, else as moe_gateway_*.

Times are measured where the tokens are, at the gateway; `model_name` is on every vllm: series as vLLM has it.
"""

from collections.abc import Iterable
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_TOKENS = tuple(float(2**power) for power in range(21))
_HELP = {
    "vllm:num_requests_running": "Choices that have a token",
    "vllm:num_requests_waiting": "Choices that have no token yet",
    "vllm:kv_cache_usage_perc": "Share of the heads' KV blocks that sequences use, from 0 to 1",
    "vllm:prefix_cache_queries": "Tokens that heads have admitted since this gateway met them",
    "vllm:prefix_cache_hits": "Those of them that were in the cache already",
    "moe_gateway_requests_without_head": "Choices that no lane's head has",
    "moe_gateway_heads": "Connected heads of lanes",
    "moe_gateway_lanes": "Lanes of the connected heads",
}
FINISHES = ("stop", "length", "abort", "error")


class Fleet(Protocol):
    """Who knows what is under way at this moment; moe_gateway.balancer.Balancer in production."""

    def gauges(self) -> dict[str, float]:
        """Figures that go up and down, by name."""
        ...

    def totals(self) -> dict[str, float]:
        """Figures since the start, by name."""
        ...


class Metrics:
    """One gateway's figures. Nothing is global, so that several may live in one process."""

    def __init__(self, model: str) -> None:
        self.registry = CollectorRegistry()
        self._model = model
        self._first_token = self._histogram("vllm:time_to_first_token_seconds", "From request to first token", _SECONDS)
        self._next_token = self._histogram("vllm:inter_token_latency_seconds", "Between two tokens", _SECONDS)
        self._per_token = self._histogram(
            "vllm:time_per_output_token_seconds", "Mean time between the tokens of a choice", _SECONDS
        )
        self._whole = self._histogram("vllm:e2e_request_latency_seconds", "From request to last token", _SECONDS)
        self._prompt_length = self._histogram("vllm:request_prompt_tokens", "Tokens of a prompt", _TOKENS)
        self._answer_length = self._histogram("vllm:request_generation_tokens", "Tokens of a choice", _TOKENS)
        self._prompt_tokens = self._counter("vllm:prompt_tokens", "Prompt tokens taken")
        self._new_tokens = self._counter("vllm:generation_tokens", "Tokens generated")
        success = Counter(
            "vllm:request_success", "Choices that ended", ["model_name", "finished_reason"], registry=self.registry
        )
        self._ends = {finish: success.labels(model, finish) for finish in FINISHES}
        self._answers = Counter(
            "moe_gateway_http_responses", "Answers by path and status", ["path", "status"], registry=self.registry
        )

    def follow(self, fleet: Fleet) -> None:
        """Ask `fleet` at every scrape."""
        self.registry.register(_FleetCollector(fleet, self._model))

    def opened(self, num_prompt: int) -> None:
        self._prompt_tokens.inc(num_prompt)
        self._prompt_length.observe(num_prompt)

    def first_token(self, seconds: float) -> None:
        self._new_tokens.inc()
        self._first_token.observe(seconds)

    def next_token(self, seconds: float) -> None:
        self._new_tokens.inc()
        self._next_token.observe(seconds)

    def ended(self, finish: str, *, seconds: float, num_tokens: int, first_seconds: float) -> None:
        """A choice is over after `seconds`; its first token came after `first_seconds`."""
        self._ends[finish].inc()
        self._whole.observe(seconds)
        self._answer_length.observe(num_tokens)
        if num_tokens > 1:
            self._per_token.observe((seconds - first_seconds) / (num_tokens - 1))

    def answered(self, path: str, status: int) -> None:
        self._answers.labels(path, str(status)).inc()

    def text(self) -> bytes:
        return generate_latest(self.registry)

    def _histogram(self, name: str, text: str, buckets: Iterable[float]) -> Histogram:
        family = Histogram(name, text, ["model_name"], buckets=tuple(buckets), registry=self.registry)
        return family.labels(self._model)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(name, text, ["model_name"], registry=self.registry).labels(self._model)


class _FleetCollector(Collector):
    def __init__(self, fleet: Fleet, model: str) -> None:
        self._fleet = fleet
        self._model = model

    def collect(self) -> Iterable[Metric]:
        for name, value in self._fleet.gauges().items():
            gauge = GaugeMetricFamily(name, _HELP.get(name, name), labels=["model_name"])
            gauge.add_metric([self._model], value)
            yield gauge
        for name, value in self._fleet.totals().items():
            total = CounterMetricFamily(name, _HELP.get(name, name), labels=["model_name"])
            total.add_metric([self._model], value)
            yield total

"""What a pod's /metrics says of its seats, in Prometheus' text format. Pure; loads are as the ranks told them last."""

from collections.abc import Iterable, Iterator, Mapping

from moe_worker.histogram import bound
from moe_worker.supervisor.seat import Seat

Labels = Mapping[str, int | str]
Sample = tuple[str, Labels, float]
"""What follows the family's name, the labels and the value."""


def exposition(seats: Iterable[Seat]) -> str:
    """The whole text. Expert ids are global; a counter begins again with its rank's process."""
    seats = sorted(seats, key=lambda seat: seat.rank)
    families = [
        ("moe_rank_serving", "gauge", "1 where the rank serves", _serving(seats)),
        ("moe_rank_restarts_total", "counter", "How often the rank was started again", _restarts(seats)),
        ("moe_rank_experts", "gauge", "Experts by state", _experts(seats)),
        ("moe_expert_tokens_total", "counter", "Tokens run through the expert here", _expert_tokens(seats)),
        ("moe_lane_requests", "gauge", "Requests at the lane's head by state", _lanes(seats, ("waiting", "running"))),
        (
            "moe_lane_kv_blocks",
            "gauge",
            "KV blocks of the lane, and those that are used or keep a prefix",
            _lanes(seats, ("blocks", "blocks_used", "blocks_cached")),
        ),
        (
            "moe_lane_tokens_total",
            "counter",
            "Tokens admitted to the lane, and those of them that the cache had",
            _lanes(seats, ("tokens_admitted", "tokens_found")),
        ),
        ("moe_expert_passes_total", "counter", "How often an expert was run over some rows", _passes(seats)),
        (
            "moe_expert_pass_seconds",
            "histogram",
            "Device's time for some rows of one expert, a sample",
            _histograms(seats, "passes"),
        ),
        (
            "moe_stage_step_seconds",
            "histogram",
            "A micro-batch's time in the stage, a sample",
            _histograms(seats, "steps"),
        ),
        ("moe_sub_batches_sent_again_total", "counter", "Rows asked of an expert once more", _sent_again(seats)),
        ("moe_lane_breaks_total", "counter", "Lives of lanes that ended here, by cause", _breaks(seats)),
        ("moe_peer_bytes_total", "counter", "Bytes to and from peers, by their kind", _traffic(seats)),
    ]
    return "".join(_family(*family) for family in families)


def _family(name: str, kind: str, text: str, samples: Iterable[Sample]) -> str:
    lines = [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
    for ending, labels, value in samples:
        inner = ",".join(f'{label}="{found}"' for label, found in labels.items())
        lines.append(f"{name}{ending}{{{inner}}} {value if isinstance(value, float) else int(value)}")
    return "\n".join(lines) + "\n"


def _serving(seats: Iterable[Seat]) -> Iterator[Sample]:
    for seat in seats:
        yield "", {"rank": seat.rank}, seat.state == "serving"


def _restarts(seats: Iterable[Seat]) -> Iterator[Sample]:
    for seat in seats:
        yield "", {"rank": seat.rank}, seat.restarts


def _experts(seats: Iterable[Seat]) -> Iterator[Sample]:
    for seat in seats:
        yield "", {"rank": seat.rank, "state": "held"}, len(seat.experts)
        yield "", {"rank": seat.rank, "state": "loading"}, len(seat.loading)
        yield "", {"rank": seat.rank, "state": "failed"}, len(seat.failed_experts)


def _expert_tokens(seats: Iterable[Seat]) -> Iterator[Sample]:
    for seat in seats:
        for expert, tokens in sorted(seat.expert_tokens.items()):
            yield "", {"rank": seat.rank, "expert": expert}, tokens


def _lanes(seats: Iterable[Seat], states: tuple[str, ...]) -> Iterator[Sample]:
    for seat in seats:
        for lane in seat.lane_figures:
            for state in states:
                yield "", {"rank": seat.rank, "lane": lane["lane"], "state": state}, lane[state]


def _histograms(seats: Iterable[Seat], kind: str) -> Iterator[Sample]:
    for seat in seats:
        if kind not in seat.figures:
            continue
        total = 0
        for bucket, count in enumerate(seat.figures[kind]["buckets"]):
            total += count
            limit = bound(bucket)
            yield "_bucket", {"rank": seat.rank, "le": "+Inf" if limit == float("inf") else f"{limit:g}"}, total
        yield "_sum", {"rank": seat.rank}, seat.figures[kind]["seconds"]
        yield "_count", {"rank": seat.rank}, total


def _passes(seats: Iterable[Seat]) -> Iterator[Sample]:
    for seat in seats:
        if seat.figures:
            yield "", {"rank": seat.rank}, seat.figures.get("num_passes", 0)


def _sent_again(seats: Iterable[Seat]) -> Iterator[Sample]:
    for seat in seats:
        if seat.figures:
            yield "", {"rank": seat.rank}, seat.figures["sent_again"]


def _breaks(seats: Iterable[Seat]) -> Iterator[Sample]:
    for seat in seats:
        for cause, count in sorted(seat.figures.get("breaks", {}).items()):
            yield "", {"rank": seat.rank, "cause": cause}, count


def _traffic(seats: Iterable[Seat]) -> Iterator[Sample]:
    for seat in seats:
        for kind, (sent, received) in sorted(seat.figures.get("traffic", {}).items()):
            yield "", {"rank": seat.rank, "peer": kind, "direction": "sent"}, sent
            yield "", {"rank": seat.rank, "peer": kind, "direction": "received"}, received

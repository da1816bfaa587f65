"""What a pod's /metrics says of its seats, in Prometheus' text format. Pure; loads are as the ranks told them last."""

from collections.abc import Iterable, Iterator, Mapping

from moe_worker.supervisor.seat import Seat

Labels = Mapping[str, int | str]
Sample = tuple[Labels, int]


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
    ]
    return "".join(_family(*family) for family in families)


def _family(name: str, kind: str, text: str, samples: Iterable[Sample]) -> str:
    lines = [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
    for labels, value in samples:
        inner = ",".join(f'{label}="{found}"' for label, found in labels.items())
        lines.append(f"{name}{{{inner}}} {int(value)}")
    return "\n".join(lines) + "\n"


def _serving(seats: Iterable[Seat]) -> Iterator[Sample]:
    for seat in seats:
        yield {"rank": seat.rank}, seat.state == "serving"


def _restarts(seats: Iterable[Seat]) -> Iterator[Sample]:
    for seat in seats:
        yield {"rank": seat.rank}, seat.restarts


def _experts(seats: Iterable[Seat]) -> Iterator[Sample]:
    for seat in seats:
        yield {"rank": seat.rank, "state": "held"}, len(seat.experts)
        yield {"rank": seat.rank, "state": "loading"}, len(seat.loading)
        yield {"rank": seat.rank, "state": "failed"}, len(seat.failed_experts)


def _expert_tokens(seats: Iterable[Seat]) -> Iterator[Sample]:
    for seat in seats:
        for expert, tokens in sorted(seat.expert_tokens.items()):
            yield {"rank": seat.rank, "expert": expert}, tokens


def _lanes(seats: Iterable[Seat], states: tuple[str, ...]) -> Iterator[Sample]:
    for seat in seats:
        for lane in seat.lane_figures:
            for state in states:
                yield {"rank": seat.rank, "lane": lane["lane"], "state": state}, lane[state]

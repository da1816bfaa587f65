from prometheus_client.parser import text_string_to_metric_families

from moe_worker.histogram import Histogram
from moe_worker.supervisor.exposition import exposition
from moe_worker.supervisor.seat import Seat


def seat(rank: int) -> Seat:
    seat = Seat(rank, gpu=0, address="127.0.0.1:1")
    seat.state = "serving"
    seat.restarts = 2
    seat.experts, seat.loading, seat.failed_experts = (4, 5), (6,), {}
    seat.expert_tokens = {5: 12_345_678, 4: 7}
    seat.lane_figures = (
        {"lane": 1, "waiting": 3, "running": 8, "blocks": 64, "blocks_used": 40, "blocks_cached": 9,
         "tokens_admitted": 900, "tokens_found": 300},
    )  # fmt: skip
    times = Histogram()
    for seconds in (0.0005, 0.0005, 3600.0):
        times.note(seconds)
    seat.figures = {
        "num_passes": 48, "passes": times.figures(), "steps": Histogram().figures(), "sent_again": 2,
        "breaks": {"lost": 1, "told": 4},
        "traffic": {"stage": [10, 20], "gateway": [3, 4]},
    }  # fmt: skip
    return seat


def samples(text: str) -> dict[tuple[str, ...], float]:
    """As Prometheus itself reads them, by name and the labels' values."""
    families = text_string_to_metric_families(text)
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


def test_a_scrape_is_read_by_prometheus_as_what_the_ranks_told() -> None:
    found = samples(exposition([seat(3)]))
    assert found["moe_expert_tokens_total", "3", "5"] == 12_345_678
    assert found["moe_expert_tokens_total", "3", "4"] == 7
    assert [found["moe_lane_requests", "3", "1", state] for state in ("waiting", "running")] == [3, 8]
    assert [found["moe_lane_kv_blocks", "3", "1", s] for s in ("blocks", "blocks_used", "blocks_cached")] == [64, 40, 9]
    assert [found["moe_lane_tokens_total", "3", "1", s] for s in ("tokens_admitted", "tokens_found")] == [900, 300]
    assert [found["moe_rank_experts", "3", state] for state in ("held", "loading", "failed")] == [2, 1, 0]
    assert (found["moe_rank_serving", "3"], found["moe_rank_restarts_total", "3"]) == (1, 2)


def test_times_causes_and_bytes_are_told_apart() -> None:
    found = samples(exposition([seat(3)]))
    limits = ("0.000256", "0.000512", "+Inf")
    assert [found["moe_expert_pass_seconds_bucket", "3", limit] for limit in limits] == [0, 2, 3]
    assert (found["moe_expert_pass_seconds_sum", "3"], found["moe_expert_pass_seconds_count", "3"]) == (3600.001, 3)
    assert found["moe_expert_passes_total", "3"] == 48
    assert found["moe_stage_step_seconds_count", "3"] == 0
    assert found["moe_sub_batches_sent_again_total", "3"] == 2
    assert [found["moe_lane_breaks_total", "3", cause] for cause in ("lost", "told")] == [1, 4]
    assert found["moe_peer_bytes_total", "3", "stage", "sent"] == 10
    assert found["moe_peer_bytes_total", "3", "gateway", "received"] == 4


def test_seats_stand_in_order_and_one_that_has_told_nothing_has_no_load() -> None:
    found = samples(exposition([seat(3), Seat(2, gpu=1, address="")]))
    assert [key[1] for key in found if key[0] == "moe_rank_serving"] == ["2", "3"]
    assert {key[1] for key in found if key[0] in ("moe_expert_tokens_total", "moe_lane_requests")} == {"3"}


def test_a_pod_without_seats_has_no_samples() -> None:
    assert samples(exposition([])) == {}

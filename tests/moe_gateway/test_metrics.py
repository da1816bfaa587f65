"""What a scrape says after known events; names are those of vLLM where it has the figure."""

from moe_gateway.metrics import Metrics
from moe_wire.messages import Load
from tests.moe_gateway.conftest import Gateway
from tests.moe_gateway.fakes import FakeHead
from tests.moe_gateway.test_balancer import Scene


def series(metrics: Metrics) -> dict[str, float]:
    """Every line of the text by its name and labels, but for the model's."""
    lines = [line for line in metrics.text().decode().splitlines() if not line.startswith("#")]
    pairs = (line.rsplit(" ", 1) for line in lines)
    return {name.replace('model_name="m"', "").replace("{}", "").replace(",}", "}"): float(v) for name, v in pairs}


def test_times_are_those_between_request_and_tokens() -> None:
    scene = Scene()
    link = scene.link()
    scene.open(1, 2, 3)
    for index, seconds in enumerate((2.0, 2.5, 4.0)):
        scene.clock.seconds = seconds
        scene.emit(link, 7, start=index, finish="length" if index == 2 else "")
    found = series(scene.metrics)
    assert found["vllm:time_to_first_token_seconds_sum"] == 2.0
    assert (found["vllm:inter_token_latency_seconds_sum"], found["vllm:inter_token_latency_seconds_count"]) == (2, 2)
    assert found["vllm:time_per_output_token_seconds_sum"] == 1.0
    assert found["vllm:e2e_request_latency_seconds_sum"] == 4.0
    assert (found["vllm:prompt_tokens_total"], found["vllm:generation_tokens_total"]) == (3, 3)
    assert found['vllm:request_success_total{finished_reason="length"}'] == 1


def test_a_failover_between_two_tokens_is_a_long_wait_and_no_second_first_token() -> None:
    scene = Scene()
    first, second = scene.link(0), scene.link(1)
    scene.open(1)
    holder, other = (first, second) if first.submits else (second, first)
    scene.emit(holder, 7)
    scene.balancer.lost(holder)
    scene.clock.seconds = 3
    scene.emit(other, 8, start=1)
    found = series(scene.metrics)
    assert found["vllm:time_to_first_token_seconds_count"] == 1
    assert found["vllm:inter_token_latency_seconds_sum"] == 3
    assert found["moe_gateway_resubmitted_total"] == 1


def test_what_is_under_way_is_running_or_waiting() -> None:
    scene = Scene()
    scene.open(1)
    link = scene.link()
    scene.open(2)
    scene.emit(link, 7)
    found = series(scene.metrics)
    assert (found["vllm:num_requests_running"], found["vllm:num_requests_waiting"]) == (1, 1)
    assert (found["moe_gateway_heads"], found["moe_gateway_lanes"]) == (1, 1)


def test_whoever_leaves_or_fails_ends_as_abort_or_error() -> None:
    scene = Scene()
    scene.link()
    scene.balancer.cancel(scene.open(1))
    scene.balancer.cancel(scene.open(1), finish="stop")
    scene.open(1)
    scene.clock.seconds = 99
    scene.balancer.tick()
    found = series(scene.metrics)
    ends = [found[f'vllm:request_success_total{{finished_reason="{end}"}}'] for end in ("abort", "stop", "error")]
    assert ends == [1, 1, 1]


def test_what_heads_say_of_their_caches_is_summed_up() -> None:
    scene = Scene()
    for rank, (used, admitted, found) in enumerate([(30, 100, 10), (10, 50, 50)]):
        link = scene.link(rank)
        scene.balancer.received(link, Load(0, 0, 80, 0, 7, 3))
        scene.balancer.received(link, Load(0, 0, 80, used, 7 + admitted, 3 + found))
    scene.balancer.received(link, Load(0, 0, 80, 10, 5, 5))
    found = series(scene.metrics)
    assert found["vllm:kv_cache_usage_perc"] == 40 / 160
    assert (found["vllm:prefix_cache_queries_total"], found["vllm:prefix_cache_hits_total"]) == (150, 60)


async def test_a_scrape_counts_answers_by_path_and_status(gateway: Gateway) -> None:
    await gateway.add_heads(FakeHead())
    await gateway.client.completions.create(model="demo-model", prompt="a", max_tokens=2)
    await gateway.http.get("/v1/models/gpt-4")
    await gateway.http.get("/made/up")
    answer = await gateway.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    lines = answer.text.splitlines()
    assert 'moe_gateway_http_responses_total{path="/v1/completions",status="200"} 1.0' in lines
    assert 'moe_gateway_http_responses_total{path="/v1/models/{model:path}",status="404"} 1.0' in lines
    assert 'moe_gateway_http_responses_total{path="other",status="404"} 1.0' in lines
    assert 'vllm:generation_tokens_total{model_name="demo-model"} 2.0' in lines

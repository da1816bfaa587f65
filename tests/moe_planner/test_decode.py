from __future__ import annotations

from dataclasses import replace

import pytest

from moe_planner.decode import Decode, predict_decode
from moe_planner.inputs import Workload
from moe_planner.result import Degrees
from tests.moe_planner.document import DEGREES, WORKLOAD, problem

EXPERT = 2 * 512 * 38_082 * 2
ATTENTION = (4 * 512 * 512 + 512 * 16 + 2 * 512) * 2
CACHE = 8 * 10240 * 2048


def decode(
    chosen: int = 1, workload: Workload = WORKLOAD, degrees: Degrees = DEGREES, steps_in_flight: int = 1
) -> Decode:
    given = replace(problem(chosen), workload=workload)
    assert given.speeds is not None
    return predict_decode(given, given.speeds, degrees, 1, steps_in_flight=steps_in_flight)


def seconds(estimate: Decode, name: str) -> float:
    return next(term.seconds for term in estimate.terms if term.name == name)


@pytest.mark.parametrize("chosen", [1, 2])
def test_the_documents_step_takes_3_5_ms(chosen: int) -> None:
    assert decode(chosen).seconds * 1e3 == pytest.approx(3.55, abs=0.01)
    assert decode(chosen).throughput / 1e3 == pytest.approx(0.14, abs=0.002)


def test_each_part_of_the_documents_step() -> None:
    estimate = decode()
    assert seconds(estimate, "decode experts") == pytest.approx(16 * EXPERT / 1.44e12)
    assert seconds(estimate, "decode attention") == pytest.approx(16 * ATTENTION / 1.44e12)
    assert seconds(estimate, "decode KV cache") == pytest.approx(16 * CACHE / 1.44e12)
    assert seconds(estimate, "decode all-to-all") == pytest.approx(32 * 20e-6, rel=0.01)
    assert seconds(estimate, "decode hops") == pytest.approx(15 * 10e-6, rel=0.02)


def test_the_documents_rate_doubles_when_every_stage_has_a_group_of_its_own() -> None:
    """With 16 groups, half a sequence a lane and stage: the 0.28 of the facts. A whole one is the least there is."""
    grouped = decode(steps_in_flight=16)
    even_lanes = grouped.seconds - seconds(grouped, "decode KV cache") / 2
    assert 128 / even_lanes / 256 / 1e3 == pytest.approx(0.28, abs=0.006)
    assert grouped.throughput / 1e3 == pytest.approx(0.26, abs=0.005)


@pytest.mark.parametrize(("chosen", "percent"), [(1, 0.06), (2, 0.10)])
def test_the_documents_decode_uses_a_thousandth_of_the_peak(chosen: int, percent: float) -> None:
    share = decode(chosen).throughput * problem(chosen).decode_flops / 400e12
    assert round(100 * share, 2) == percent


def test_more_experts_than_tokens_do_not_speed_the_document_up() -> None:
    """With every stage busy, 8 tokens are in one: half a token for each of 16 experts, and 60 % of them idle."""
    assert problem().activated_share(128 / 16) == pytest.approx(1 - (15 / 16) ** 8)
    assert round(problem().activated_share(128 / 16), 1) == 0.4


def test_one_seat_exchanges_nothing_and_one_stage_has_no_hops() -> None:
    names = {term.name for term in decode(degrees=Degrees(expert=1, pipeline=1)).terms}
    assert names == {"decode experts", "decode attention", "decode KV cache"}


def test_a_seat_of_several_gpus_reads_less_and_sums() -> None:
    """Two sums in each of 16 layers, each 2 x 10 us and 8 rows of 1 KiB."""
    one, two = decode(), decode(degrees=replace(DEGREES, tensor=2))
    assert seconds(two, "decode experts") == seconds(one, "decode experts") / 2
    assert seconds(two, "decode sums") == pytest.approx(32 * (20e-6 + 8192 / 50e9))


def test_large_batches_compute_longer_than_they_read() -> None:
    """100,000 tokens a lane: 2 * 16 layers * (experts of 39M numbers) each at 240 TFLOP/s."""
    large = decode(workload=replace(WORKLOAD, batch_size=1_600_000, max_sequence_length=1))
    assert seconds(large, "decode experts") == pytest.approx(16 * 100_000 * 4 * 512 * 38_082 / 240e12)


def test_the_vocabulary_is_read_once() -> None:
    given = problem()
    given = replace(given, shape=replace(given.shape, vocab=1000))
    assert given.speeds is not None
    estimate = predict_decode(given, given.speeds, DEGREES, 1)
    assert seconds(estimate, "decode output") == pytest.approx(1000 * 512 * 2 / 1.44e12)


def test_a_window_bounds_what_is_read_of_the_cache() -> None:
    given = problem()
    shape = replace(given.shape, attention_window=1024, window_layers=tuple(range(0, 16, 2)))
    given = replace(given, shape=shape)
    assert given.speeds is not None
    estimate = predict_decode(given, given.speeds, DEGREES, 1)
    assert seconds(estimate, "decode KV cache") == pytest.approx(8 * 2048 * (8 * 10240 + 8 * 1024) / 1.44e12)

from __future__ import annotations

from dataclasses import replace

import pytest

from moe_planner.calibration import Calibration, Correction
from moe_planner.inputs import Workload
from moe_planner.prefill import Prefill, predict_prefill
from moe_planner.result import Degrees
from tests.moe_planner.document import DEGREES, WORKLOAD, problem


def prefill(chosen: int = 1, workload: Workload = WORKLOAD, degrees: Degrees = DEGREES, copies: int = 1) -> Prefill:
    given = replace(problem(chosen), workload=workload)
    assert given.speeds is not None
    return predict_prefill(given, given.speeds, degrees, copies)


@pytest.mark.parametrize(("chosen", "ideal", "unfilled"), [(1, 31, 0.50), (2, 57, 0.92)])
def test_the_documents_batch_takes_milliseconds_and_sixteen_times_that_without_micro_batches(
    chosen: int, ideal: float, unfilled: float
) -> None:
    """The facts print 57.5 ms as 57."""
    assert prefill(chosen).pace.seconds * 1e3 == pytest.approx(ideal, abs=0.6)
    whole = prefill(chosen, replace(WORKLOAD, step_tokens=8 * 10240))
    assert whole.chunks == 1
    assert whole.pace.seconds * whole.fill == pytest.approx(unfilled, abs=0.006)


@pytest.mark.parametrize(("chosen", "rate"), [(1, 165.6), (2, 89.0)])
def test_the_documents_prefill_rate(chosen: int, rate: float) -> None:
    assert round(prefill(chosen).throughput / 1e3, 1) == rate


def test_filling_the_pipeline_takes_its_stages_less_one_chunks() -> None:
    estimate = prefill()
    assert estimate.chunks == 8 * 10240 // 512
    assert estimate.fill == (160 + 15) / 160
    assert estimate.seconds == estimate.pace.seconds * estimate.fill + estimate.latency.seconds


def test_waiting_for_links_is_two_exchanges_a_layer_and_a_hop_a_stage() -> None:
    assert prefill().latency.seconds == pytest.approx(16 * 2 * 20e-6 + 15 * 10e-6)


def test_the_slowest_of_computing_reading_and_sending_sets_the_pace() -> None:
    estimate = prefill()
    assert estimate.pace == estimate.compute
    assert estimate.reads.amount == 160 * (2 * 512 * 38_082 * 2 + (4 * 512 * 512 + 512 * 16 + 2 * 512) * 2)
    assert estimate.transfers.amount == 8 * 10240 * 1024 * 3
    small_chunks = prefill(workload=replace(WORKLOAD, step_tokens=64))
    assert small_chunks.pace == small_chunks.reads


def test_a_pipeline_with_fewer_steps_than_stages_starves() -> None:
    few = replace(WORKLOAD, batch_size=2, steps_in_flight=2)
    assert prefill(workload=few).starved == 16 / (2 * 2)
    assert prefill().starved == 1


def test_experts_that_do_not_divide_slow_their_stage_down() -> None:
    """16 experts on 12 seats: two on the fullest, 4/3 on the mean."""
    even, uneven = prefill(degrees=Degrees(expert=16, pipeline=1)), prefill(degrees=Degrees(expert=3, pipeline=1))
    assert even.fill == 1
    assert uneven.compute.amount > even.compute.amount * 16 / 3


def test_what_was_measured_replaces_what_was_assumed() -> None:
    corrected = Correction(name="prefill compute", factor=1.5, num_samples=3, error=0.1)
    given = replace(problem(), calibration=Calibration(corrections=(corrected,)))
    assert given.speeds is not None
    estimate = predict_prefill(given, given.speeds, DEGREES, 1)
    assert estimate.compute.seconds == prefill().compute.seconds * 1.5
    assert estimate.compute.error == 0.1
    assert estimate.error < prefill().error

from __future__ import annotations

from dataclasses import replace

import pytest

from moe_planner.bounds import Bound, bounds, fewest_gpus, strictest
from tests.moe_planner.document import problem


def found(name: str, chosen: int = 1) -> Bound:
    return next(bound for bound in bounds(problem(chosen)) if bound.name == name)


def test_the_documents_caches_cap_its_decode_rate() -> None:
    """1.44 TB/s over 16 layers * 10240 tokens * 2 KiB; 1.8 TB/s at the peak."""
    cap = found("KV-read cap")
    assert cap.value == pytest.approx(1.44e12 / (16 * 10240 * 2048))
    assert round(cap.value / 1e3, 2) == 4.29
    assert round(cap.at_peak / 1e3, 2) == 5.36
    assert cap.rules_out(100_000)
    assert not cap.rules_out(5_000)


@pytest.mark.parametrize(("chosen", "cap"), [(1, 165.6), (2, 89.0)])
def test_the_documents_compute_cap(chosen: int, cap: float) -> None:
    assert round(found("compute cap", chosen).value / 1e3, 1) == cap


def test_weights_are_read_once_for_all_tokens_of_a_step() -> None:
    """All 20 GB for 128 tokens; with one token only the chosen sixteenth of the experts."""
    cap = found("weight-read cap")
    assert cap.value == pytest.approx(128 * 1.44e12 / 20e9, rel=2e-3)
    alone = problem()
    alone = replace(alone, workload=replace(alone.workload, batch_size=1))
    single = next(bound for bound in bounds(alone) if bound.name == "weight-read cap")
    experts, attention = 16 * 2 * 512 * 38_082 * 2, 16 * (4 * 512 * 512 + 512 * 16 + 2 * 512) * 2
    assert single.value == pytest.approx(1.44e12 / (experts + attention))


def test_no_step_is_shorter_than_a_tokens_way_through_the_layers() -> None:
    layer = 2 * 512 * 38_082 * 2 + (4 * 512 * 512 + 512 * 16 + 2 * 512) * 2 + 10240 * 2048
    assert found("step floor").value == pytest.approx(16 * layer / 1.44e12)
    assert bounds(problem(), gpus_per_seat=2)[2].value == pytest.approx(8 * layer / 1.44e12)


def test_no_first_token_is_earlier_than_all_gpus_can_compute() -> None:
    assert round(found("compute floor").value * 1e3) == 31
    assert found("compute floor", 2).value * 1e3 == pytest.approx(57.5, abs=0.1)


def test_the_documents_memory_needs_two_gpus() -> None:
    """20 GB of weights and 42.95 GB of cache, 57.6 GB usable on one."""
    assert fewest_gpus(problem()) == 2


def test_the_strictest_bound_is_named() -> None:
    assert getattr(strictest(bounds(problem()), "decode_throughput_per_gpu"), "name", "") == "KV-read cap"
    short = problem()
    short = replace(short, workload=replace(short.workload, max_sequence_length=128))
    assert getattr(strictest(bounds(short), "decode_throughput_per_gpu"), "name", "") == "weight-read cap"
    assert strictest(bounds(problem()), "nothing") is None


def test_without_hardware_figures_memory_alone_bounds() -> None:
    given = problem()
    given = replace(given, hardware=replace(given.hardware, gpu=None))
    assert [bound.name for bound in bounds(given)] == ["memory floor"]

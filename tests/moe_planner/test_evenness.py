from __future__ import annotations

from moe_planner.inputs import Constraints, Loads
from moe_planner.plan import plan
from moe_planner.result import Check
from tests.moe_planner.document import HARDWARE, WORKLOAD, model


def lines(loads: Loads, constraints: Constraints | None = None) -> list[Check]:
    found = plan(model(), HARDWARE, WORKLOAD, constraints or Constraints(), loads=loads)
    return [check for check in found.verification if check.name.startswith("Balance")]


def test_uniform_loads_on_one_expert_a_gpu_are_even() -> None:
    prefill, decode = lines(Loads())
    assert (prefill.value, decode.value) == (1.0, 1.0)
    assert (prefill.basis, prefill.verdict) == ("assumed", "holds")


def test_what_one_expert_gets_no_placement_spreads() -> None:
    """Zipf 1 over 16: the first gets 16/3.381 of the mean in prefill; in decode nearly all are read anyway."""
    prefill, decode = lines(Loads(kind="zipf"))
    assert round(prefill.value, 2) == 4.73
    assert prefill.bound == "no placement of whole experts is below 4.73"
    assert 1 < decode.value < 1.1


def test_measured_loads_say_where_they_are_from() -> None:
    counts = ((1.0,) * 15 + (5.0,),) * 16
    prefill, _ = lines(Loads(kind="measured", counts=counts, source="monday"))
    assert prefill.value == 5 / (20 / 16)
    assert (prefill.basis, prefill.note.split(";")[0]) == ("measured", "loads measured (monday)")


def test_spare_copies_of_hot_experts_even_it_out() -> None:
    plain, spared = lines(Loads(kind="zipf")), lines(Loads(kind="zipf"), Constraints(spare_copies=8))
    assert spared[0].value < plain[0].value
    assert spared[0].verdict == "holds"

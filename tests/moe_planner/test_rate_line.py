"""The document's plan: 128 sequences, a first token after 34.6 ms, 3.55 ms a step, 10,112 tokens to go."""

from dataclasses import replace

import pytest

from moe_planner.inputs import Constraints
from moe_planner.plan import plan
from moe_planner.result import Check
from tests.moe_planner.document import HARDWARE, WORKLOAD, model


def lines(rate: float | None) -> list[Check]:
    workload = replace(WORKLOAD, requests_per_second=rate)
    planned = plan(model(), HARDWARE, workload, Constraints(expert=16, pipeline=16))
    return [check for check in planned.verification if check.name == "Request rate"]


@pytest.mark.parametrize(("rate", "verdict"), [(3.5, "holds"), (3.6, "fails")])
def test_requests_leave_as_fast_as_the_longest_of_them_allow(rate: float, verdict: str) -> None:
    (line,) = lines(rate)
    assert line.value == pytest.approx(128 / (0.0346 + 10_112 * 0.00355), rel=2e-3)
    assert line.formula.startswith("128 sequences / (34.6 ms + 10112 x 3.55 ms) = ")
    assert (line.limit, line.verdict, line.basis) == (rate, verdict, "assumed")
    assert line.error is not None


def test_where_no_rate_is_given_nothing_is_judged() -> None:
    assert lines(None) == []

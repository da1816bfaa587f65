from __future__ import annotations

from collections.abc import Sequence

import pytest

from moe_planner.calibrating import LineError, calibrate
from moe_planner.calibration import Calibration, Correction
from moe_planner.inputs import Constraints
from moe_planner.measurements import Measured
from moe_planner.plan import plan
from moe_planner.result import Plan
from moe_planner.timing import DECODE_STEP
from tests.moe_planner.document import HARDWARE, TARGETS, WORKLOAD, model


def planned(calibration: Calibration = Calibration()) -> Plan:
    return plan(model(), HARDWARE, WORKLOAD, Constraints(), targets=TARGETS, calibration=calibration)


def calibrated(measured: Sequence[Measured]) -> tuple[Calibration, tuple[LineError, ...]]:
    return calibrate(
        planned(), measured, shape=model(), hardware=HARDWARE, workload=WORKLOAD, constraints=Constraints()
    )


def step(found: Plan) -> float:
    return dict(found.figures)["decodeStepSeconds"]


def test_one_sample_corrects_its_line_and_leaves_the_assumed_error() -> None:
    calibration, (line,) = calibrated([Measured(name=DECODE_STEP, value=2 * step(planned()))])
    assert line.factor == pytest.approx(2)
    assert line.before == pytest.approx(0.5)
    assert line.after is None
    corrected = planned(calibration)
    assert step(corrected) == pytest.approx(2 * step(planned()))
    before, after = (next(c for c in found.verification if c.name == DECODE_STEP) for found in (planned(), corrected))
    assert (before.basis, after.basis) == ("assumed", "measured")
    assert after.error == before.error


def test_several_samples_tell_the_error_of_each_by_the_others() -> None:
    """Twice and eight times as long: the factor is 4; each alone would be off by 4 or by 1/4."""
    plain = step(planned())
    calibration, (line,) = calibrated([Measured(name=DECODE_STEP, value=ratio * plain) for ratio in (2, 8)])
    assert line.factor == pytest.approx(4)
    assert line.before == pytest.approx((1 / 2 + 7 / 8) / 2)
    assert line.after == pytest.approx((8 / 2 - 1 + 1 - 2 / 8) / 2)
    found = calibration.correction(DECODE_STEP)
    assert found is not None
    assert found.error == line.after


def test_samples_are_compared_with_predictions_for_their_own_conditions() -> None:
    """At half the length the cache is half as long to read: a step that is right there changes nothing."""
    cache = 16 * 8 * 10240 * 2048 / 1.44e12
    half = Measured(name=DECODE_STEP, value=step(planned()) - cache / 2, sequence_length=5120)
    _, (line,) = calibrated([half])
    assert line.factor == pytest.approx(1)


def test_parts_are_corrected_before_the_whole() -> None:
    """A step that is longer by just what its experts were measured longer needs no factor of its own."""
    experts = 16 * 2 * 512 * 38_082 * 2 / 1.44e12
    measured = [
        Measured(name=DECODE_STEP, value=step(planned()) + experts),
        Measured(name="decode experts", value=2 * experts),
    ]
    calibration, lines = calibrated(measured)
    assert [line.name for line in lines] == ["decode experts", DECODE_STEP]
    assert calibration.factor("decode experts") == pytest.approx(2)
    assert calibration.factor(DECODE_STEP) == pytest.approx(1)


def test_what_the_plan_does_not_predict_is_left_out() -> None:
    assert calibrated([Measured(name="decode sums", value=1.0)]) == (Calibration(), ())


def test_a_line_that_was_not_measured_has_no_correction() -> None:
    calibration = Calibration(corrections=(Correction(name="a", factor=2.0, num_samples=1, error=0.1),))
    assert calibration.factor("a") == 2.0
    assert calibration.factor("b") == 1.0
    assert calibration.correction("b") is None

from __future__ import annotations

from dataclasses import replace

import pytest

from moe_planner.calibration import Calibration, Correction
from moe_planner.terms import Term, expected_error
from moe_planner.timing import DECODE_STEP, error_of, predict
from tests.moe_planner.document import DEGREES, problem


def test_the_documents_share_of_the_peak_is_what_was_assumed() -> None:
    times = predict(problem(), DEGREES, 1)
    assert times is not None
    assert times.prefill_flops_share == pytest.approx(0.6)
    assert times.decode_flops_share < 0.001


def test_without_hardware_figures_there_are_no_times() -> None:
    given = problem()
    assert predict(replace(given, hardware=replace(given.hardware, gpu=None)), DEGREES, 1) is None


def test_a_measured_line_is_corrected_as_a_whole() -> None:
    calibration = Calibration(corrections=(Correction(name=DECODE_STEP, factor=2.0, num_samples=1, error=0.05),))
    plain, corrected = predict(problem(), DEGREES, 1), predict(replace(problem(), calibration=calibration), DEGREES, 1)
    assert plain is not None
    assert corrected is not None
    assert corrected.decode_step == 2 * plain.decode_step
    assert corrected.decode.seconds == plain.decode.seconds
    assert error_of(DECODE_STEP, corrected.decode.error, calibration) == 0.05
    assert error_of(DECODE_STEP, 0.3, Calibration()) == 0.3


def test_a_sum_is_as_wrong_as_its_parts_by_their_shares() -> None:
    long = Term(name="a", amount=3.0, unit="B", rate=1.0, error=0.2)
    short = Term(name="b", amount=1.0, unit="B", rate=1.0, error=0.6)
    assert expected_error((long, short)) == pytest.approx(0.75 * 0.2 + 0.25 * 0.6)
    assert expected_error(()) == 0.0


def test_a_term_shows_its_numbers() -> None:
    term = Term(name="a", amount=1.248e9, unit="B", rate=1.44e12, error=0.2)
    assert term.formula == "1.248 GB / 1.44 TB/s"
    assert replace(term, factor=1.5).formula == "1.248 GB / 1.44 TB/s x 1.5 measured"
    assert Term(name="a", amount=32, unit="", rate=1 / 20e-6, error=0.5).formula == "32 x 20 us"

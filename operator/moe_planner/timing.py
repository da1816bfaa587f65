"""Predicted times and rates of one candidate, with the error to expect. Knows what a line of the table is called."""

from dataclasses import dataclass

from moe_planner.calibration import Calibration
from moe_planner.decode import Decode, predict_decode
from moe_planner.prefill import Prefill, predict_prefill
from moe_planner.problem import Problem
from moe_planner.result import Degrees

FIRST_TOKEN = "Time to first token"
DECODE_STEP = "Decode step"
PREFILL_THROUGHPUT = "Prefill throughput per GPU"
DECODE_THROUGHPUT = "Decode throughput per GPU"


@dataclass(frozen=True, kw_only=True)
class Times:
    """Seconds, tokens per second and GPU, shares of the data sheet's FLOP/s: the lines' own corrections put in."""

    prefill: Prefill
    decode: Decode
    time_to_first_token: float
    decode_step: float
    prefill_throughput: float
    decode_throughput: float
    prefill_flops_share: float
    decode_flops_share: float


def predict(problem: Problem, degrees: Degrees, copies: int) -> Times | None:
    """All times of a candidate; None where the hardware's figures are not known."""
    speeds = problem.speeds
    if speeds is None:
        return None
    factor = problem.calibration.factor
    prefill = predict_prefill(problem, speeds, degrees, copies)
    decode = predict_decode(problem, speeds, degrees, copies)
    prefill_throughput = prefill.throughput * factor(PREFILL_THROUGHPUT)
    decode_throughput = decode.throughput * factor(DECODE_THROUGHPUT)
    return Times(
        prefill=prefill,
        decode=decode,
        time_to_first_token=prefill.seconds * factor(FIRST_TOKEN),
        decode_step=decode.seconds * factor(DECODE_STEP),
        prefill_throughput=prefill_throughput,
        decode_throughput=decode_throughput,
        prefill_flops_share=prefill_throughput * problem.prefill_flops / speeds.peak_flops,
        decode_flops_share=decode_throughput * problem.decode_flops / speeds.peak_flops,
    )


def error_of(name: str, predicted: float, calibration: Calibration) -> float:
    """The relative error to expect of a line: what is left of a measured one, else what its parts suggest."""
    measured = calibration.correction(name)
    return predicted if measured is None else measured.error

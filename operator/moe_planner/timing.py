"""Predicted times and rates of one candidate, with the error to expect. Knows what a line of the table is called."""

from dataclasses import dataclass
from functools import cached_property

from moe_planner.calibration import Calibration
from moe_planner.decode import Decode, predict_decode
from moe_planner.prefill import Prefill, predict_prefill
from moe_planner.problem import Problem
from moe_planner.result import Degrees
from moe_planner.speeds import Speeds

FIRST_TOKEN = "Time to first token"
DECODE_STEP = "Decode step"
PREFILL_THROUGHPUT = "Prefill throughput per GPU"
DECODE_THROUGHPUT = "Decode throughput per GPU"


@dataclass(frozen=True, kw_only=True)
class Times:
    """Seconds, tokens per second and GPU, shares of the data sheet's FLOP/s: the lines' own corrections put in.

    Each part is computed when it is first asked for.
    """

    problem: Problem
    speeds: Speeds
    degrees: Degrees
    copies: int

    @cached_property
    def prefill(self) -> Prefill:
        return predict_prefill(self.problem, self.speeds, self.degrees, self.copies)

    @cached_property
    def decode(self) -> Decode:
        return predict_decode(self.problem, self.speeds, self.degrees, self.copies)

    @property
    def time_to_first_token(self) -> float:
        return self.prefill.seconds * self.problem.calibration.factor(FIRST_TOKEN)

    @property
    def decode_step(self) -> float:
        return self.decode.seconds * self.problem.calibration.factor(DECODE_STEP)

    @property
    def prefill_throughput(self) -> float:
        return self.prefill.throughput * self.problem.calibration.factor(PREFILL_THROUGHPUT)

    @property
    def decode_throughput(self) -> float:
        return self.decode.throughput * self.problem.calibration.factor(DECODE_THROUGHPUT)

    @property
    def prefill_flops_share(self) -> float:
        return self.prefill_throughput * self.problem.prefill_flops / self.speeds.peak_flops

    @property
    def decode_flops_share(self) -> float:
        return self.decode_throughput * self.problem.decode_flops / self.speeds.peak_flops


def predict(problem: Problem, degrees: Degrees, copies: int) -> Times | None:
    """All times of a candidate; None where the hardware's figures are not known."""
    speeds = problem.speeds
    return None if speeds is None else Times(problem=problem, speeds=speeds, degrees=degrees, copies=copies)


def error_of(name: str, predicted: float, calibration: Calibration) -> float:
    """The relative error to expect of a line: what is left of a measured one, else what its parts suggest."""
    measured = calibration.correction(name)
    return predicted if measured is None else measured.error

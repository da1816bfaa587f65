"""Measured lines and the predictions for the same conditions -> corrections, and the error before and after them.

A line's factor is the geometric mean of measured over predicted. Parts of times are corrected first, and whole lines
by what is then left. With two samples or more the error that remains is told from each sample by the factor of the
others; with one there is nothing to check with, and the assumed error stays.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, log

from moe_planner.calibration import Calibration, Correction
from moe_planner.inputs import Constraints, Hardware, Loads, Workload
from moe_planner.measurements import TERMS, TOTALS, Measured
from moe_planner.model import ModelShape
from moe_planner.problem import Problem
from moe_planner.result import Plan
from moe_planner.timing import DECODE_STEP, DECODE_THROUGHPUT, FIRST_TOKEN, PREFILL_THROUGHPUT, Times, predict


@dataclass(frozen=True, kw_only=True)
class LineError:
    """One line: mean predicted and measured values, and mean relative errors. `after` None: one sample, unchecked."""

    name: str
    num_samples: int
    predicted: float
    measured: float
    factor: float
    before: float
    after: float | None


@dataclass(frozen=True, kw_only=True)
class _Sample:
    predicted: float
    measured: float
    expected_error: float

    @property
    def ratio(self) -> float:
        return self.measured / self.predicted


def calibrate(
    planned: Plan,
    measured: Sequence[Measured],
    *,
    shape: ModelShape,
    hardware: Hardware,
    workload: Workload,
    constraints: Constraints,
    loads: Loads = Loads(),
) -> tuple[Calibration, tuple[LineError, ...]]:
    """The corrections for plans of this kind, and a line of report for each that was measured.

    What the plan does not predict, as sums inside seats of one GPU, is left out. Give `plan` the calibration.
    """
    problem = Problem(shape=shape, hardware=hardware, workload=workload, constraints=constraints, loads=loads)
    corrections: tuple[Correction, ...] = ()
    report: list[LineError] = []
    for names in (TERMS, TOTALS):
        corrected = replace(problem, calibration=Calibration(corrections=corrections))
        for name in names:
            samples = [
                sample
                for one in measured
                if one.name == name and (sample := _sample(corrected, planned, one)) is not None
            ]
            if samples:
                line = _line(name, samples)
                report.append(line)
                corrections += (_correction(line, samples),)
    return Calibration(corrections=corrections), tuple(report)


def _sample(problem: Problem, planned: Plan, one: Measured) -> _Sample | None:
    """None where the plan predicts no such line."""
    workload = problem.workload
    length = one.sequence_length or workload.max_sequence_length
    there = replace(
        problem,
        workload=replace(
            workload,
            batch_size=one.batch_size or workload.batch_size,
            min_sequence_length=min(length, workload.min_sequence_length),
            max_sequence_length=length,
        ),
    )
    times = predict(there, planned.degrees, problem.copies)
    found = None if times is None else _predictions(times).get(one.name)
    if found is None or not found[0] > 0:
        return None
    return _Sample(predicted=found[0], measured=one.value, expected_error=found[1])


def _predictions(times: Times) -> Mapping[str, tuple[float, float]]:
    """Line -> its value and the error to expect of it."""
    prefill, decode = times.prefill, times.decode
    terms = (prefill.compute, prefill.reads, prefill.transfers, prefill.latency, *decode.terms)
    return {
        **{term.name: (term.seconds, term.error) for term in terms},
        FIRST_TOKEN: (times.time_to_first_token, prefill.error),
        DECODE_STEP: (times.decode_step, decode.error),
        PREFILL_THROUGHPUT: (times.prefill_throughput, prefill.pace.error),
        DECODE_THROUGHPUT: (times.decode_throughput, decode.error),
    }


def _line(name: str, samples: Sequence[_Sample]) -> LineError:
    return LineError(
        name=name,
        num_samples=len(samples),
        predicted=sum(sample.predicted for sample in samples) / len(samples),
        measured=sum(sample.measured for sample in samples) / len(samples),
        factor=_factor(samples),
        before=_mean_error(samples, [1.0] * len(samples)),
        after=None if len(samples) == 1 else _mean_error(samples, _factors_of_the_others(samples)),
    )


def _correction(line: LineError, samples: Sequence[_Sample]) -> Correction:
    error = max(sample.expected_error for sample in samples) if line.after is None else line.after
    return Correction(name=line.name, factor=line.factor, num_samples=line.num_samples, error=error)


def _factor(samples: Sequence[_Sample]) -> float:
    return exp(sum(log(sample.ratio) for sample in samples) / len(samples))


def _factors_of_the_others(samples: Sequence[_Sample]) -> list[float]:
    total = sum(log(sample.ratio) for sample in samples)
    return [exp((total - log(sample.ratio)) / (len(samples) - 1)) for sample in samples]


def _mean_error(samples: Sequence[_Sample], factors: Sequence[float]) -> float:
    """Of predictions times factors, as shares of what was measured."""
    errors = [abs(s.predicted * factor / s.measured - 1) for s, factor in zip(samples, factors, strict=True)]
    return sum(errors) / len(errors)

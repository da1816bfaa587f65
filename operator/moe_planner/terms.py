"""The parts of a predicted time: an amount over a rate, with the error to expect of the rate. Knows no model."""

from collections.abc import Iterable
from dataclasses import dataclass

from moe_planner.amounts import decimal, seconds
from moe_planner.calibration import Calibration

# Relative errors to expect of assumed rates while nothing was measured. A planner of the same kind is off by half in
# prefill, which computes, and by a fifth in decode, which reads (aiconfigurator against its own measurements).
COMPUTE_ERROR = 0.5
READ_ERROR = 0.2
LINK_ERROR = 0.5


@dataclass(frozen=True, kw_only=True)
class Term:
    """`amount` of `unit` ("B", "FLOP", or "" for a number of times) at `rate` per second, times what was measured."""

    name: str
    amount: float
    unit: str
    rate: float
    error: float
    factor: float = 1.0

    @property
    def seconds(self) -> float:
        return self.amount / self.rate * self.factor

    @property
    def formula(self) -> str:
        """With its numbers put in, e.g. "1.248 GB / 1.44 TB/s" or "32 x 20 us"."""
        plain = f"{self.amount:g} x {seconds(1 / self.rate)}"
        text = f"{decimal(self.amount, self.unit)} / {decimal(self.rate, self.unit)}/s" if self.unit else plain
        return text if self.factor == 1 else f"{text} x {self.factor:.3g} measured"


def computed(name: str, flop: float, flops: float, calibration: Calibration) -> Term:
    """A term of floating-point operations."""
    return _term(name, flop, "FLOP", flops, COMPUTE_ERROR, calibration)


def read(name: str, num_bytes: float, bandwidth: float, calibration: Calibration) -> Term:
    """A term of bytes read from memory."""
    return _term(name, num_bytes, "B", bandwidth, READ_ERROR, calibration)


def sent(name: str, num_bytes: float, bandwidth: float, calibration: Calibration) -> Term:
    """A term of bytes over a link."""
    return _term(name, num_bytes, "B", bandwidth, LINK_ERROR, calibration)


def repeated(name: str, times: float, each: float, calibration: Calibration) -> Term:
    """A term of waits of `each` seconds."""
    return _term(name, times, "", 1 / each if each else float("inf"), LINK_ERROR, calibration)


def slowest(*terms: Term) -> Term:
    """What overlaps takes as long as the slowest of it; the first of equals."""
    return max(terms, key=lambda term: term.seconds)


def expected_error(terms: Iterable[Term]) -> float:
    """Relative error of a sum: the errors of its terms by their shares, as if all were wrong to the same side."""
    terms = tuple(terms)
    total = sum(term.seconds for term in terms)
    return sum(term.seconds * term.error for term in terms) / total if total else 0.0


def _term(name: str, amount: float, unit: str, rate: float, error: float, calibration: Calibration) -> Term:
    measured = calibration.correction(name)
    if measured is not None:
        return Term(name=name, amount=amount, unit=unit, rate=rate, error=measured.error, factor=measured.factor)
    return Term(name=name, amount=amount, unit=unit, rate=rate, error=error)

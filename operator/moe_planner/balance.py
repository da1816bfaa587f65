"""How evenly a stage's ranks are loaded. Prefill counts tokens, decode the different experts that a batch activates.

Lanes run past each other, without a step that all ranks share: what counts is a rank's sum over the stage's layers.
The lanes of an expert with several copies are spread evenly over them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import erf, exp, fsum, prod, sqrt

from moe_planner.layout import Layout, StageLayout
from moe_planner.loads import Rates

_LIKELY_ENOUGH = 1e-9
_MANY = 200
_NORMAL_STEPS = 100


@dataclass(frozen=True, kw_only=True)
class Balance:
    """The busiest rank over the mean rank, 1 when all are alike; `busiest` is its number.

    `prefill` in the tokens to expect of it in the long run, `decode` in the different experts whose weights a decode
    step of the batch makes it read, `batch` in the tokens of one such step, chance included.
    """

    stage: int
    prefill: float
    decode: float
    batch: float
    busiest: int


def balance(stage: StageLayout, rates: Rates, *, batch: int) -> Balance:
    """How evenly the stage is loaded by a batch of so many tokens a step. Masked ranks do not count as ranks."""
    tokens, activated = _loads(stage, rates, batch)
    return Balance(
        stage=stage.stage,
        prefill=busiest_over_mean(tokens.values()),
        decode=busiest_over_mean(activated.values()),
        batch=busiest_of_batch([batch * load for load in tokens.values()]),
        busiest=max(tokens, key=lambda rank: (tokens[rank], -rank), default=-1),
    )


def balances(layout: Layout, rates: Rates, *, batch: int) -> tuple[Balance, ...]:
    """Every stage's, in their order."""
    return tuple(balance(stage, rates, batch=batch) for stage in layout.stages)


def worst_of_both(stage: StageLayout, rates: Rates, *, batch: int) -> float:
    """How busy the busiest rank is, in prefill or in decode, whichever is worse: what placement makes small.

    Over what the mean rank would have to do if every expert had one copy: so further copies are not taken for good
    because they make all ranks read more.
    """
    return Busyness(stage, rates, batch=batch).most


class Busyness:
    """What every living rank of a stage has to do, while copies come and go."""

    def __init__(self, stage: StageLayout, rates: Rates, *, batch: int) -> None:
        self._rates = rates
        self._batch = batch
        tokens, reads = _loads(stage, rates, batch)
        self._tokens, self._reads = tokens, reads
        hosted = [expert for expert in stage.experts if any(rank in tokens for rank in stage.hosts(expert))]
        self._mean_tokens = fsum(rates[expert] for expert in hosted) / max(1, len(tokens)) or 1.0
        self._mean_reads = fsum(activation(rates[expert], batch) for expert in hosted) / max(1, len(tokens)) or 1.0

    @property
    def most(self) -> float:
        """The busiest rank's, over the mean rank's with one copy of each expert; 1 where there is no load at all."""
        tokens, reads = max(self._tokens.values(), default=0.0), max(self._reads.values(), default=0.0)
        return max(tokens / self._mean_tokens, reads / self._mean_reads) or 1.0

    def rehost(self, expert: int, before: Sequence[int], after: Sequence[int]) -> None:
        """The expert's work is shared by other ranks than it was."""
        for hosts, sign in ((before, -1), (after, 1)):
            living = [rank for rank in hosts if rank in self._tokens]
            rate = self._rates[expert] / len(living) if living else 0.0
            for rank in living:
                self._tokens[rank] += sign * rate
                self._reads[rank] += sign * activation(rate, self._batch)


def _loads(stage: StageLayout, rates: Rates, batch: int) -> tuple[dict[int, float], dict[int, float]]:
    """By living rank, tokens per token of the batch, and different experts per step."""
    masked = frozenset(stage.masked)
    tokens = {rank: 0.0 for rank in stage.ranks if rank not in masked}
    activated = dict(tokens)
    for expert in stage.experts:
        hosts = [rank for rank in stage.hosts(expert) if rank in tokens]
        if hosts:
            rate = rates[expert] / len(hosts)
            reads = activation(rate, batch)
            for rank in hosts:
                tokens[rank] += rate
                activated[rank] += reads
    return tokens, activated


def activation(rate: float, batch: int) -> float:
    """The probability that at least one of so many tokens chooses an expert of that rate."""
    return 1 - (1 - min(rate, 1.0)) ** batch


def busiest_over_mean(loads: Iterable[float]) -> float:
    """The largest over the mean; 1 where there is no load at all."""
    values = tuple(loads)
    total = fsum(values)
    return max(values) * len(values) / total if total else 1.0


def busiest_of_batch(means: Sequence[float]) -> float:
    """The largest of so many random token counts to be expected, over their mean: what chance does to one batch.

    Counts are taken as independent and Poisson, which agrees with sampled batches within 2 %; as normal where many.
    """
    mean = sum(means) / len(means) if means else 0.0
    if not mean:
        return 1.0
    alike = Counter(means)
    most = max(means)
    largest = _largest_normal(alike, most) if most > _MANY else _largest_poisson(alike, most)
    return largest / mean


def _largest_poisson(alike: Mapping[float, int], most: float) -> float:
    """The sum over n of the probability that some count is above n."""
    chances = {one: exp(-one) for one in alike}
    at_most = dict(chances)
    expected, count, above = 0.0, 0, 1.0
    while above > _LIKELY_ENOUGH or count < most:
        above = 1 - prod(min(at_most[one], 1.0) ** number for one, number in alike.items())
        expected += above
        count += 1
        for one in alike:
            chances[one] *= one / count
            at_most[one] += chances[one]
    return expected


def _largest_normal(alike: Mapping[float, int], most: float) -> float:
    """The same as an integral from a point that the largest mean is never below, over ten standard deviations."""
    width = sqrt(most)
    step = 10 * width / _NORMAL_STEPS
    start = most - 5 * width
    points = (start + (index + 0.5) * step for index in range(_NORMAL_STEPS))
    return start + step * sum(1 - prod(_normal(one, at) ** number for one, number in alike.items()) for at in points)


def _normal(mean: float, at: float) -> float:
    return 0.5 * (1 + erf((at - mean) / sqrt(2 * mean))) if mean else 1.0

"""How unevenly experts are asked: what the busiest GPU gets of a prompt's rows, and what a step wakes of its experts.

Estimates for the search, which has no placement yet; `balance` counts the placed layout.
"""

from functools import lru_cache
from math import ceil, comb, log, sqrt

# Beyond so many experts of a layer on a GPU the exact sum gives way to the normal approximation.
_MOST_SUMMED = 256


def busiest_over_mean(experts: int, seats: int, hottest: float, chosen: float) -> float:
    """Rows on the busiest seat over those on the mean one, at best.

    `experts` are the copies that the stage spreads over its seats, `chosen` the rows that a token sends to them in
    all, and `hottest` the share of tokens that goes to its most popular one.
    """
    spread = ceil(experts / seats) * seats / experts
    return max(spread, hottest * seats / chosen)


@lru_cache(maxsize=4096)
def most_activated(held: int, seats: int, share: float) -> float:
    """Experts that a step wakes on the seat where it wakes most, as the mean over many steps; at least one.

    Each of a layer's `held` experts on each of its `seats` is awake with probability `share`: the most of `seats`
    binomial draws.
    """
    if held == 1:
        return 1.0
    if held > _MOST_SUMMED:
        spread = sqrt(2 * log(seats) * held * share * (1 - share)) if seats > 1 else 0.0
        return max(1.0, min(held, held * share + spread))
    at_most = 0.0
    most = float(held)
    for awake in range(held):
        at_most += comb(held, awake) * share**awake * (1 - share) ** (held - awake)
        most -= min(1.0, at_most) ** seats
    return max(1.0, most)

"""How likely a token chooses each expert: from nothing, from Zipf's law, or from measured counts. Knows no layout."""

from collections.abc import Iterable, Mapping
from math import exp

from moe_planner.errors import PlanError
from moe_planner.inputs import Loads
from moe_planner.model import ModelShape

Rates = Mapping[int, float]
"""Global expert id -> the probability that one token chooses it. A layer's rates add up to the experts per token."""


def expert_rates(shape: ModelShape, loads: Loads) -> Rates:
    """The rates of every expert of the model. Raises PlanError for counts that do not fit the model."""
    layers = shape.expert_layers
    if loads.kind == "measured":
        rows: Iterable[tuple[float, ...]] = _measured(shape, loads, layers)
    elif loads.kind == "zipf":
        falling = chosen_without_replacement(zipf_shares(shape.experts, loads.zipf_exponent), shape.experts_per_token)
        rows = (_rotated(falling, layer) for layer in layers)
    else:
        even = (shape.experts_per_token / shape.experts,) * shape.experts
        rows = (even for _ in layers)
    return {
        layer * shape.experts + index: rate
        for layer, row in zip(layers, rows, strict=True)
        for index, rate in enumerate(row)
    }


def counted_rates(counts: Mapping[int, float], *, experts: int, chosen: int) -> Rates:
    """The rates of counted experts, by global id; `experts` are those of a layer, and layers are counted as a whole."""
    rates: dict[int, float] = {}
    for layer in sorted({expert // experts for expert in counts}):
        ids = range(layer * experts, (layer + 1) * experts)
        rates.update(zip(ids, _rates_of_counts(tuple(counts[expert] for expert in ids), chosen), strict=True))
    return rates


def is_uniform(rates: Rates) -> bool:
    """Whether no expert is chosen more often than another."""
    return len(set(rates.values())) <= 1


def zipf_shares(experts: int, exponent: float) -> tuple[float, ...]:
    """Shares of a layer's choices by Zipf's law, the most popular expert first; they add up to 1."""
    weights = [(index + 1) ** -exponent for index in range(experts)]
    total = sum(weights)
    return tuple(weight / total for weight in weights)


def chosen_without_replacement(shares: tuple[float, ...], chosen: int) -> tuple[float, ...]:
    """The probability of each expert to be among `chosen` different ones that are drawn one after the other.

    Exact for one and two. For more, each expert has an exponential clock that runs at its share and the first ones to
    ring are chosen: the time by which `chosen` of them are expected to have rung tells each one's chance, within 1 %.
    """
    if chosen >= len(shares):
        return (1.0,) * len(shares)
    if chosen == 1:
        return shares
    if chosen == 2:
        others = [share / (1 - share) for share in shares]
        total = sum(others)
        return tuple(share * (1 + total - other) for share, other in zip(shares, others, strict=True))
    until = _time_of(shares, chosen)
    return tuple(1 - exp(-share * until) for share in shares)


def _time_of(shares: tuple[float, ...], chosen: int) -> float:
    """When `chosen` of the clocks are expected to have rung."""
    early, late = 0.0, 1.0
    while sum(1 - exp(-share * late) for share in shares) < chosen and late < 1e12:
        early, late = late, 2 * late
    for _ in range(60):
        middle = (early + late) / 2
        if sum(1 - exp(-share * middle) for share in shares) < chosen:
            early = middle
        else:
            late = middle
    return late


def _rotated(falling: tuple[float, ...], layer: int) -> tuple[float, ...]:
    """Layer l's most popular expert is number l: popularity is not tied to a number over all layers."""
    start = -layer % len(falling)
    return falling[start:] + falling[:start]


def _measured(shape: ModelShape, loads: Loads, layers: tuple[int, ...]) -> list[tuple[float, ...]]:
    """Counts become rates; a layer that counted nothing is taken as uniform. Dense layers may be left out."""
    counts = loads.counts
    if len(counts) == shape.layers:
        counts = tuple(counts[layer] for layer in layers)
    if len(counts) != len(layers) or any(len(row) != shape.experts for row in counts):
        rows = {len(row) for row in counts}
        raise PlanError(
            "loads",
            f"{len(counts)} layers of {', '.join(map(str, sorted(rows))) or 'no'} experts",
            f"the model has {len(layers)} layers of {shape.experts} experts",
            "give one row of counts for each layer with experts, one count for each expert",
        )
    return [_rates_of_counts(row, shape.experts_per_token) for row in counts]


def _rates_of_counts(counts: tuple[float, ...], chosen: int) -> tuple[float, ...]:
    """No token chooses an expert twice, so what is above 1 goes to the others by their counts."""
    if not any(counts):
        return (chosen / len(counts),) * len(counts)
    rates = [0.0] * len(counts)
    certain: set[int] = set()
    while True:
        open_ones = [index for index in range(len(counts)) if index not in certain]
        total = sum(counts[index] for index in open_ones)
        for index in open_ones:
            rates[index] = (chosen - len(certain)) * counts[index] / total if total else 0.0
        above = {index for index in open_ones if rates[index] >= 1}
        if not above:
            return tuple(rates)
        certain |= above
        for index in above:
            rates[index] = 1.0

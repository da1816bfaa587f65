"""What the ranks of a stage counted, report after report, as the load of each expert. Pure; decides nothing.

A rank counts since its process started, so what counts is the difference to its last report.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from moe_api.conditions import rfc3339_micro
from moe_api.loads import CountedLoads, RankCounts
from moe_api.moment import moment_of
from moe_api.report import SeatReport
from moe_api.stage import MoEStage, MoEStageSpec
from moe_operator.decide.seats import Seats
from moe_planner.loads import Rates, counted_rates

LEAST_TOKENS = 100
"""Of an expert, in the mean: with fewer, chance alone makes a tenth more or less."""


def take_in(before: CountedLoads, seats: Seats, *, every: timedelta, now: datetime) -> CountedLoads | None:
    """The loads with what the reports tell that is new; None until then.

    All serving ranks are waited for, so that they are compared over the same time; a rank that has nothing to do never
    reports anything new, so only for two periods.
    """
    stage = seats.snapshot.stage
    serving = [report for seat in stage.spec.ranks if seats.is_serving(seat) and (report := seats.report(seat))]
    fresh = [report for report in serving if report.served and _counts(report) != before.seen.get(report.rank)]
    since = moment_of(before.at or stage.metadata.creation_timestamp or "")
    age = now - since if since else timedelta.max
    if not fresh or age < every / 2 or (len(fresh) < len(serving) and age < 2 * every):
        return None
    tokens = {expert.expert: before.tokens.get(expert.expert, 0.0) / 2 for expert in stage.spec.experts}
    for report in fresh:
        for expert, number in _new_tokens(before.seen.get(report.rank), report).items():
            tokens[expert] = tokens.get(expert, 0.0) + number
    seen = before.seen | {report.rank: _counts(report) for report in fresh}
    return CountedLoads(at=rfc3339_micro(now), tokens=tokens, seen=seen)


def rates_of(loads: CountedLoads, spec: MoEStageSpec) -> Rates | None:
    """How likely a token chooses each expert of the stage; None while too little was counted."""
    if not spec.experts or sum(loads.tokens.values()) < LEAST_TOKENS * len(spec.experts):
        return None
    counts = {expert.expert: loads.tokens.get(expert.expert, 0.0) for expert in spec.experts}
    return counted_rates(counts, experts=spec.model.shape.experts, chosen=spec.model.shape.experts_per_token)


def known_rates(stage: MoEStage) -> Rates | None:
    """The same, as it was last written down."""
    return rates_of(CountedLoads.of(stage), stage.spec)


def _counts(report: SeatReport) -> RankCounts:
    return RankCounts(incarnation=report.incarnation, tokens={load.expert: load.tokens for load in report.served})


def _new_tokens(seen: RankCounts | None, report: SeatReport) -> dict[int, int]:
    """Since the last report; since its start of a process that had none."""
    before = seen.tokens if seen is not None and seen.incarnation == report.incarnation else {}
    return {load.expert: max(0, load.tokens - before.get(load.expert, 0)) for load in report.served}

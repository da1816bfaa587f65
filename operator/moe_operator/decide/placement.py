"""Where a stage's experts are to be as its load changes: another home layout, if it is worth its moves. Pure.

The stage goes there as it goes home after a failure. Anything else that is to be done comes first.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from moe_api.convert import room, stage_layout
from moe_api.deployment import RebalanceSpec
from moe_api.loads import CountedLoads
from moe_api.names import Reason
from moe_api.notes import home_note
from moe_operator.decide.actions import Event, StageDecision
from moe_operator.decide.loads import rates_of, take_in
from moe_operator.decide.nodes import inputs_on
from moe_operator.decide.seats import find_seats
from moe_operator.decide.words import numbered
from moe_operator.snapshot import StageSnapshot
from moe_planner.balance import worst_of_both
from moe_planner.copies import wanted_copies
from moe_planner.home import is_home
from moe_planner.layout import StageLayout
from moe_planner.loads import Rates
from moe_planner.moves import Rehosting
from moe_planner.rebalance import rebalance


def follow_loads(decision: StageDecision, snapshot: StageSnapshot, now: datetime) -> StageDecision:
    """The decision; where it is to do nothing, what the newly counted loads ask for."""
    wanted = snapshot.accepted.experts.rebalance
    if wanted is None or not decision.is_empty:
        return decision
    every = timedelta(seconds=wanted.every_seconds)
    loads = take_in(CountedLoads.of(snapshot.stage), find_seats(snapshot), every=every, now=now)
    if loads is None:
        return decision
    decision = replace(decision, notes=loads.to_note())
    rates, layout = rates_of(loads, snapshot.stage.spec), stage_layout(snapshot.stage.spec)
    if rates is None or not is_home(layout, snapshot.home):
        return decision
    return _rebalanced(decision, snapshot, layout, rates, wanted)


def _rebalanced(
    decision: StageDecision, snapshot: StageSnapshot, layout: StageLayout, rates: Rates, wanted: RebalanceSpec
) -> StageDecision:
    inputs = inputs_on(snapshot.nodes.values(), snapshot.accepted)
    found = rebalance(
        layout,
        rates,
        batch=inputs.sequences,
        budget=wanted.moves,
        room=room(snapshot.stage.spec, snapshot.accepted),
        wanted=wanted_copies(layout.experts, len(layout.ranks), inputs.constraints, rates),
        least=wanted_copies(layout.experts, len(layout.ranks), replace(inputs.constraints, spare_copies=0), rates),
        racks=inputs.racks,
    )
    if not found.moves and not found.dropped:
        return decision
    before, after = (worst_of_both(one, rates, batch=inputs.sequences) for one in (layout, found.layout))
    event = Event(reason=Reason.REBALANCED, message=_words(found, before, after))
    return replace(decision, notes={**decision.notes, **home_note(found.layout)}, events=(*decision.events, event))


def _words(found: Rehosting, before: float, after: float) -> str:
    """`the busiest rank has 1.80 times the mean to do, and 1.20 times once experts 3, 5 are loaded elsewhere`."""
    moved = sorted({move.expert for move in found.moves})
    goal = f"{numbered('expert', moved)} {'is' if len(moved) == 1 else 'are'} loaded elsewhere"
    return f"the busiest rank has {before:.2f} times the mean to do, and {after:.2f} times once {goal}"

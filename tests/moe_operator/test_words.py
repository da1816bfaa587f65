"""What people are told of moves."""

from __future__ import annotations

from moe_api.names import Reason
from moe_operator.decide.actions import EVENT_MESSAGE_LIMIT, Event
from moe_operator.decide.words import joined


def test_many_moves_are_few_events_and_none_is_left_out() -> None:
    moves = [f"expert {number} moved from rank {number} to rank {number + 100}" for number in range(60)]
    events = joined(Event(reason=Reason.EXPERT_REHOSTED, message=move) for move in moves)
    assert "; ".join(event.message for event in events) == "; ".join(moves)
    assert len(events) == 3
    assert all(len(event.message) <= EVENT_MESSAGE_LIMIT for event in events)

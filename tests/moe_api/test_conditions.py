from __future__ import annotations

from datetime import UTC, datetime

from moe_api.conditions import Condition, find, is_true, rfc3339, rfc3339_micro, upsert

EARLY = datetime(2026, 1, 1, tzinfo=UTC)
LATE = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


def available(status: str, reason: str = "Why") -> Condition:
    return Condition.load({"type": "Available", "status": status, "reason": reason})


def test_time_moves_on_a_flip_only() -> None:
    first = upsert([], available("False"), now=EARLY)
    assert find(first, "Available").last_transition_time == rfc3339(EARLY)  # type: ignore[union-attr]  # just added
    same = upsert(first, available("False", "Another"), now=LATE)
    assert (same[0].reason, same[0].last_transition_time) == ("Another", rfc3339(EARLY))
    flipped = upsert(same, available("True"), now=LATE)
    assert flipped[0].last_transition_time == rfc3339(LATE)
    assert is_true(flipped, "Available")


def test_others_keep_their_places() -> None:
    planned = Condition(type="Planned", status="True")
    both = upsert(upsert([], planned, now=EARLY), available("False"), now=EARLY)
    again = upsert(both, Condition(type="Planned", status="False"), now=LATE)
    assert [c.type for c in again] == ["Planned", "Available"]
    assert again[1] == both[1]


def test_times_are_written_as_kubernetes_does() -> None:
    assert rfc3339(LATE) == "2026-01-02T03:04:05Z"
    assert rfc3339_micro(LATE) == "2026-01-02T03:04:05.678000Z"

import pytest

from benchmarks.chaos.faults import Strike
from benchmarks.chaos.repairs import LIMIT_S, Repairs
from moe_local.errors import LocalError


class Node:
    """Cut off, it refuses whatever is not its cable."""

    def __init__(self) -> None:
        self.is_cut_off = True
        self.is_reported = True

    def rejoin(self) -> None:
        self.is_cut_off = False

    def clear(self) -> None:
        if self.is_cut_off:
            raise LocalError("the node is cut off")
        self.is_reported = False


def strike(words: str, undo: object) -> Strike:
    return Strike(words=words, taken=(), strike=lambda: None, undo=undo)  # type: ignore[arg-type]


def test_a_repair_that_is_refused_keeps_no_other_from_its_turn() -> None:
    node, repairs = Node(), Repairs()
    repairs.add(strike("reported", node.clear), 1)
    repairs.add(strike("cut off", node.rejoin), 2)
    assert not repairs.do_due(1)
    assert repairs.do_due(2)
    assert not node.is_cut_off
    assert [one.words for _, one in repairs.open] == ["reported"]
    assert repairs.do_due(3)
    assert not repairs.open
    assert not node.is_reported


def test_nothing_is_repaired_before_its_time_and_what_needs_no_repair_is_forgotten() -> None:
    node, repairs = Node(), Repairs()
    repairs.add(strike("cut off", node.rejoin), 5)
    repairs.add(strike("exits", None), 5)
    assert not repairs.do_due(4)
    assert [one.words for _, one in repairs.open] == ["cut off"]


def test_all_is_repaired_in_the_end_or_it_says_what_is_not() -> None:
    node, repairs, times = Node(), Repairs(), iter(range(0, 1000, int(LIMIT_S) // 2))
    repairs.add(strike("reported", node.clear), 1)
    with pytest.raises(LocalError, match="not repaired within 120 s: reported"):
        repairs.do_all(clock=lambda: next(times), sleep=lambda _: None)
    repairs.add(strike("cut off", node.rejoin), 2)
    repairs.do_all(clock=lambda: 0, sleep=lambda _: None)
    assert not repairs.open

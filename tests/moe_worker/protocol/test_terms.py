import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_worker.protocol.terms import next_term

EPOCHS = st.integers(0, 2**24 - 1)
INCARNATIONS = st.integers(0, 2**24 - 1)


def test_the_first_term_of_a_head_is_made_of_epoch_and_incarnation() -> None:
    assert next_term(0, epoch=3, incarnation=5) == (3 << 40) | (5 << 16)


def test_each_life_counts_one_up() -> None:
    first = next_term(0, epoch=3, incarnation=5)
    assert first is not None
    assert next_term(first, epoch=3, incarnation=5) == first + 1


@given(EPOCHS, INCARNATIONS, EPOCHS, INCARNATIONS)
def test_a_later_head_is_above_everything_an_earlier_one_can_use(e1: int, i1: int, e2: int, i2: int) -> None:
    earlier, later = sorted([(e1, i1), (e2, i2)])
    if earlier == later:
        return
    last_of_earlier = (earlier[0] << 40) | (earlier[1] << 16) | 0xFFFF
    term = next_term(last_of_earlier, epoch=later[0], incarnation=later[1])
    assert term is not None
    assert term > last_of_earlier
    assert next_term(term, epoch=earlier[0], incarnation=earlier[1]) is None


def test_a_head_in_a_newer_epoch_goes_on_above_its_own_older_terms() -> None:
    old = next_term(0, epoch=3, incarnation=5)
    assert old is not None
    new = next_term(old + 7, epoch=4, incarnation=5)
    assert new == (4 << 40) | (5 << 16)


def test_a_head_never_counts_into_its_successors_terms() -> None:
    with pytest.raises(OverflowError, match="start this rank again"):
        next_term((3 << 40) | (5 << 16) | 0xFFFF, epoch=3, incarnation=5)

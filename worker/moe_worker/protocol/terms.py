"""The numbering of a lane's lives.

A term is (epoch of the first stage | incarnation of the head | counter), most significant first. Two heads of one lane
differ in the epoch that seated them, or, in the same seat, in their incarnation: so a later head's terms are above all
of an earlier one's, whatever the earlier one is still doing. Only a head makes terms; everyone else compares them.
"""

_COUNTER_BITS = 16
_INCARNATION_BITS = 24
_LAST_COUNTER = (1 << _COUNTER_BITS) - 1


def next_term(highest_seen: int, *, epoch: int, incarnation: int) -> int | None:
    """A term above every one seen, or None where a later head than this one is known to exist.

    Raises OverflowError after 65,535 lives of one lane in one incarnation and epoch: the process should end, and its
    successor goes on.
    """
    assert 0 <= incarnation < 1 << _INCARNATION_BITS
    first = (epoch << _INCARNATION_BITS | incarnation) << _COUNTER_BITS
    if highest_seen < first:
        return first
    if highest_seen >> _COUNTER_BITS != first >> _COUNTER_BITS:
        return None
    if highest_seen & _LAST_COUNTER == _LAST_COUNTER:
        raise OverflowError(
            f"lane reset {_LAST_COUNTER} times in epoch {epoch}, incarnation {incarnation}: start this rank again"
        )
    return highest_seen + 1

from hypothesis import given
from hypothesis import strategies as st

from moe_worker.transport.nixl_slab import ALIGNMENT, Slab


def test_pieces_begin_at_multiples_of_the_alignment_and_do_not_overlap() -> None:
    slab = Slab(4096)
    assert [slab.take(1), slab.take(64), slab.take(65), slab.take(4096 - 256)] == [0, 64, 128, 256]
    assert slab.take(1) is None


def test_what_is_given_back_becomes_one_gap_again() -> None:
    slab = Slab(4096)
    places = [slab.take(1024) for _ in range(4)]
    for place in (places[1], places[3], places[0], places[2]):
        assert place is not None
        slab.give(place)
    assert slab.take(4096) == 0


def test_what_is_written_into_a_piece_is_read_from_it_and_gone_when_the_slab_is_emptied() -> None:
    slab = Slab(4096)
    slab.view(64, 3)[:] = b"abc"
    assert bytes(slab.view(63, 5)) == b"\x00abc\x00"
    slab.empty()
    assert bytes(slab.view(64, 3)) == b"\x00\x00\x00"


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 1500)), max_size=60))
def test_no_two_takers_ever_share_a_byte_and_nothing_is_lost(moves: list[tuple[bool, int]]) -> None:
    slab = Slab(4096)
    held: dict[int, int] = {}
    for is_taking, number in moves:
        if is_taking:
            offset = slab.take(number)
            if offset is not None:
                assert offset % ALIGNMENT == 0
                assert offset + number <= 4096
                assert all(offset + number <= start or start + size <= offset for start, size in held.items())
                held[offset] = number
        elif held:
            offset = sorted(held)[number % len(held)]
            del held[offset]
            slab.give(offset)
    assert slab.num_taken == len(held)
    for offset in held:
        slab.give(offset)
    assert slab.take(4096) == 0

from hypothesis import given
from hypothesis import strategies as st

from moe_worker.protocol.prefixes import extend

TOKENS = st.lists(st.integers(0, 2), max_size=12)


def names(tokens: list[int], block_size: int) -> list[bytes]:
    found: list[bytes] = []
    extend(found, tokens, block_size)
    return found


def test_only_full_blocks_have_names() -> None:
    assert [len(names([7] * length, 4)) for length in (0, 3, 4, 7, 8)] == [0, 0, 1, 1, 2]


@given(TOKENS, TOKENS, st.integers(1, 4))
def test_two_blocks_have_one_name_if_and_only_if_all_tokens_up_to_their_end_are_equal(
    one: list[int], other: list[int], block_size: int
) -> None:
    for index, (name, another) in enumerate(zip(names(one, block_size), names(other, block_size), strict=False)):
        end = (index + 1) * block_size
        assert (name == another) == (one[:end] == other[:end])


@given(TOKENS, TOKENS, st.integers(1, 4))
def test_naming_bit_by_bit_gives_the_same_names(first: list[int], more: list[int], block_size: int) -> None:
    found = names(first, block_size)
    extend(found, first + more, block_size)
    assert found == names(first + more, block_size)


def test_large_tokens_have_names_too() -> None:
    assert names([2**32 - 1], 1) != names([0], 1)

"""Which memory is gathered into huge pages, and that what it holds stays the same."""

from moe_local.huge_pages import HUGE_BYTES, gather_memory, wholes

MB = 1 << 20
MAPS = """\
00001000-00500000 rw-p 00000000 00:00 0                                  [heap]
10000000-10200000 rw-p 00000000 00:00 0
20000000-20400000 r--p 00000000 00:00 0
30000000-30400000 rw-s 00000000 00:00 0
40000000-40400000 rw-p 00000000 08:01 77                                 /usr/lib/libtorch.so
50100000-502fffff rw-p 00000000 00:00 0
7ffc0000000-7ffc0400000 rw-p 00000000 00:00 0                            [stack]
"""


def test_whole_huge_pages_of_the_heap_and_of_nameless_memory_are_gathered_and_nothing_else() -> None:
    found = [(start, length // MB) for start, length in wholes(MAPS.splitlines())]
    assert found == [(0x200000, 2), (0x10000000, 2)]


def test_what_is_gathered_holds_what_it_held() -> None:
    numbers = [bytes([number]) * (HUGE_BYTES // 2) for number in range(8)]
    assert gather_memory() % HUGE_BYTES == 0
    assert [(len(one), set(one)) for one in numbers] == [(HUGE_BYTES // 2, {number}) for number in range(8)]

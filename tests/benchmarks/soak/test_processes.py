import os
import subprocess
import sys

import pytest

from benchmarks.soak.processes import MIB, Series, Watched, resident_bytes, started


def series(*sizes: int) -> Series:
    """A sample each second."""
    made = Series(pid=1)
    for second, size in enumerate(sizes):
        made.add(1, second, size)
    return made


def test_the_slope_is_that_after_warming_up() -> None:
    leaking = series(0, 500, 900, 1000, 1010, 1020, 1030, 1040, 1050, 1060)
    assert leaking.slope == pytest.approx(10)
    assert leaking.typical == 1030
    assert leaking.growth == pytest.approx(60 / 1030)
    assert series(0, 500, 1000, 1000, 1000, 1000, 1000).slope == 0


def test_another_process_in_the_place_begins_anew() -> None:
    seat = series(900, 900)
    seat.add(2, 2, 100)
    assert (seat.processes, seat.sizes, seat.highest) == (2, [100], 900)


def test_our_own_memory_and_birth_are_seen() -> None:
    assert (resident_bytes(os.getpid()) or 0) > MIB
    assert (started(os.getpid()) or "").isdecimal()


def test_whoever_still_runs_has_been_left() -> None:
    watched = Watched()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        watched.look(0.0, {"child": child.pid, "gone": None})
        assert watched.left() == [child.pid]
        child.kill()
    assert watched.left() == []
    assert list(watched.series) == ["child"]

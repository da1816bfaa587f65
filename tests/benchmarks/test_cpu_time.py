import os
import time

from benchmarks.cpu_time import cpu_seconds

NOBODY = 2**22 + 1
"""Above the highest pid that Linux gives."""


def test_ones_own_time_is_the_processes_and_nobody_has_none() -> None:
    own = cpu_seconds([os.getpid(), NOBODY])
    assert abs(own - time.process_time()) <= 0.1
    assert cpu_seconds([NOBODY]) == 0.0

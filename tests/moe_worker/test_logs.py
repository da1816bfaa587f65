"""What is logged, and what is not lost by it."""

import errno
from io import StringIO

from moe_worker.logs import Logger


class FullDisk(StringIO):
    """A log whose disk has no room."""

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_line_says_when_how_bad_who_and_what() -> None:
    stream = StringIO()
    Logger("rank 17", stream).warning("one\ntwo")
    moment, words = stream.getvalue().split(" ", 1)
    assert moment.endswith("Z")
    assert words == "WARN rank 17: one two\n"


def test_a_log_that_cannot_be_written_ends_nobody() -> None:
    Logger("supervisor", FullDisk()).error("something")

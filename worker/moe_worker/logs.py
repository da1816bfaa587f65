"""One line on standard output for each thing that happened: time, level, who, what. `kubectl logs` tells the
failover's story.
"""

import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TextIO

Log = Callable[[str], None]


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Logger:
    """Lines of one writer, e.g. "rank 17" or "supervisor"; a line is one write, so lines of several processes
    never mix.
    """

    def __init__(self, who: str, stream: TextIO | None = None) -> None:
        self._who = who
        self._stream = stream or sys.stdout

    def info(self, text: str) -> None:
        self._write("INFO", text)

    def warning(self, text: str) -> None:
        self._write("WARN", text)

    def error(self, text: str) -> None:
        self._write("ERROR", text)

    def _write(self, level: str, text: str) -> None:
        line = " ".join(text.split("\n"))
        # Where the log's disk is full or its reader gone, there is nobody to tell, and serving goes on.
        with suppress(OSError):
            self._stream.write(f"{timestamp(datetime.now(UTC))} {level} {self._who}: {line}\n")
            self._stream.flush()

"""A CPU device's health file: `healthy`, `slow: <factor>` or `failed: <reason>`. Who drives the device holds a POSIX
lock on the file.

The file plays the part of a GPU's driver; who writes it, and why, is not known here.
"""

import fcntl
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

from moe_worker.device.base import DeviceError

HEALTHY = "healthy"
SLOW = "slow:"
CHECK_SECONDS = 0.1
_FLOCK = "hhqqi4x"  # struct flock of 64-bit Linux: type, whence, start, length, pid


class HealthFile:
    """The lock on one health file, and its content as last read: `slowness` is how many times as long as a good one the
    device takes for everything.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self._name = str(path)
        self._clock = clock
        self._file = -1
        self._inode = 0
        self._content = b""
        self._next_check = 0.0
        self.slowness = 1.0

    def open(self) -> None:
        """Locks the file and reads it; raises DeviceError when another process holds it or it is not healthy."""
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise DeviceError(f"health file {self.path} cannot be opened: {error.strerror}") from error
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = self._owner()
            self.close()
            raise DeviceError(f"device {self.path} is driven by another process (pid {owner})") from error
        self._inode, self._content = os.fstat(self._file).st_ino, b""
        self._read()

    def check(self) -> None:
        """Reads the file again, at most every CHECK_SECONDS; raises DeviceError when it is neither healthy nor slow."""
        now = self._clock()
        if now >= self._next_check:
            self._next_check = now + CHECK_SECONDS
            self._read()

    def close(self) -> None:
        """Gives the lock up."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _read(self) -> None:
        # On the locked descriptor: closing any other descriptor of the file would give the lock up.
        if not self._is_still_there():
            self.close()
            self.open()
            return
        content = os.pread(self._file, 4096, 0)
        if content == self._content:
            return
        text = content.decode(errors="replace").strip()
        # An empty file is one that is being written; the next check sees the rest.
        if not text:
            return
        self._content = content
        slowness = _slowness(text)
        if slowness is not None:
            self.slowness = slowness
        else:
            self.close()
            raise DeviceError(text.removeprefix("failed:").strip())

    def _is_still_there(self) -> bool:
        """False when the file was replaced by another one (written anew and renamed)."""
        try:
            return os.stat(self._name).st_ino == self._inode
        except OSError as error:
            self.close()
            raise DeviceError(f"health file {self.path} is gone: {error.strerror}") from error

    def _owner(self) -> int:
        question = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        return int(struct.unpack(_FLOCK, fcntl.fcntl(self._file, fcntl.F_GETLK, question))[4])


def _slowness(text: str) -> float | None:
    """None where the device has failed."""
    if text == HEALTHY:
        return 1.0
    try:
        return max(float(text.removeprefix(SLOW)), 1.0) if text.startswith(SLOW) else None
    except ValueError:
        return None

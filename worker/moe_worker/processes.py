"""What every process of a worker does about its parent, its signals and the files it inherited. Linux only."""

import ctypes
import os
import signal
import sys
from contextlib import suppress
from typing import TextIO

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when `parent`, which forked it, is gone; also when that happened already."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        os._exit(1)


def reset_signals() -> None:
    """Forget the handlers of the process that forked this one."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def close_other_files(kept: frozenset[int]) -> None:
    """Close every file but the standard three and those in `kept`; standard output and error are 1 and 2 whatever
    they were.
    """
    sys.stdout, sys.stderr = _standard_file(1), _standard_file(2)
    for name in os.listdir("/proc/self/fd"):
        fileno = int(name)
        if fileno > 2 and fileno not in kept:
            try:
                os.close(fileno)
            except OSError:  # the listing's own descriptor is gone by now
                continue


def flush_output() -> None:
    """Write what is left for the log; where its disk is full or its reader gone, that ends nobody otherwise."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()


def describe_exit(status: int) -> str:
    """The words for a wait status: "exit status 1", "SIGKILL"."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    return f"exit status {os.waitstatus_to_exitcode(status)}"


def _standard_file(fileno: int) -> TextIO:
    return open(fileno, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)

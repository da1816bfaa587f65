"""What happens between the fork of a container and its program: the code of the forked child.

The child is the first process of a pid namespace. It stays as a small init: it forks the program, passes signals to
it, reaps orphans, and ends with the program's code, whereupon the kernel kills all that is left.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.metadata
import os
import shutil
import signal
import sys
import threading
import traceback
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from moe_local.sandbox import CLONE_NEWNS, CLONE_NEWPID, Kernel, Mount, enter_root

NOT_STARTED = 128
# Hundreds of busy ranks must not starve the control plane: nodes would seem lost because nobody renewed their leases.
NICE = 5
OOM_SCORE = 500


@dataclass(frozen=True, kw_only=True)
class Order:
    """One program to be started."""

    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: str
    log: str
    root: str = ""
    mounts: tuple[Mount, ...] = ()
    join: int = 0
    """The pid of the container's init to run inside of, for probes and hooks; 0: a new container."""
    niceness: int = NICE

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Order:
        """Reads what `dataclasses.asdict` made."""
        mounts = tuple(Mount(**mount) for mount in raw["mounts"])
        return cls(**{**raw, "argv": tuple(raw["argv"]), "mounts": mounts})


Entry = Callable[[], str | int | None]


def run_container(kernel: Kernel, order: Order, report: int) -> NoReturn:
    """Becomes the init of a new container. Writes to `report` why it could not, closes it when the program runs."""
    try:
        kernel.die_with_parent()
        _reset(report)
        # The log is opened first: it need not be visible inside.
        log = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        _write_to(log)
        enter_root(kernel, order.root, order.mounts)
        program = os.fork()
        if program == 0:
            _run_program(order, report)
        os.close(report)
        _serve_as_init(program)
    except BaseException as error:  # noqa: BLE001  # a forked child must not return into its parent's code
        _fail(report, error)


def run_inside(kernel: Kernel, order: Order, report: int) -> NoReturn:
    """Runs a program inside a running container, and ends with its code."""
    try:
        kernel.die_with_parent()
        _reset(report)
        log = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        _write_to(log)
        names = {"mnt": CLONE_NEWNS, "pid": CLONE_NEWPID}
        handles = {os.open(f"/proc/{order.join}/ns/{name}", os.O_RDONLY): flag for name, flag in names.items()}
        for handle, flag in handles.items():
            kernel.enter(handle, flag)
            os.close(handle)
        program = os.fork()
        if program == 0:
            kernel.die_with_parent()
            _run_program(order, report)
        os.close(report)
        os._exit(_code(os.waitpid(program, 0)[1]))
    except BaseException as error:  # noqa: BLE001  # as above
        _fail(report, error)


def find_entry(name: str) -> Entry | None:
    """The function behind a console script of an installed distribution; None for any other program."""
    if "/" in name:
        return None
    found = importlib.metadata.entry_points(group="console_scripts", name=name)
    for entry in found:
        loaded: Entry = entry.load()
        return loaded
    return None


def _run_program(order: Order, report: int) -> NoReturn:
    try:
        os.setsid()
        _step_back(order.niceness)
        os.environ.clear()
        os.environ.update(order.env)
        try:
            os.chdir(order.cwd)
        except OSError as error:
            raise OSError(f"workingDir {order.cwd}: {error.strerror}; it must exist in the container") from None
        entry = find_entry(order.argv[0])
        if entry is not None:
            _call(entry, order, report)
        path = shutil.which(order.argv[0], path=order.env.get("PATH"))
        if path is None:
            raise FileNotFoundError(
                f'exec: "{order.argv[0]}": executable file not found in $PATH; images are not pulled here, so the'
                " command must be a program of this machine or a console script of the Python environment"
            )
        os.execve(path, list(order.argv), order.env)
    except BaseException as error:  # noqa: BLE001  # as above
        _fail(report, error)


def _call(entry: Entry, order: Order, report: int) -> NoReturn:
    """Runs a console script in this process, as its wrapper script would."""
    os.close(report)
    sys.argv = list(order.argv)
    # Else multiprocessing would import the fork server's own module in its children.
    sys.modules["__main__"] = types.ModuleType("__main__")
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # both are plain files here
    code = 1
    try:
        sys.exit(entry())
    except SystemExit as leaving:
        code = _exit_code(leaving)
    except BaseException:  # noqa: BLE001  # what the interpreter does with an error of the main program
        traceback.print_exc()
    finally:
        _finish(code)
    os._exit(code)


def _finish(code: int) -> NoReturn:
    try:
        threading._shutdown()  # type: ignore[attr-defined]  # what the interpreter does at its end
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _exit_code(leaving: SystemExit) -> int:
    if leaving.code is None or isinstance(leaving.code, int):
        return (leaving.code or 0) & 0xFF
    print(leaving.code, file=sys.stderr)
    return 1


def _write_to(log: int) -> None:
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


def _step_back(niceness: int) -> None:
    """Yields processor and memory to the control plane where both are short; what the machine refuses is left out."""
    os.nice(niceness)
    for file, value in (("oom_score_adj", OOM_SCORE), ("autogroup", niceness)):
        with contextlib.suppress(OSError):
            Path(f"/proc/self/{file}").write_text(str(value))


def _reset(report: int) -> None:
    """Lets go of what the fork copied from the fork server: files, signal handlers."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    os.closerange(3, report)
    os.closerange(report + 1, 1 << 20)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)


def _serve_as_init(program: int) -> NoReturn:
    def forward(number: int, _frame: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(program, number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, forward)
    while True:
        pid, status = os.wait()
        if pid == program:
            os._exit(_code(status))


def _code(status: int) -> int:
    """As container runtimes tell it: 128 + the signal's number for the killed."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _fail(report: int, error: BaseException) -> NoReturn:
    try:
        os.write(report, (str(error) or repr(error)).encode()[:4000])
    except OSError:
        traceback.print_exc()
    os._exit(NOT_STARTED)

"""The warm process that every container is forked from: `python -m moe_local.zygote`.

It has imported what the pods' programs will import, so 32 of them share one copy of it. One thread, no sockets but
the one to the nodes' daemon; it dies with the daemon, and all containers die with it.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Any

from moe_local.container import Order, run_container, run_inside
from moe_local.huge_pages import gather_memory
from moe_local.sandbox import Kernel, become_root_of_own


class Zygote:
    """Answers start and kill orders, and tells of exits. Messages are JSON lines."""

    def __init__(self, kernel: Kernel, control: socket.socket) -> None:
        self._kernel = kernel
        self._control = control
        self._buffer = b""
        self._selector = selectors.DefaultSelector()
        self._starting: dict[int, int] = {}
        self._children: set[int] = set()

    def say(self, **message: Any) -> None:
        """One message to the daemon."""
        self._control.sendall(json.dumps(message).encode() + b"\n")

    def serve(self) -> None:
        """Runs until the daemon closes its end."""
        wakeup, written = socket.socketpair()
        for end in (wakeup, written):
            end.setblocking(False)
        signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        self._selector.register(self._control, selectors.EVENT_READ)
        self._selector.register(wakeup, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._control:
                    if not self._read():
                        return
                elif key.fileobj is wakeup:
                    wakeup.recv(4096)
                    self._reap()
                else:
                    self._hear(key.fd)

    def _read(self) -> bool:
        received = self._control.recv(1 << 16)
        *lines, self._buffer = (self._buffer + received).split(b"\n")
        for line in lines:
            self._obey(json.loads(line))
        return bool(received)

    def _obey(self, message: dict[str, Any]) -> None:
        if "kill" in message:
            # Only our own children that we have not reaped: their pids cannot have been given to others.
            if message["kill"] in self._children:
                os.kill(message["kill"], message["signal"])
            return
        self._start(message["id"], Order.from_json(message["order"]))

    def _start(self, number: int, order: Order) -> None:
        reader, writer = os.pipe()
        try:
            pid = self._fork(order, writer)
        except OSError as error:
            os.close(reader)
            self.say(id=number, error=f"fork: {error}")
            return
        finally:
            os.close(writer)
        self._children.add(pid)
        self._starting[reader] = number
        self._selector.register(reader, selectors.EVENT_READ)
        self.say(id=number, pid=pid)

    def _fork(self, order: Order, writer: int) -> int:
        if order.join:
            pid = os.fork()
            if pid == 0:
                run_inside(self._kernel, order, writer)
            return pid
        with self._kernel.new_pid_namespace():
            pid = os.fork()
            if pid == 0:
                run_container(self._kernel, order, writer)
        return pid

    def _hear(self, reader: int) -> None:
        """A child's report pipe: closed in silence when its program runs, else the reason why it does not."""
        message = os.read(reader, 4096)
        self._selector.unregister(reader)
        os.close(reader)
        number = self._starting.pop(reader)
        if message:
            self.say(id=number, error=message.decode(errors="replace"))
        else:
            self.say(id=number, started=True)

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self._children.discard(pid)
            code = os.waitstatus_to_exitcode(status)
            self.say(exit=pid, code=code if code >= 0 else 128 - code)


def preload(modules: Sequence[str]) -> list[str]:
    """Imports the modules; gives a note for each that cannot be."""
    notes = []
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:  # noqa: BLE001  # a module may fail in any way; the pods that need it will say so
            notes.append(f"{module} is not preloaded: {error!r}")
    return notes


def main() -> None:
    """Warms up, then serves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--control", type=int, required=True, help="the inherited socket to the daemon")
    parser.add_argument("--preload", action="append", default=[], help="a module to import; may be given repeatedly")
    options = parser.parse_args()
    kernel = Kernel()
    kernel.die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=options.control)
    os.set_inheritable(options.control, False)
    zygote = Zygote(kernel, control)
    try:
        become_root_of_own(kernel)
    except OSError as error:
        zygote.say(fatal=f"this machine gives users no user namespaces ({error}): allow them, or run as root")
        sys.exit(1)
    notes = preload(options.preload)
    num_threads = len(os.listdir("/proc/self/task"))
    if num_threads > 1:
        notes.append(f"the preloaded modules started {num_threads - 1} threads: forks may inherit their locks")
    gc.collect()
    gc.freeze()
    gather_memory()
    zygote.say(ready=True, notes=notes)
    zygote.serve()


if __name__ == "__main__":
    main()

"""The process that turns fork orders into rank processes: torch imported, one thread, no event loop, no network.

Orders and news travel on one SEQPACKET socket, a JSON object per packet; an order carries the rank's control channel
as a file descriptor. It knows nothing of layouts: who is to be forked, and why again, is the supervisor's business.
"""

import gc
import json
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from typing import Any

from moe_worker.processes import close_other_files, describe_exit, die_with_parent, reset_signals

MAX_PACKET_BYTES = 64 * 1024

RunRank = Callable[[dict[str, Any], int], int]
"""Drives one rank until it ends: (settings, file descriptor of its control channel) -> exit status."""


def start(prepare: Callable[[], RunRank]) -> tuple[int, socket.socket]:
    """Fork the fork server now, before this process has threads, sockets or an event loop: its pid, and the socket to
    it.

    `prepare` runs in the fork server only: it imports what ranks need and returns what runs one.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sys.stdout.flush()
    parent = os.getpid()
    pid = os.fork()
    if pid:
        theirs.close()
        return pid, ours
    status = 1
    try:
        die_with_parent(parent)
        reset_signals()
        close_other_files(frozenset({theirs.fileno()}))
        run_rank = prepare()
        gc.collect()
        gc.freeze()
        status = ForkServer(theirs, run_rank).serve()
    except BaseException:  # noqa: BLE001  # whatever it is, this fork must not run on into its parent's code
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


class ForkServer:
    """Serves until the other end of `orders` is closed."""

    def __init__(self, orders: socket.socket, run_rank: RunRank) -> None:
        self._orders = orders
        self._run_rank = run_rank
        self._ranks: dict[int, int] = {}
        self._wake_reader, self._wake_writer = socket.socketpair()
        for end in (self._wake_reader, self._wake_writer):
            end.setblocking(False)

    def serve(self) -> int:
        signal.set_wakeup_fd(self._wake_writer.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        self._tell({"ready": os.getpid()})
        poller = select.poll()
        poller.register(self._orders, select.POLLIN)
        poller.register(self._wake_reader, select.POLLIN)
        while True:
            ready = {fileno for fileno, _ in poller.poll()}
            if self._wake_reader.fileno() in ready:
                self._wake_reader.recv(4096)
                self._reap()
            if self._orders.fileno() in ready and not self._take_order():
                return 0

    def _take_order(self) -> bool:
        packet, files, _, _ = socket.recv_fds(self._orders, MAX_PACKET_BYTES, 1)
        if not packet:
            return False
        order = json.loads(packet)
        if "kill" in order:
            self._signal(order["kill"], signal.SIGKILL)
            return True
        if "freeze" in order:
            self._signal(order["freeze"], signal.SIGSTOP)
            return True
        settings = order["fork"]
        pid = self._fork(settings, files[0])
        os.close(files[0])
        self._ranks[pid] = settings["rank"]
        self._tell({"forked": settings["rank"], "pid": pid})
        return True

    def _signal(self, rank: int, number: signal.Signals) -> None:
        """Only here it is certain that the pid still is the rank's: nobody else reaps it."""
        for pid, forked in self._ranks.items():
            if forked == rank:
                os.kill(pid, number)

    def _fork(self, settings: dict[str, Any], control: int) -> int:
        parent = os.getpid()
        sys.stdout.flush()
        pid = os.fork()
        if pid:
            return pid
        status = 1
        try:
            die_with_parent(parent)
            reset_signals()
            close_other_files(frozenset({control}))
            gc.enable()
            status = self._run_rank(settings, control)
        except BaseException:  # noqa: BLE001  # whatever it is, this fork must not run on into its parent's code
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _reap(self) -> None:
        while self._ranks:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            rank = self._ranks.pop(pid, None)
            if rank is not None:
                self._tell({"exited": rank, "pid": pid, "code": _code(status), "how": describe_exit(status)})

    def _tell(self, news: dict[str, Any]) -> None:
        self._orders.send(json.dumps(news).encode())


def _code(status: int) -> int | None:
    """The exit code, or None for a death by signal."""
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else None

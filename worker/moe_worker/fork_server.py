"""The process that turns fork orders into rank processes: torch imported, one thread, no event loop, no network.

Orders and news travel on one SEQPACKET socket, a JSON object per packet; an order carries the rank's control channel
as a file descriptor. It knows nothing of layouts: who is to be forked, and why again, is the supervisor's business.
A while after the last order it forks a spare, which the next order makes a rank at once.
"""

import gc
import json
import os
import select
import signal
import socket
import time
import traceback
from collections.abc import Callable
from typing import Any

from moe_worker import spare
from moe_worker.processes import close_other_files, describe_exit, die_with_parent, flush_output, reset_signals
from moe_worker.spare import Spare

MAX_PACKET_BYTES = 64 * 1024
SPARE_AFTER_S = 2.0
"""After the last order or death: a failure's own forks come first, and a spare that dies is not forked in a loop."""

RunRank = Callable[[dict[str, Any], int], int]
"""Drives one rank until it ends: (settings, file descriptor of its control channel) -> exit status."""

WarmUp = Callable[[dict[str, Any]], None]
"""Does in a spare, by the settings of an earlier rank of the pod, what makes the next one's start shorter."""


def start(
    prepare: Callable[[], RunRank], *, warm_up: WarmUp = lambda _: None, spare_after_s: float = SPARE_AFTER_S
) -> tuple[int, socket.socket]:
    """Fork the fork server now, before this process has threads, sockets or an event loop: its pid, and the socket to
    it.

    `prepare` runs in the fork server only: it imports what ranks need and returns what runs one. `warm_up` runs in
    spares only.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    flush_output()
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
        status = ForkServer(theirs, run_rank, warm_up, spare_after_s).serve()
    except BaseException:  # noqa: BLE001  # whatever it is, this fork must not run on into its parent's code
        traceback.print_exc()
    finally:
        flush_output()
        os._exit(status)


class ForkServer:
    """Serves until the other end of `orders` is closed."""

    def __init__(self, orders: socket.socket, run_rank: RunRank, warm_up: WarmUp, spare_after_s: float) -> None:
        self._orders = orders
        self._warm_up = warm_up
        self._spare_after_s = spare_after_s
        self._run_rank = run_rank
        self._last_settings: dict[str, Any] = {}
        self._ranks: dict[int, int] = {}
        self._spare: Spare | None = None
        self._spare_at: float | None = None
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
            ready = {fileno for fileno, _ in poller.poll(self._wait_ms())}
            if self._wake_reader.fileno() in ready:
                self._wake_reader.recv(4096)
                self._reap()
            if self._orders.fileno() in ready and not self._take_order():
                return 0
            if self._spare_at is not None and time.monotonic() >= self._spare_at:
                self._fork_spare()

    def _wait_ms(self) -> float | None:
        return None if self._spare_at is None else max((self._spare_at - time.monotonic()) * 1000, 0.0)

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
        settings = self._last_settings = order["fork"]
        pid = self._seat_spare(settings, files[0])
        if pid is None:
            pid = self._fork(lambda: self._run_rank(settings, files[0]), files[0])
        os.close(files[0])
        self._ranks[pid] = settings["rank"]
        self._tell({"forked": settings["rank"], "pid": pid})
        return True

    def _seat_spare(self, settings: dict[str, Any], control: int) -> int | None:
        """The pid of the spare that is a rank from now on, None where there was none."""
        self._spare_at = time.monotonic() + self._spare_after_s
        waiting, self._spare = self._spare, None
        return waiting.pid if waiting is not None and waiting.seat(settings, control) else None

    def _fork_spare(self) -> None:
        self._spare_at = None
        ours, theirs = spare.channel()
        pid = self._fork(lambda: self._be_spare(theirs), theirs.fileno())
        theirs.close()
        self._spare = Spare(pid=pid, orders=ours)

    def _signal(self, rank: int, number: signal.Signals) -> None:
        """Only here it is certain that the pid still is the rank's: nobody else reaps it."""
        for pid, forked in self._ranks.items():
            if forked == rank:
                os.kill(pid, number)

    def _be_spare(self, orders: socket.socket) -> int:
        self._warm_up(self._last_settings)
        return spare.wait_for_seat(orders, self._run_rank)

    def _fork(self, play: Callable[[], int], kept: int) -> int:
        """Fork a process that has this one file of ours, and plays until its end; its pid."""
        parent = os.getpid()
        flush_output()
        pid = os.fork()
        if pid:
            return pid
        status = 1
        try:
            die_with_parent(parent)
            reset_signals()
            close_other_files(frozenset({kept}))
            gc.enable()
            status = play()
        except BaseException:  # noqa: BLE001  # whatever it is, this fork must not run on into its parent's code
            traceback.print_exc()
        finally:
            flush_output()
            os._exit(status)

    def _reap(self) -> None:
        while self._ranks or self._spare is not None:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            rank = self._ranks.pop(pid, None)
            if rank is None:
                self._lose_spare(pid)
            else:
                self._tell({"exited": rank, "pid": pid, "code": _code(status), "how": describe_exit(status)})

    def _lose_spare(self, pid: int) -> None:
        if self._spare is not None and self._spare.pid == pid:
            self._spare.orders.close()
            self._spare, self._spare_at = None, time.monotonic() + self._spare_after_s

    def _tell(self, news: dict[str, Any]) -> None:
        self._orders.send(json.dumps(news).encode())


def _code(status: int) -> int | None:
    """The exit code, or None for a death by signal."""
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else None

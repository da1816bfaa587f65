"""Experts' weights, read by a thread of their own so that the rank's loop goes on. How to read is given."""

import os
import queue
import threading
from collections.abc import Callable

from moe_worker.model.errors import CheckpointError
from moe_worker.model.feed_forward import AnyFeedForward


class ExpertLoader:
    """The experts held, and the loads under way. All methods belong to one thread, the owner's."""

    def __init__(self, read: Callable[[int], AnyFeedForward]) -> None:
        self._read = read
        self._held: dict[int, AnyFeedForward] = {}
        self._wanted: dict[int, int] = {}  # expert -> the load that counts; older ones were dropped
        self._loads = 0
        self._orders: queue.SimpleQueue[tuple[int, int] | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[int, int, AnyFeedForward | str]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self.wakeup_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        """Readable when `loaded` has something to tell."""

    def held(self, expert: int) -> AnyFeedForward:
        """The weights of an expert that was loaded."""
        return self._held[expert]

    def load(self, expert: int) -> None:
        """Starts reading; nothing happens where it is held or under way."""
        if expert in self._held or expert in self._wanted:
            return
        # Not before the first load: the owner may have been forked after it was made.
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="expert-loader", daemon=True)
            self._thread.start()
        self._loads += 1
        self._wanted[expert] = self._loads
        self._orders.put((expert, self._loads))

    def loaded(self) -> list[tuple[int, str | None]]:
        """The loads that have ended since the last call: (expert, None) or (expert, what went wrong)."""
        self._quieten()
        ended: list[tuple[int, str | None]] = []
        while not self._done.empty():
            expert, load, result = self._done.get()
            if self._wanted.get(expert) != load:
                continue
            del self._wanted[expert]
            if isinstance(result, AnyFeedForward):
                self._held[expert] = result
            ended.append((expert, None if isinstance(result, AnyFeedForward) else result))
        return ended

    def drop(self, expert: int) -> None:
        """Forgets the weights, or the load under way."""
        self._held.pop(expert, None)
        self._wanted.pop(expert, None)

    def close(self) -> None:
        """Ends the thread."""
        if self._thread is not None:
            self._orders.put(None)
            self._thread.join()
        os.close(self.wakeup_fd)

    def _work(self) -> None:
        while order := self._orders.get():
            expert, load = order
            try:
                result: AnyFeedForward | str = self._read(expert)
            except (CheckpointError, OSError, RuntimeError, MemoryError) as error:
                result = str(error)
            self._done.put((expert, load, result))
            os.eventfd_write(self.wakeup_fd, 1)

    def _quieten(self) -> None:
        try:
            os.eventfd_read(self.wakeup_fd)
        except BlockingIOError:
            return

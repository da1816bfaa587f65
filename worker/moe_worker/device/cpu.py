"""The CPU as a device. With a health file it can fail, or be slow, like a GPU; without one it never does."""

import ctypes
import time
from collections.abc import Sequence

import torch

from moe_wire.messages import Payload
from moe_worker.device.health import HealthFile
from moe_worker.device.rows import host_payloads, host_tensor

# Of glibc's malloc.h: from what size on memory is mapped for one allocation alone (the most that is allowed), and how
# much freed memory at the end of the heap is kept.
M_MMAP_THRESHOLD, MAPPED_ALONE = -3, 32 << 20
M_TRIM_THRESHOLD, KEPT_FREE = -1, 256 << 20


class CpuDevice:
    """Tensors in host memory: payloads are taken and given without a copy wherever their bytes lie together."""

    def __init__(self, health: HealthFile | None, *, has_kernels: bool = True) -> None:
        self._health = health
        self._has_kernels = has_kernels
        self._worked_until = 0.0

    @property
    def name(self) -> str:
        return f"cpu device {self._health.path}" if self._health else "cpu"

    @property
    def id(self) -> str:
        """<node>/<index>, as the health file lies: <node>/gpus/<index>."""
        return f"{self._health.path.parent.parent.name}/{self._health.path.name}" if self._health else ""

    @property
    def torch_device(self) -> torch.device:
        return torch.device("cpu")

    @property
    def has_kernels(self) -> bool:
        return self._has_kernels

    def open(self) -> None:
        """Takes the device; raises DeviceError. One thread: two collapse when anything else runs on the cores."""
        torch.set_num_threads(1)
        _keep_freed_memory()
        if self._health:
            self._health.open()

    def check(self) -> None:
        if self._health:
            self._health.check()

    def rows_in(self, payloads: Sequence[Payload], min_rows: int) -> torch.Tensor:
        return host_tensor(payloads, min_rows)

    def rows_out(self, rows: torch.Tensor, counts: Sequence[int]) -> list[Payload]:
        if self._health and self._health.slowness > 1.0:
            self._be_slow(self._health.slowness)
        return host_payloads(rows, counts)

    def close(self) -> None:
        if self._health:
            self._health.close()

    def _be_slow(self, slowness: float) -> None:
        """Take that much longer for what was computed since the last rows went out."""
        time.sleep((time.thread_time() - self._worked_until) * (slowness - 1.0) if self._worked_until else 0.0)
        self._worked_until = time.thread_time()


def _keep_freed_memory() -> None:
    """Lets the next tensor have what the last one left: giving memory back and having it zeroed anew costs more than
    the arithmetic on it.
    """
    allocator = ctypes.CDLL(None)
    allocator.mallopt(M_MMAP_THRESHOLD, MAPPED_ALONE)
    allocator.mallopt(M_TRIM_THRESHOLD, KEPT_FREE)

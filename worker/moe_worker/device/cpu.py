"""The CPU as a device. With a health file it can fail like a GPU; without one it never does."""

from collections.abc import Sequence

import torch

from moe_wire.messages import Payload
from moe_worker.device.health import HealthFile
from moe_worker.device.rows import host_payloads, host_tensor


class CpuDevice:
    """Tensors in host memory: payloads are taken and given without a copy wherever their bytes lie together."""

    def __init__(self, health: HealthFile | None) -> None:
        self._health = health

    @property
    def name(self) -> str:
        return f"cpu device {self._health.path}" if self._health else "cpu"

    @property
    def torch_device(self) -> torch.device:
        return torch.device("cpu")

    def open(self) -> None:
        """Takes the device; raises DeviceError. One thread: two collapse when anything else runs on the cores."""
        torch.set_num_threads(1)
        if self._health:
            self._health.open()

    def check(self) -> None:
        if self._health:
            self._health.check()

    def rows_in(self, payloads: Sequence[Payload], min_rows: int) -> torch.Tensor:
        return host_tensor(payloads, min_rows)

    def rows_out(self, rows: torch.Tensor, counts: Sequence[int]) -> list[Payload]:
        return host_payloads(rows, counts)

    def close(self) -> None:
        if self._health:
            self._health.close()
